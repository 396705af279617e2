//! `.txnindex`: the transactions that were aborted in a segment (Java: `TransactionIndex`, AbortedTxn.json).
//!
//! ```text
//!  0  i16  version, 0
//!  2  i64  producer id
//! 10  i64  first offset of the transaction
//! 18  i64  offset of its marker
//! 26  i64  last stable offset when it was aborted
//! ```

use std::io;
use std::ops::ControlFlow;

use crate::entry_file::{EntryFile, EntryView};
use crate::folder::{Place, TXN_INDEX};
use crate::read::{Reading, Slice};

pub(crate) const ENTRY_BYTES: usize = 34;

/// One aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTxn {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) last_stable_offset: i64,
}

/// Whether a search has to go on in the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    Complete,
    Continues,
}

#[derive(Debug)]
pub(crate) struct TxnIndex {
    entries: EntryFile<ENTRY_BYTES>,
    /// Offset of the last marker, `None` when it is not known.
    last_offset: Option<i64>,
}

impl TxnIndex {
    pub(crate) fn empty() -> Self {
        // No file is made for a segment without aborted transactions, as in Apache.
        TxnIndex { entries: EntryFile::existing(0), last_offset: None }
    }

    /// A file that is there but counts for nothing.
    pub(crate) fn discarded() -> Self {
        TxnIndex { entries: EntryFile::empty(), last_offset: None }
    }

    pub(crate) fn existing(length: u64) -> Self {
        TxnIndex { entries: EntryFile::existing(length), last_offset: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn push(&mut self, aborted: &AbortedTxn, place: &Place<'_>) {
        self.entries.push(encode(aborted), place, TXN_INDEX);
        self.last_offset = Some(aborted.last_offset);
    }

    /// Whether every transaction in it is known to have ended before `offset`.
    pub(crate) fn ends_before(&self, offset: i64) -> bool {
        self.is_empty() || self.last_offset.is_some_and(|last_offset| last_offset < offset)
    }

    /// The index as it is now, to be searched when the log's lock is let go.
    pub(crate) fn view(&mut self, place: &Place<'_>) -> io::Result<TxnView> {
        Ok(TxnView { entries: self.entries.view(place, TXN_INDEX)? })
    }

    /// Drops transactions whose marker lies at or after `offset`.
    pub(crate) fn truncate(&mut self, offset: i64, place: &Place<'_>) -> io::Result<()> {
        let kept = self.entries.partition_point(place, TXN_INDEX, |entry| decode(entry).last_offset < offset)?;
        self.entries.truncate(kept);
        self.last_offset = None;
        Ok(())
    }

    /// Whether the entries make sense for a segment that begins at `place.base_offset`.
    pub(crate) fn is_sane(&mut self, place: &Place<'_>) -> io::Result<bool> {
        let mut last = place.base_offset - 1;
        for index in 0..self.entries.len() {
            let entry = self.entries.get(index, place, TXN_INDEX)?;
            let aborted = decode(&entry);
            if entry[..2] != [0, 0] || aborted.last_offset <= last || aborted.first_offset > aborted.last_offset {
                return Ok(false);
            }
            last = aborted.last_offset;
        }
        Ok(true)
    }

    pub(crate) fn file(&mut self) -> &mut EntryFile<ENTRY_BYTES> {
        &mut self.entries
    }
}

/// A [`TxnIndex`] at one instant.
#[derive(Debug)]
pub(crate) struct TxnView {
    entries: EntryView<ENTRY_BYTES>,
}

impl TxnView {
    /// Hands `found` every transaction that touches `fetch_offset..upper_bound` (Java:
    /// `TransactionIndex.collectAbortedTxns`). Markers ascend, so those before `fetch_offset` are skipped by a binary
    /// search; none of them can end it, as the last stable offset was at most one behind them.
    pub(crate) fn collect(
        &self,
        fetch_offset: i64,
        upper_bound: i64,
        reading: Reading,
        found: &mut impl FnMut(&AbortedTxn),
    ) -> io::Result<Search> {
        let from = self.entries.partition_point(reading, |entry| decode(entry).last_offset < fetch_offset)?;
        let mut search = Search::Continues;
        self.entries.walk(from, reading, |entry| {
            let aborted = decode(entry);
            if aborted.first_offset < upper_bound {
                found(&aborted);
            }
            if aborted.last_stable_offset >= upper_bound {
                search = Search::Complete;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(search)
    }

    pub(crate) fn extent(&self) -> Option<Slice> {
        self.entries.extent()
    }
}

fn encode(aborted: &AbortedTxn) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    let fields = [aborted.producer_id, aborted.first_offset, aborted.last_offset, aborted.last_stable_offset];
    for (bytes, field) in entry[2..].chunks_exact_mut(8).zip(fields) {
        bytes.copy_from_slice(&field.to_be_bytes());
    }
    entry
}

pub(crate) fn decode(entry: &[u8; ENTRY_BYTES]) -> AbortedTxn {
    let field = |index: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[2 + index * 8..10 + index * 8]);
        i64::from_be_bytes(bytes)
    };
    AbortedTxn { producer_id: field(0), first_offset: field(1), last_offset: field(2), last_stable_offset: field(3) }
}
