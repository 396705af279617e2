//! Where the bytes of a task go: sinks, changelogs and dead letters.
//! Implemented by the runtime's producer and by the test driver; called by sinks and stores through `Context`. Slices only,
//! so that a producer can write them into its batch without another copy.

use crate::record::Header;

/// A topic by the number that the collector gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(pub u32);

/// Which partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// That of a key by these bytes (a windowed key is placed by the key inside).
    Hash(&'a [u8]),
    /// This one.
    Partition(u32),
    /// The producer's choice: there is no key.
    Any,
}

/// A record on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its topic.
    pub topic: TopicId,
    /// Its partition.
    pub to: To<'a>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its time; None lets the producer take the present.
    pub timestamp: Option<i64>,
    /// Its headers.
    pub headers: &'a [Header],
}

/// Takes the bytes of a task.
pub trait Collector {
    /// The number of a topic; the same name has the same number.
    fn topic(&mut self, name: &str) -> TopicId;

    /// How many partitions a topic has.
    fn partitions(&mut self, topic: TopicId) -> u32;

    /// Takes a record. An error ends the task; what the producer finds out later comes with its flush.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendFailure>;

    /// The record that no broker takes, of the last failure, may not be missing: an open transaction is not committed.
    fn spoil(&mut self) {}
}

/// What a send that failed means for those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: this record is one that no broker takes, such as one that is too large.
    Record,
    /// The producer can send no more, or not now.
    Producer,
}

/// A record could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot send to {topic}: {cause}")]
pub struct SendFailure {
    /// The topic.
    pub topic: String,
    /// Why.
    pub cause: String,
    /// Whether it is about this record alone.
    pub fault: Fault,
}
