//! A task as a thread holds it: with its role, its changelogs and how far they are contained in its stores.
//!
//! Used by `thread.rs` and its parts. Never polls: what was read is handed in.

use client::TopicPartition;
use client::consumer::{OwnedRecord, Record};

use super::topics::changelog_name;
use crate::assign::TaskId;
use crate::state::StateError;
use crate::state::directory::TaskFolder;
use crate::task::{Incoming, Task};
use crate::topology::Topology;
use crate::topology::store::Changelog;

/// What a thread does with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
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
}

/// A task of a thread.
pub(crate) struct Held {
    pub id: TaskId,
    pub task: Task,
    pub role: Role,
    pub logs: Vec<Log>,
    /// Given back when the stores are closed: fields are dropped in their order.
    _folder: Option<TaskFolder>,
}

impl Held {
    /// With its changelogs as far as its stores contain them.
    pub fn new(
        id: TaskId,
        task: Task,
        folder: Option<TaskFolder>,
        (topology, application): (&Topology, &str),
        role: Role,
    ) -> Result<Held, StateError> {
        let mut logs = Vec::new();
        for name in task.stores().names() {
            let Some(definition) = topology.stores().iter().find(|store| store.name == *name) else {
                continue;
            };
            let Some(topic) = changelog_name(definition, topology, application) else { continue };
            let Some(held) = task.stores().held(name) else { continue };
            let position = held.task.committed(&topic, id.partition)?.unwrap_or(0);
            let is_own = matches!(definition.changelog, Changelog::Own(_));
            let place = TopicPartition::new(&topic, id.partition);
            logs.push(Log { store: name.clone(), place, position, start: position, end: None, is_own });
        }
        Ok(Held { id, task, role, logs, _folder: folder })
    }

    /// Whether every store contains its changelog up to the end.
    pub fn is_restored(&self) -> bool {
        self.logs.iter().all(|log| log.end.is_some_and(|end| log.position >= end))
    }

    /// The sum of the offsets that its stores contain.
    pub fn offset_sum(&self) -> i64 {
        self.logs.iter().map(|log| log.position).sum()
    }

    /// Puts a record of a changelog into its store.
    pub fn restore(&self, log: usize, record: &OwnedRecord) -> Result<(), StateError> {
        let log = &self.logs[log];
        let Some(held) = self.task.stores().held(&log.store) else { return Ok(()) };
        // Rows of a store always have a key; what has none was not written by an application.
        let Some(key) = record.key.clone() else { return Ok(()) };
        let headers = headers_of(record);
        held.task.restore(key, record.value.clone(), record.timestamp, &headers)
    }

    /// Makes rows durable together with the offsets that they contain.
    pub fn commit_stores(&mut self) -> Result<(), StateError> {
        for log in &self.logs {
            if let Some(held) = self.task.stores().held(&log.store) {
                held.task.commit(&[(log.place.topic.as_str(), log.place.partition, log.position)])?;
            }
        }
        Ok(())
    }
}

fn headers_of(record: &OwnedRecord) -> Vec<crate::record::Header> {
    let name = |name: &bytes::Bytes| String::from_utf8_lossy(name).into_owned();
    record.headers.iter().map(|(key, value)| (name(key), value.clone())).collect()
}

/// A record of a source topic as a task takes it: key and value lie where they were fetched.
pub(crate) fn incoming(record: &Record<'_>) -> Incoming {
    let record = record.to_owned();
    let headers = if record.headers.is_empty() { Vec::new() } else { headers_of(&record) };
    Incoming {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers,
    }
}
