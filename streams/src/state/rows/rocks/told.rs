//! What RocksDB tells of the rows of one store, by the names that Java gives it (`RocksDBMetrics`).
//! Asked every few seconds by the thread that owns the store.
//!
//! All stores of a task are in one database, in a column family each: what RocksDB knows of the database as a whole
//! (running flushes and compactions, errors, the block cache) each of them shows.
//!
//! Not done: what RocksDB counts of a database as a whole, so that it cannot be said of one store: hit ratios of memtables
//! and of the block cache, times of flushes and compactions, stalls, bytes of flushes and compactions, files.

use std::cell::Cell;

use super::RocksRows;
use crate::store::Gauge;

/// Java's names, which are RocksDB's but for `rocksdb.` before them (`RocksDBMetricsRecorder.initGauges`).
const PROPERTIES: [(&str, &str); 22] = [
    ("background-errors", "rocksdb.background-errors"),
    ("block-cache-capacity", "rocksdb.block-cache-capacity"),
    ("block-cache-pinned-usage", "rocksdb.block-cache-pinned-usage"),
    ("block-cache-usage", "rocksdb.block-cache-usage"),
    ("compaction-pending", "rocksdb.compaction-pending"),
    ("cur-size-active-mem-table", "rocksdb.cur-size-active-mem-table"),
    ("cur-size-all-mem-tables", "rocksdb.cur-size-all-mem-tables"),
    ("estimate-num-keys", "rocksdb.estimate-num-keys"),
    ("estimate-pending-compaction-bytes", "rocksdb.estimate-pending-compaction-bytes"),
    ("estimate-table-readers-mem", "rocksdb.estimate-table-readers-mem"),
    ("live-sst-files-size", "rocksdb.live-sst-files-size"),
    ("mem-table-flush-pending", "rocksdb.mem-table-flush-pending"),
    ("num-deletes-active-mem-table", "rocksdb.num-deletes-active-mem-table"),
    ("num-deletes-imm-mem-tables", "rocksdb.num-deletes-imm-mem-tables"),
    ("num-entries-active-mem-table", "rocksdb.num-entries-active-mem-table"),
    ("num-entries-imm-mem-tables", "rocksdb.num-entries-imm-mem-tables"),
    ("num-immutable-mem-table", "rocksdb.num-immutable-mem-table"),
    ("num-live-versions", "rocksdb.num-live-versions"),
    ("num-running-compactions", "rocksdb.num-running-compactions"),
    ("num-running-flushes", "rocksdb.num-running-flushes"),
    ("size-all-mem-tables", "rocksdb.size-all-mem-tables"),
    ("total-sst-files-size", "rocksdb.total-sst-files-size"),
];

/// Bytes that went into and came out of the database, as RocksDB's BYTES_WRITTEN and BYTES_READ: whole batches, and the
/// values of single keys.
#[derive(Default)]
pub(super) struct Moved {
    read: Cell<u64>,
    written: u64,
}

impl Moved {
    pub(super) fn read(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }
}

impl RocksRows {
    /// All that is known; a property that cannot be read is left out.
    pub(super) fn properties(&self) -> Vec<Gauge> {
        let mut told: Vec<Gauge> = vec![
            ("bytes-read-total", self.moved.read.get() as f64),
            ("bytes-written-total", self.moved.written as f64),
        ];
        let Ok(family) = self.family(&self.family) else { return told };
        let property = |(java, rocks): &(&'static str, &str)| {
            let value = self.open.db.property_int_value_cf(family, *rocks).ok().flatten()?;
            Some((*java, value as f64))
        };
        told.extend(PROPERTIES.iter().filter_map(property));
        told
    }
}
