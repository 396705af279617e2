//! The last offset of each key, in bounded memory: what compaction decides by (Java: `SkimpyOffsetMap`).
//!
//! Keys are kept as 128 bits of SipHash under keys drawn at random for each map, so that two keys that meet
//! are neither likely nor to be had by design. 24 bytes an entry; the table grows up to its bound.

use std::hash::{BuildHasher, RandomState};

/// Part of the table that may be filled (Java: `log.cleaner.io.buffer.load.factor`).
const LOAD_PERCENT: usize = 90;
const SLOTS_FIRST: usize = 1024;
const EMPTY: i64 = -1;

#[derive(Clone, Copy)]
struct Slot {
    hash: (u64, u64),
    offset: i64,
}

pub(crate) struct KeyMap {
    slots: Vec<Slot>,
    used: usize,
    slots_max: usize,
    hashers: (RandomState, RandomState),
    /// Everything up to and with this offset has been taken in.
    pub(crate) latest_offset: i64,
}

/// Whether a key found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Taken,
    Full,
}

impl KeyMap {
    /// A map of at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        KeyMap {
            slots: Vec::new(),
            used: 0,
            slots_max: (bytes / size_of::<Slot>()).max(16),
            hashers: (RandomState::new(), RandomState::new()),
            latest_offset: -1,
        }
    }

    /// Notes that `key` stands at `offset`. Offsets come in ascending order.
    pub(crate) fn put(&mut self, key: &[u8], offset: i64) -> Room {
        if self.used >= self.slots.len() * LOAD_PERCENT / 100 && !self.grow() {
            let slot = self.find(self.hash(key));
            return if self.slots[slot].offset == EMPTY {
                Room::Full
            } else {
                self.slots[slot].offset = offset;
                Room::Taken
            };
        }
        let hash = self.hash(key);
        let slot = self.find(hash);
        if self.slots[slot].offset == EMPTY {
            self.used += 1;
        }
        self.slots[slot] = Slot { hash, offset };
        Room::Taken
    }

    /// The last offset of `key`, -1 when it was not seen.
    pub(crate) fn offset_of(&self, key: &[u8]) -> i64 {
        if self.slots.is_empty() { EMPTY } else { self.slots[self.find(self.hash(key))].offset }
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key))
    }

    /// Where the key is, or the empty slot where it would be.
    fn find(&self, hash: (u64, u64)) -> usize {
        let mut slot = hash.0 as usize % self.slots.len();
        while self.slots[slot].offset != EMPTY && self.slots[slot].hash != hash {
            slot = (slot + 1) % self.slots.len();
        }
        slot
    }

    fn grow(&mut self) -> bool {
        let slots = (self.slots.len() * 2).max(SLOTS_FIRST).min(self.slots_max);
        if slots <= self.slots.len() {
            return false;
        }
        let old = std::mem::replace(&mut self.slots, vec![Slot { hash: (0, 0), offset: EMPTY }; slots]);
        for taken in old.into_iter().filter(|slot| slot.offset != EMPTY) {
            let slot = self.find(taken.hash);
            self.slots[slot] = taken;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_wins_and_a_full_map_still_takes_known_keys() {
        let mut map = KeyMap::new(100 * size_of::<Slot>());
        let mut taken = 0;
        while map.put(format!("key-{taken}").as_bytes(), taken) == Room::Taken {
            taken += 1;
        }
        assert_eq!(taken, 90);
        assert_eq!(map.put(b"key-3", 1000), Room::Taken);
        assert_eq!(map.offset_of(b"key-3"), 1000);
        assert_eq!(map.offset_of(b"key-89"), 89);
        assert_eq!(map.offset_of(b"key-90"), -1);
        assert_eq!(KeyMap::new(0).offset_of(b"x"), -1);
    }
}
