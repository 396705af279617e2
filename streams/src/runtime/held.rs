//! A task as a thread holds it: with its role, its changelogs and how far they are contained in its stores.
//!
//! Used by `thread.rs` and its parts. Never polls: what was read is handed in.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use client::TopicPartition;
use client::consumer::{Offsets, OwnedRecord, Record};
use millstream_base_env::clock::Moment;

use super::decide::Patience;
use super::disk::{Disk, Opened};
use super::pending::Pending;
use super::topics::changelog_name;
use crate::assign::TaskId;
use crate::serde::Part;
use crate::state::StateError;
use crate::state::directory::TaskFolder;
use crate::state::engines::{KEPT_FOR, TaskRows};
use crate::store::{Call, TaskStore};
use crate::task::{Incoming, Task};
use crate::topology::Topology;
use crate::topology::store::Changelog;

/// How many records of its changelogs a task lacks that is worth a change of its database's settings and back.
const FILLS: u64 = 250_000;

/// What a thread does with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is to run; where its inputs and changelogs stand is not known yet.
    Created,
    /// Its stores are filled before the first record.
    Restoring,
    /// It processes records.
    Active,
    /// Its stores follow the task that runs elsewhere.
    Standby,
}

/// The changelog of one store.
pub(crate) struct Log {
    pub store: String,
    pub place: TopicPartition,
    /// The offset of the next record that the store does not contain yet.
    pub position: i64,
    /// Where the restore began.
    pub start: i64,
    /// Where the restore ends; None for a standby, which never ends.
    pub end: Option<i64>,
    /// Whether this application writes it; a source topic is written by others.
    pub is_own: bool,
    /// What the rows contain that outlive the process: 0 of a store in memory.
    pub stored: i64,
    /// Since when it is restored.
    pub since: Option<Moment>,
    is_persistent: bool,
}

/// What the cluster knows of a task that is to run.
#[derive(Default)]
pub(crate) struct Found {
    /// What was committed of its partitions and of source topics that serve as changelogs.
    pub committed: Offsets,
    /// Where its changelogs end.
    pub ends: BTreeMap<TopicPartition, i64>,
    /// Where those begin of which its stores contain something.
    pub firsts: BTreeMap<TopicPartition, i64>,
}

/// What has to be known before these partitions are read.
pub(crate) struct Lookup {
    pub places: Vec<TopicPartition>,
    /// None until it is asked, or asked again.
    pub pending: Option<Pending<Found>>,
    /// When it was last not answered.
    pub failed: Option<Moment>,
}

/// A task of a thread.
pub(crate) struct Held {
    pub id: TaskId,
    pub task: Task,
    pub role: Role,
    pub logs: Vec<Log>,
    /// What was committed last of each of its partitions, as far as it is known.
    pub committed: BTreeMap<TopicPartition, i64>,
    /// What the cluster was asked about it.
    pub lookup: Option<Lookup>,
    /// The first of the errors in a row that concern it alone.
    pub trouble: Option<Moment>,
    /// Those of its stores whose rows wait for commits.
    persistent: Vec<Rc<dyn TaskStore>>,
    rows: TaskRows,
    is_filling: bool,
    /// When its stores were committed last, if what they keep since was not written.
    kept: Option<Moment>,
    /// Given back when the stores are closed: fields are dropped in their order.
    folder: Option<TaskFolder>,
}

impl Held {
    /// With its changelogs as far as its stores contain them.
    pub fn new(
        id: TaskId,
        task: Task,
        Opened { rows, folder }: Opened,
        (topology, application, disk): (&Topology, &str, &Disk),
        role: Role,
    ) -> Result<Held, StateError> {
        let (mut logs, mut persistent) = (Vec::new(), Vec::new());
        for name in task.stores().names() {
            let Some(definition) = topology.stores().iter().find(|store| store.name == *name) else {
                continue;
            };
            let Some(held) = task.stores().held(name) else { continue };
            let is_persistent = disk.is_persistent(definition);
            if is_persistent {
                persistent.push(Rc::clone(&held.task));
            }
            let Some(topic) = changelog_name(definition, topology, application) else { continue };
            let position = held.task.committed(&topic, id.partition)?.unwrap_or(0);
            let is_own = matches!(definition.changelog, Changelog::Own(_));
            let place = TopicPartition::new(&topic, id.partition);
            logs.push(Log {
                store: name.clone(),
                place,
                position,
                start: position,
                end: None,
                is_own,
                stored: if is_persistent { position } else { 0 },
                since: None,
                is_persistent,
            });
        }
        let committed = BTreeMap::new();
        let (lookup, trouble, is_filling, kept) = (None, None, false, None);
        Ok(Held { id, task, role, logs, committed, lookup, trouble, persistent, rows, is_filling, kept, folder })
    }

    /// Deletes its state; it is made anew from its changelogs.
    pub fn wipe(self) -> Result<(), StateError> {
        let Held { mut task, folder, persistent, rows, .. } = self;
        task.close();
        // Closes the database.
        drop((task, persistent, rows));
        folder.map_or(Ok(()), |folder| folder.wipe())
    }

    /// Offsets of its inputs that the group has by now.
    pub fn committed(&mut self, offsets: &Offsets) {
        for input in self.task.inputs() {
            let place = TopicPartition::new(&input.topic, input.partition);
            let Some(at) = offsets.get(&place).map(|at| at.offset) else { continue };
            // A source topic that serves as changelog is in the store up to what was processed of it.
            for log in self.logs.iter_mut().filter(|log| !log.is_own && log.place == place) {
                log.position = at;
            }
            self.committed.insert(place, at);
        }
    }

    /// Whether a partition that it reads may not be read yet.
    pub fn is_looked_up(&self, place: &TopicPartition) -> bool {
        self.lookup.as_ref().is_some_and(|lookup| lookup.places.contains(place))
    }

    /// Whether nothing of it was asked yet.
    pub fn is_new(&self) -> bool {
        self.role == Role::Created && self.lookup.is_none()
    }

    /// It reads these partitions no more, so that nothing has to be known of them.
    pub fn look_up_no_more(&mut self, gone: &[TopicPartition]) {
        let Some(lookup) = &mut self.lookup else { return };
        lookup.places.retain(|place| !gone.contains(place));
        // Of a task that is to run, its changelogs are asked about too.
        if lookup.places.is_empty() && self.role != Role::Created {
            self.lookup = None;
        }
    }

    /// Whether every store contains its changelog up to the end.
    pub fn is_restored(&self) -> bool {
        self.logs.iter().all(|log| log.end.is_some_and(|end| log.position >= end))
    }

    /// How many records of its changelogs its stores lack.
    pub fn remaining(&self) -> u64 {
        let missing = self.logs.iter().map(|log| log.end.map_or(0, |end| (end - log.position).max(0)));
        missing.map(i64::unsigned_abs).sum()
    }

    /// Its stores are to be filled: where much is missing, files are merged at the end instead of again and again.
    pub fn begin_filling(&mut self) {
        if self.remaining() >= FILLS && !self.is_filling {
            self.fill(true);
        }
    }

    /// Its stores are complete, or are not waited for any more.
    pub fn end_filling(&mut self) {
        if self.is_filling {
            self.fill(false);
        }
    }

    fn fill(&mut self, is_filling: bool) {
        self.is_filling = is_filling;
        if let Err(error) = self.rows.fill(is_filling) {
            tracing::warn!(task = %self.id, %error, "when files of the state are merged could not be changed");
        }
    }

    /// The sum of the offsets that its stores contain.
    pub fn offset_sum(&self) -> i64 {
        self.logs.iter().map(|log| log.position).sum()
    }

    /// The sum of the offsets that its stores will contain when they are opened again.
    pub fn stored(&self) -> i64 {
        self.logs.iter().map(|log| log.stored).sum()
    }

    /// The same where it is closed with writes that no commit has.
    pub fn durable(&self) -> i64 {
        let of_log = |log: &Log| self.rows.durable(&log.store, &log.place.topic, log.place.partition).ok().flatten();
        self.logs.iter().filter(|log| log.is_persistent).filter_map(of_log).sum()
    }

    /// Has its stores write what they keep of commits, of which the last is long ago.
    pub fn write_kept(&mut self) -> Result<(), StateError> {
        if self.kept.is_none_or(|at| at.elapsed() < KEPT_FOR) {
            return Ok(());
        }
        self.kept = None;
        // A commit without offsets is written at once.
        self.persistent.iter().try_for_each(|store| store.commit(&[]))
    }

    /// How many bytes of rows wait in memory for a commit; rows that stay in memory do not wait.
    pub fn uncommitted_bytes(&self) -> usize {
        self.persistent.iter().map(|store| store.uncommitted_bytes()).sum()
    }

    /// Makes rows durable together with the offsets that they contain.
    pub fn commit_stores(&mut self) -> Result<(), StateError> {
        self.kept = (!self.persistent.is_empty()).then(Moment::now);
        (0..self.logs.len()).try_for_each(|log| self.commit_store(log))?;
        let stores = self.task.stores();
        for name in stores.names().iter().filter(|name| !self.logs.iter().any(|log| log.store == **name)) {
            // One without a changelog has only its rows.
            stores.held(name).map_or(Ok(()), |held| held.task.commit(&[]))?;
        }
        Ok(())
    }

    /// The same of the store of one changelog.
    pub fn commit_store(&mut self, log: usize) -> Result<(), StateError> {
        let log = &mut self.logs[log];
        let Some(held) = self.task.stores().held(&log.store) else { return Ok(()) };
        let begun = Moment::now();
        held.task.commit(&[(log.place.topic.as_str(), log.place.partition, log.position)])?;
        if let Some(tally) = self.task.tallies().store(&log.store) {
            tally.took(Call::Commit, begun.elapsed());
        }
        log.stored = if log.is_persistent { log.position } else { 0 };
        Ok(())
    }
}

/// Whether errors in a row, of which the first came at `trouble`, may go on; another one has come.
pub(super) fn patience(trouble: &mut Option<Moment>, limit: Duration) -> Patience {
    let waited = trouble.get_or_insert_with(Moment::now).elapsed();
    if waited >= limit { Patience::Over } else { Patience::Left }
}

/// Puts a record of a changelog into its store.
pub(super) fn restore(store: &crate::store::Held, record: &Record<'_>) -> Result<(), StateError> {
    let part = |bytes| Part::of(record.buffer(), bytes);
    // Rows of a store always have a key; what has none was not written by an application.
    let Some(key) = record.key.map(part) else { return Ok(()) };
    store.task.restore(key, record.value.map(part), record.timestamp)
}

fn headers_of(record: &OwnedRecord) -> Vec<crate::record::Header> {
    let name = |name: &bytes::Bytes| String::from_utf8_lossy(name).into_owned();
    record.headers.iter().map(|(key, value)| (name(key), value.clone())).collect()
}

/// A record of a source topic as a task takes it: key and value lie where they were fetched.
pub(crate) fn incoming(record: &Record<'_>) -> Incoming {
    let record = record.to_owned();
    let headers = if record.headers.is_empty() { Vec::new() } else { headers_of(&record) };
    Incoming { offset: record.offset, timestamp: record.timestamp, key: record.key, value: record.value, headers }
}
