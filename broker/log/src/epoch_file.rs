//! `leader-epoch-checkpoint`: where each leader epoch starts in this log (Java: `LeaderEpochFileCache`).
//!
//! The table lives in memory; `flush.rs` writes the file, durably, before the recovery point may pass the
//! start of an epoch. Epochs after the recovery point are found again in the batches, so an append never
//! waits for this file.

use crate::checkpoints;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: i32,
    pub(crate) start_offset: i64,
}

/// The epochs of a log, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    starts: Vec<EpochStart>,
    dirty: bool,
}

impl Epochs {
    /// Reads the file's text; `None` when it is malformed.
    pub(crate) fn parse(text: &str) -> Option<Epochs> {
        let mut epochs = Epochs::default();
        for line in checkpoints::entries(text)? {
            let (epoch, start_offset) = line.split_once(' ')?;
            let start = EpochStart { epoch: epoch.parse().ok()?, start_offset: start_offset.parse().ok()? };
            epochs.starts.push(start);
        }
        epochs.starts.sort_by_key(|start| start.epoch);
        Some(epochs)
    }

    /// The file's text.
    pub(crate) fn render(&self) -> String {
        checkpoints::render(self.starts.iter().map(|start| format!("{} {}", start.epoch, start.start_offset)))
    }

    /// Whether the file is behind the table; the caller writes it when so.
    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    pub(crate) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// Notes that `epoch` starts at `start_offset`, unless it is known already; entries that contradict it go.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: i64) {
        if epoch < 0 || start_offset < 0 {
            return;
        }
        if self.starts.last().is_some_and(|last| last.epoch == epoch && start_offset >= last.start_offset) {
            return;
        }
        while self.starts.last().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.starts.pop();
        }
        self.starts.push(EpochStart { epoch, start_offset });
        self.dirty = true;
    }

    pub(crate) fn latest(&self) -> Option<i32> {
        self.starts.last().map(|last| last.epoch)
    }

    pub(crate) fn earliest(&self) -> Option<EpochStart> {
        self.starts.first().copied()
    }

    /// Epoch and its end offset for a request of `requested` (B item 54).
    pub(crate) fn end_offset_for(&self, requested: i32, log_end_offset: i64) -> Option<(i32, i64)> {
        // Other negative numbers are epochs before the first one.
        if requested == -1 {
            return None;
        }
        if self.latest() == Some(requested) {
            return Some((requested, log_end_offset));
        }
        let higher = self.starts.partition_point(|start| start.epoch <= requested);
        let end = self.starts.get(higher)?.start_offset;
        let floor = higher.checked_sub(1).map_or(requested, |index| self.starts[index].epoch);
        Some((floor, end))
    }

    /// The epoch that `offset` was written under.
    pub(crate) fn epoch_for(&self, offset: i64) -> Option<i32> {
        let after = self.starts.partition_point(|start| start.start_offset <= offset);
        after.checked_sub(1).map(|index| self.starts[index].epoch)
    }

    /// Forgets epochs that start at or after `end_offset`.
    pub(crate) fn truncate_from_end(&mut self, end_offset: i64) {
        let before = self.starts.len();
        self.starts.retain(|start| start.start_offset < end_offset);
        self.dirty |= self.starts.len() != before;
    }

    /// Forgets epochs that end at or before `start_offset`; the one that holds it starts there now.
    pub(crate) fn truncate_from_start(&mut self, start_offset: i64) {
        let after = self.starts.partition_point(|start| start.start_offset <= start_offset);
        let Some(holder) = after.checked_sub(1) else { return };
        if holder > 0 || self.starts[holder].start_offset < start_offset {
            self.starts.drain(..holder);
            self.starts[0].start_offset = start_offset;
            self.dirty = true;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.dirty |= !self.starts.is_empty();
        self.starts.clear();
    }

    #[cfg(test)]
    pub(crate) fn starts(&self) -> &[EpochStart] {
        &self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, start) in starts {
            epochs.assign(*epoch, *start);
        }
        epochs
    }

    fn pairs(epochs: &Epochs) -> Vec<(i32, i64)> {
        epochs.starts().iter().map(|start| (start.epoch, start.start_offset)).collect()
    }

    #[test]
    fn end_offsets_follow_the_rule_of_leader_epoch_file_cache() {
        let epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        for (requested, expected) in [
            (-1, None),
            (0, Some((0, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (5, Some((4, 30))),
            (7, Some((7, 44))),
            (8, None),
        ] {
            assert_eq!(epochs.end_offset_for(requested, 44), expected, "{requested}");
        }
        assert_eq!([9, 10, 29, 30].map(|offset| epochs.epoch_for(offset)), [None, Some(2), Some(4), Some(7)]);
    }

    #[test]
    fn contradicting_entries_are_replaced() {
        assert_eq!(pairs(&epochs(&[(1, 0), (2, 10), (3, 5)])), [(1, 0), (3, 5)]);
        assert_eq!(pairs(&epochs(&[(1, 0), (5, 10), (3, 12)])), [(1, 0), (3, 12)]);
        assert_eq!(pairs(&epochs(&[(1, 4), (1, 9)])), [(1, 4)]);
    }

    #[test]
    fn truncation_at_either_end() {
        let mut table = epochs(&[(1, 0), (2, 10), (3, 20)]);
        table.truncate_from_start(10);
        assert_eq!(pairs(&table), [(2, 10), (3, 20)]);
        table.truncate_from_start(15);
        assert_eq!(pairs(&table), [(2, 15), (3, 20)]);
        table.truncate_from_end(20);
        assert_eq!(pairs(&table), [(2, 15)]);
    }

    #[test]
    fn the_file_is_apaches() {
        let table = epochs(&[(0, 0), (3, 17)]);
        assert_eq!(table.render(), "0\n2\n0 0\n3 17\n");
        assert_eq!(pairs(&Epochs::parse(&table.render()).unwrap()), [(0, 0), (3, 17)]);
        assert!(Epochs::parse("0\n2\n0 0\n").is_none());
        assert!(Epochs::parse("").is_some());
    }
}
