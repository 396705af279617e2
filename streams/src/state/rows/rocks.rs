//! The engine on disk: RocksDB, one database a task, in it a column family a store and one for the changelogs' offsets.
//!
//! No write-ahead log: the changelog is that. Writes wait in memory until their commit, and go to the database with some
//! commit after that, some seconds or megabytes later, in one batch of rows and offsets: exactly once commits ten times a
//! second, and what changes each time is written once. Column families are flushed together (`atomic_flush`). So what a
//! crash leaves on disk is the state after some commit, with the offsets of that commit, also under exactly once:
//! uncommitted writes never get there. Stores that are closed after a commit leave all of it; stores that are closed
//! before it leave what the database has, and the rest comes from the changelog again.
//! Formats on disk are no exchange with Java: those are the changelogs.
//! All databases of a process share one block cache and one budget of memtables (`Budget`).

// What it tells of itself.
mod told;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use millstream_base_env::clock::Moment;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, ErrorKind, FlushOptions, LogLevel, LruCacheOptions, Options, ReadOptions, WriteBatch,
    WriteBufferManager, WriteOptions,
};

use super::overlay::{Overlay, Waiting};
use super::{ChangelogOffsets, Order, Row, RowIter, Rows, Span};
use crate::state::engines::KEPT_FOR;
use crate::state::error::StateError;
use crate::store::Gauge;

/// The column family of the offsets; every RocksDB has one of this name.
const OFFSETS: &str = "default";
/// A memtable's size, as in Kafka Streams.
const MEMTABLE: usize = 16 << 20;
/// The pieces in which memtables grow: by default an eighth of their size, which many stores that hold little would
/// multiply.
const MEMTABLE_GROWS: usize = 128 << 10;
/// How many files that memtables left start a merge: as RocksDB has it, and while a store is filled, where each merge before
/// the last would be done again by the next one.
const MERGE_FROM: i32 = 4;
const MERGE_FROM_FILLING: i32 = 32;
/// How many of them slow writes down, and how many stop them: more than filling leaves to the merge at its end.
const SLOW_FROM: i32 = 2 * MERGE_FROM_FILLING;
const STOP_FROM: i32 = 4 * MERGE_FROM_FILLING;
/// How many files a database keeps open.
const OPEN_FILES: i32 = 256;
/// How many erased spans a read may have to look through.
const ERASED_MAX: usize = 16;
/// How many deleted keys a read of a range may have to pass over.
const DELETIONS_MAX: usize = 1_000;

/// How much memory the databases of a process take together. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    cache: Cache,
    memtables: WriteBufferManager,
    memtable: usize,
    /// How many bytes of committed rows all stores hold that are not in a memtable yet, and how many they may.
    kept: Arc<AtomicUsize>,
    kept_max: usize,
}

impl Budget {
    /// So many bytes in all, and of these at most so many for rows that are not in a file yet: two thirds of them in
    /// memtables, one third in front of those.
    pub fn new(total: usize, unwritten: usize) -> Budget {
        let kept_max = unwritten.min(total) / 3;
        let (total, memtables) = (total - kept_max, unwritten.min(total) - kept_max);
        // By default so small a cache is cut into 64 parts, and what is larger than one of them is never kept.
        let mut parts = LruCacheOptions::default();
        parts.set_capacity(total);
        parts.set_num_shard_bits(1);
        let cache = Cache::new_lru_cache_opts(&parts);
        let manager = WriteBufferManager::new_write_buffer_manager_with_cache(memtables, false, cache.clone());
        let memtable = MEMTABLE.min(memtables.max(64 << 10));
        Budget { cache, memtables: manager, memtable, kept: Arc::default(), kept_max }
    }

    /// How many bytes of blocks, memtables and rows in front of them there are.
    pub fn used(&self) -> usize {
        self.cache.get_usage() + self.kept.load(Ordering::Relaxed)
    }

    fn options(&self) -> Options {
        let mut options = self.family();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_write_buffer_manager(&self.memtables);
        options.set_max_open_files(OPEN_FILES);
        // One thread writes: what lets several in only costs it.
        options.set_allow_concurrent_memtable_write(false);
        options.set_max_background_jobs(2);
        options.set_log_level(LogLevel::Error);
        options.set_keep_log_file_num(1);
        options.set_stats_dump_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    fn family(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_bloom_filter(10.0, false);
        // Index and filter are of the budget too, in pieces: a whole filter of a large file would push all else out.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_pin_top_level_index_and_filter(true);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.memtable);
        options.set_arena_block_size(MEMTABLE_GROWS.min(self.memtable / 8));
        options.set_max_write_buffer_number(3);
        options.set_level_zero_file_num_compaction_trigger(MERGE_FROM);
        options.set_level_zero_slowdown_writes_trigger(SLOW_FROM);
        options.set_level_zero_stop_writes_trigger(STOP_FROM);
        options.set_compression_type(DBCompressionType::None);
        options
    }
}

/// The database of one task.
#[derive(Clone)]
pub struct TaskDb(Rc<Open>);

struct Open {
    db: DB,
    folder: PathBuf,
    writes: WriteOptions,
    budget: Budget,
    /// All column families.
    families: Vec<String>,
}

impl Open {
    /// The offset that the database has of a changelog partition.
    fn offset(&self, store: &str, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        let failed = |error: rocksdb::Error| state_error(store, &self.folder, &error);
        let family = self.db.cf_handle(OFFSETS);
        let read = |family| self.db.get_pinned_cf(family, offset_key(store, topic, partition));
        let Some(value) = family.map(read).transpose().map_err(failed)?.flatten() else { return Ok(None) };
        let offset = value.as_ref().try_into().map_err(|_| StateError::Corrupt {
            store: store.to_owned(),
            folder: self.folder.clone(),
            cause: format!("the offset of {topic}-{partition} has {} bytes", value.len()),
        })?;
        Ok(Some(i64::from_be_bytes(offset)))
    }
}

impl TaskDb {
    /// The offset that a store contains of a changelog partition when it is closed before its next commit.
    pub fn durable(&self, store: &str, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        self.0.offset(store, topic, partition)
    }

    /// Opens the database in a folder, which is made if there is none, with at least these stores in it.
    pub fn open(folder: &Path, stores: &[&str], budget: &Budget) -> Result<TaskDb, StateError> {
        let failed = |error: rocksdb::Error| state_error("", folder, &error);
        let options = budget.options();
        let mut names: Vec<String> = match folder.join("CURRENT").exists() {
            // All that are there must be opened, also those of stores that the topology no longer has.
            true => DB::list_cf(&options, folder).map_err(failed)?,
            false => vec![OFFSETS.to_owned()],
        };
        for store in stores {
            let family = family_name(store);
            if !names.contains(&family) {
                names.push(family);
            }
        }
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, budget.family()));
        let db = DB::open_cf_descriptors(&options, folder, families).map_err(failed)?;
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        let (folder, budget) = (folder.to_owned(), budget.clone());
        Ok(TaskDb(Rc::new(Open { db, folder, writes, budget, families: names })))
    }

    /// Stores are filled from here on, or are complete: files are merged late, or as ever.
    pub fn fill(&self, is_filling: bool) -> Result<(), StateError> {
        let from = if is_filling { MERGE_FROM_FILLING } else { MERGE_FROM };
        let options = [("level0_file_num_compaction_trigger", &*from.to_string())];
        let families = self.0.families.iter().filter_map(|name| Some((name, self.0.db.cf_handle(name)?)));
        families.into_iter().try_for_each(|(name, family)| {
            let set = self.0.db.set_options_cf(family, &options);
            set.map_err(|error| state_error(name, &self.0.folder, &error))
        })
    }

    /// The rows of a store that was named when the database was opened.
    pub fn rows(&self, store: &str) -> Result<RocksRows, StateError> {
        let rows = RocksRows {
            open: Rc::clone(&self.0),
            store: store.to_owned(),
            family: family_name(store),
            waiting: Overlay::default(),
            kept: Kept::default(),
            loaded: Loaded::default(),
            moved: told::Moved::default(),
        };
        rows.family(&rows.family)?;
        Ok(rows)
    }
}

/// So that a store may be called `default` too.
fn family_name(store: &str) -> String {
    format!("s.{store}")
}

/// Where the offset of a store's changelog partition is.
fn offset_key(store: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = store.as_bytes().to_vec();
    // Neither names of topics nor of stores have a zero in them.
    key.push(0);
    key.extend_from_slice(topic.as_bytes());
    key.push(0);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

fn state_error(store: &str, folder: &Path, error: &rocksdb::Error) -> StateError {
    let (store, folder, cause) = (store.to_owned(), folder.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::Corruption => StateError::Corrupt { store, folder, cause },
        // A file that the manifest names, and that is not there, or is short.
        ErrorKind::IOError if cause.contains("No such file") || cause.contains("truncated") => {
            StateError::Corrupt { store, folder, cause }
        }
        ErrorKind::IOError if cause.contains("lock ") => StateError::Locked { path: folder },
        _ => StateError::Engine { store, folder, cause },
    }
}

/// The rows of one store in a task's database.
pub struct RocksRows {
    open: Rc<Open>,
    store: String,
    family: String,
    /// What is not in the database, committed or not.
    waiting: Overlay,
    kept: Kept,
    /// What is restored goes behind what waits, as it comes: nobody reads it before it is committed.
    loaded: Loaded,
    moved: told::Moved,
}

/// Of commits that are not in the database yet.
#[derive(Default)]
struct Kept {
    /// Their offsets, by key.
    offsets: Vec<(Vec<u8>, i64)>,
    /// Since when there is one.
    since: Option<Moment>,
    /// The part of `Budget::kept`.
    bytes: usize,
}

/// Rows in the order in which they came, the last of a key counts.
#[derive(Default)]
struct Loaded {
    bytes: Vec<u8>,
    /// How long key and value are; no value is a deletion.
    rows: Vec<(usize, Option<usize>)>,
}

impl Loaded {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.rows.push((key.len(), value.map(<[u8]>::len)));
    }

    fn write(&self, family: &ColumnFamily, batch: &mut WriteBatch) {
        let mut rest = &self.bytes[..];
        for (key, value) in &self.rows {
            let (key, behind) = rest.split_at(*key);
            let (value_bytes, behind) = behind.split_at(value.unwrap_or(0));
            match value {
                Some(_) => batch.put_cf(family, key, value_bytes),
                None => batch.delete_cf(family, key),
            }
            rest = behind;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }
}

impl RocksRows {
    fn error(&self, error: &rocksdb::Error) -> StateError {
        state_error(&self.store, &self.open.folder, error)
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StateError> {
        self.open.db.cf_handle(name).ok_or_else(|| StateError::Engine {
            store: self.store.clone(),
            folder: self.open.folder.clone(),
            cause: "the database was opened without it".to_owned(),
        })
    }

    fn offset_key(&self, topic: &str, partition: i32) -> Vec<u8> {
        offset_key(&self.store, topic, partition)
    }

    fn committed_rows<'a>(&'a self, span: Span<'_>, order: Order) -> Result<Committed<'a>, StateError> {
        let mut options = ReadOptions::default();
        if let Some(from) = span.from {
            options.set_iterate_lower_bound(from);
        }
        if let Some(to) = span.to {
            options.set_iterate_upper_bound(to);
        }
        let mut iterator = self.open.db.raw_iterator_cf_opt(self.family(&self.family)?, options);
        match order {
            Order::Ascending => iterator.seek_to_first(),
            Order::Descending => iterator.seek_to_last(),
        }
        Ok(Committed { rows: self, iterator, order, ended: false })
    }

    /// Notes how many bytes it keeps in front of the database; says how many all stores keep.
    fn keep(&mut self, bytes: usize) -> usize {
        let before = std::mem::replace(&mut self.kept.bytes, bytes);
        let all = &self.open.budget.kept;
        all.fetch_add(bytes, Ordering::Relaxed);
        all.fetch_sub(before, Ordering::Relaxed) - before
    }

    /// Takes what was committed to the database, rows and offsets in one batch. After an error neither is there: the rows
    /// are those of the offsets that the database has.
    fn write(&mut self) -> Result<(), StateError> {
        // Memory of what is in the batch already is given back while it grows.
        let waiting = std::mem::take(&mut self.waiting);
        let offsets = std::mem::take(&mut self.kept.offsets);
        self.kept.since = None;
        self.keep(0);
        let mut batch = WriteBatch::with_capacity_bytes(waiting.held() + self.loaded.bytes.len());
        let family = self.family(&self.family)?;
        for erased in waiting.erased {
            let to = match erased.to {
                Some(to) => Some(to),
                None => self.after_last(&erased.from)?,
            };
            if let Some(to) = to {
                batch.delete_range_cf(family, erased.from, to);
            }
        }
        for (key, value) in waiting.keys {
            match value {
                Some(value) => batch.put_cf(family, &key[..], &value[..]),
                None => batch.delete_cf(family, &key[..]),
            }
        }
        self.loaded.write(family, &mut batch);
        let offset_family = self.family(OFFSETS)?;
        for (key, offset) in offsets {
            batch.put_cf(offset_family, key, offset.to_be_bytes());
        }
        let bytes = batch.size_in_bytes();
        let written = self.open.db.write_opt(batch, &self.open.writes).map_err(|error| self.error(&error));
        self.moved.wrote(if written.is_ok() { bytes } else { 0 });
        self.loaded.clear();
        written
    }

    /// A key beyond all committed rows from `from` on; None if there are none.
    fn after_last(&self, from: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let span = Span { from: Some(from), to: None };
        let last = self.committed_rows(span, Order::Descending)?.next().transpose()?;
        Ok(last.map(|(key, _)| super::after_key(&key)))
    }
}

impl Drop for RocksRows {
    /// What belongs to a commit goes to the database; what does not cannot be told from it, and the changelog has it all.
    fn drop(&mut self) {
        let is_left = self.kept.since.is_some() && self.waiting.is_settled();
        if is_left && let Err(error) = self.write() {
            tracing::warn!(%error, "rows of the last commits are not on disk, and will be restored from the changelog");
        }
        self.keep(0);
    }
}

/// Committed rows as RocksDB's iterator gives them; it is closed when this is dropped.
struct Committed<'a> {
    rows: &'a RocksRows,
    iterator: DBRawIterator<'a>,
    order: Order,
    ended: bool,
}

impl Iterator for Committed<'_> {
    type Item = Result<Row, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if let (Some(key), Some(value)) = (self.iterator.key(), self.iterator.value()) {
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            match self.order {
                Order::Ascending => self.iterator.next(),
                Order::Descending => self.iterator.prev(),
            }
            return Some(Ok(row));
        }
        self.ended = true;
        self.iterator.status().err().map(|error| Err(self.rows.error(&error)))
    }
}

impl Rows for RocksRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        match self.waiting.get(key) {
            Waiting::Value(value) => Ok(Some(value)),
            Waiting::Nothing => Ok(None),
            Waiting::Unknown => {
                let value = self.open.db.get_pinned_cf(self.family(&self.family)?, key);
                let value = value.map_err(|error| self.error(&error))?;
                self.moved.read(value.as_ref().map_or(0, |value| value.len()));
                Ok(value.map(|value| Bytes::copy_from_slice(&value)))
            }
        }
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        self.waiting.put(key, value);
        Ok(())
    }

    fn load(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        self.loaded.push(key, value);
        Ok(())
    }

    fn range<'a>(&'a self, span: Span<'_>, order: Order) -> RowIter<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        match self.committed_rows(span, order) {
            Ok(committed) => self.waiting.over(committed, span, order),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn delete_range(&mut self, span: Span<'_>) -> Result<(), StateError> {
        self.waiting.erase(span);
        Ok(())
    }

    fn commit(&mut self, offsets: ChangelogOffsets<'_>) -> Result<(), StateError> {
        for (topic, partition, offset) in offsets {
            let key = self.offset_key(topic, *partition);
            match self.kept.offsets.iter_mut().find(|(present, _)| *present == key) {
                Some((_, present)) => *present = *offset,
                None => self.kept.offsets.push((key, *offset)),
            }
        }
        self.waiting.settle();
        let is_old = self.kept.since.get_or_insert_with(Moment::now).elapsed() >= KEPT_FOR;
        let is_too_much = self.keep(self.waiting.held()) > self.open.budget.kept_max;
        let slows_reads = self.waiting.erased.len() > ERASED_MAX || self.waiting.deletions() > DELETIONS_MAX;
        // Rows of a store without a changelog are nowhere else.
        let is_only = offsets.is_empty();
        if is_old || is_too_much || slows_reads || is_only || !self.loaded.rows.is_empty() {
            self.write()?;
        }
        Ok(())
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, StateError> {
        let key = self.offset_key(topic, partition);
        if let Some((_, kept)) = self.kept.offsets.iter().find(|(present, _)| *present == key) {
            return Ok(Some(*kept));
        }
        self.open.offset(&self.store, topic, partition)
    }

    fn flush(&mut self) -> Result<(), StateError> {
        if self.waiting.is_settled() {
            self.write()?;
        }
        let families = [self.family(OFFSETS)?, self.family(&self.family)?];
        self.open.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(|error| self.error(&error))
    }

    fn uncommitted_bytes(&self) -> usize {
        self.waiting.uncommitted() + self.loaded.bytes.len()
    }

    fn is_on_disk(&self) -> bool {
        true
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.properties()
    }

    fn approximate_len(&self) -> u64 {
        let keys = self.family(&self.family).ok().map(|family| {
            self.open.db.property_int_value_cf(family, rocksdb::properties::ESTIMATE_NUM_KEYS).ok().flatten()
        });
        keys.flatten().unwrap_or_default() + self.waiting.keys.len() as u64
    }
}

#[cfg(test)]
mod tests;
