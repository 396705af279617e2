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

use crate::entry_file::EntryFile;
use crate::folder::{Place, TXN_INDEX};

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
}

impl TxnIndex {
    pub(crate) fn empty() -> Self {
        // No file is made for a segment without aborted transactions, as in Apache.
        TxnIndex { entries: EntryFile::existing(0) }
    }

    /// A file that is there but counts for nothing.
    pub(crate) fn discarded() -> Self {
        TxnIndex { entries: EntryFile::empty() }
    }

    pub(crate) fn existing(length: u64) -> Self {
        TxnIndex { entries: EntryFile::existing(length) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn push(&mut self, aborted: &AbortedTxn, place: &Place<'_>) {
        self.entries.push(encode(aborted), place, TXN_INDEX);
    }

    /// Hands `found` every transaction that touches `fetch_offset..upper_bound`.
    pub(crate) fn collect(
        &mut self,
        fetch_offset: i64,
        upper_bound: i64,
        place: &Place<'_>,
        found: &mut impl FnMut(&AbortedTxn),
    ) -> io::Result<Search> {
        for index in 0..self.entries.len() {
            let aborted = decode(&self.entries.get(index, place, TXN_INDEX)?);
            if aborted.last_offset >= fetch_offset && aborted.first_offset < upper_bound {
                found(&aborted);
            }
            if aborted.last_stable_offset >= upper_bound {
                return Ok(Search::Complete);
            }
        }
        Ok(Search::Continues)
    }

    /// Drops transactions whose marker lies at or after `offset`.
    pub(crate) fn truncate(&mut self, offset: i64, place: &Place<'_>) -> io::Result<()> {
        let kept =
            self.entries.partition_point(place, TXN_INDEX, |entry| decode(entry).last_offset < offset)?;
        self.entries.truncate(kept);
        Ok(())
    }

    /// Whether the entries make sense for a segment that begins at `place.base_offset`.
    pub(crate) fn is_sane(&mut self, place: &Place<'_>) -> io::Result<bool> {
        let mut last = place.base_offset - 1;
        for index in 0..self.entries.len() {
            let entry = self.entries.get(index, place, TXN_INDEX)?;
            let aborted = decode(&entry);
            if entry[..2] != [0, 0]
                || aborted.last_offset <= last
                || aborted.first_offset > aborted.last_offset
            {
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
    AbortedTxn {
        producer_id: field(0),
        first_offset: field(1),
        last_offset: field(2),
        last_stable_offset: field(3),
    }
}
