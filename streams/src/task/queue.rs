//! One partition's records on their way in: raw ones in order, the head decoded so that its time is known (RecordQueue).
//! Made by the source of the partition's topic; driven by the task. Never reorders, never holds back.
//! A record that cannot be decoded, or has no valid time, is left out here; the last one of such a row stays as a head
//! without content, so that the task's offset passes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use super::context::{Context, Origin};
use super::errors::{ErrorContext, Place, ProcessError, ProcessResult, TaskError};
use super::settings::TimestampPolicy;
use crate::op::edge::TimestampExtractor;
use crate::record::{Data, Header, Record};
use crate::serde::{DESERIALIZATION_CLASS, SerdeError, SharedSerde};
use crate::topology::processor::Children;

/// A record as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// A source of a task.
pub trait SourceNode {
    /// The queue of one partition of one of its topics.
    fn queue(&self, topic: &str, partition: i32) -> Box<dyn Queue>;
}

/// One partition's records.
pub trait Queue {
    /// Adds a record at the end.
    fn push(&mut self, record: Incoming);
    /// Decodes the next record, if none is.
    fn refresh(&mut self, context: &mut Context) -> Result<(), TaskError>;
    /// How many records there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The time of the head; -1 if it has no content.
    fn head_timestamp(&self) -> i64;
    /// The offset of the head.
    fn head_offset(&self) -> Option<i64>;
    /// Takes the head out, to be run next, and decodes the one behind it: its time and offset.
    fn take(&mut self, context: &mut Context) -> Result<(i64, i64), TaskError>;
    /// Sends the record that was taken through the topology.
    fn run(&mut self, context: &mut Context) -> ProcessResult;
    /// The largest time taken out so far; -1 if there is none.
    fn partition_time(&self) -> i64;
    /// Starts from that time (from the metadata of the committed offset).
    fn set_partition_time(&mut self, timestamp: i64);
    /// Forgets all records.
    fn clear(&mut self);
}

/// The typed source behind the queues.
pub(crate) struct TypedSource<K, V> {
    pub(crate) node: Rc<str>,
    pub(crate) children: Rc<RefCell<Children<K, V>>>,
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) policy: TimestampPolicy,
    pub(crate) extractor: Option<TimestampExtractor<K, V>>,
}

impl<K: Data, V: Data> SourceNode for TypedSource<K, V> {
    fn queue(&self, topic: &str, partition: i32) -> Box<dyn Queue> {
        Box::new(TypedQueue {
            source: TypedSource {
                node: Rc::clone(&self.node),
                children: Rc::clone(&self.children),
                key: self.key.clone(),
                value: self.value.clone(),
                policy: self.policy,
                extractor: self.extractor.clone(),
            },
            topic: topic.into(),
            partition,
            raw: VecDeque::new(),
            head: None,
            current: None,
            partition_time: -1,
        })
    }
}

struct Head<K, V> {
    offset: i64,
    timestamp: i64,
    /// None if it only stands for its offset.
    record: Option<Record<K, V>>,
    raw: Option<(Option<Bytes>, Option<Bytes>)>,
}

struct TypedQueue<K, V> {
    source: TypedSource<K, V>,
    topic: Rc<str>,
    partition: i32,
    raw: VecDeque<Incoming>,
    head: Option<Head<K, V>>,
    current: Option<Head<K, V>>,
    partition_time: i64,
}

impl<K: Data, V: Data> TypedQueue<K, V> {
    fn place(&self, offset: i64) -> Place {
        Place { topic: self.topic.to_string(), partition: self.partition, offset }
    }

    fn decode(&self, raw: &mut Incoming) -> Result<Record<K, V>, SerdeError> {
        let key = raw.key.clone().map(|key| self.source.key.deserialize(key)).transpose()?;
        let value = raw.value.clone().map(|value| self.source.value.deserialize(value)).transpose()?;
        Ok(Record { key, value, timestamp: raw.timestamp, headers: std::mem::take(&mut raw.headers) })
    }

    /// The time of a record by its source's extractor; negative to leave it out.
    fn timestamp(&self, record: &Record<K, V>, offset: i64, context: &Context) -> Result<i64, TaskError> {
        if let Some(extractor) = &self.source.extractor {
            return Ok(extractor(record, self.partition_time));
        }
        let invalid = record.timestamp < 0;
        match self.source.policy {
            TimestampPolicy::WallClock => Ok(context.wall_clock()),
            TimestampPolicy::PartitionTime if invalid && self.partition_time >= 0 => Ok(self.partition_time),
            TimestampPolicy::PartitionTime | TimestampPolicy::Fail if invalid => {
                Err(TaskError::Timestamp { place: self.place(offset), timestamp: record.timestamp })
            }
            _ => Ok(record.timestamp),
        }
    }

    #[cold]
    fn refuse(&self, raw: &Incoming, error: SerdeError, context: &mut Context) -> Result<(), TaskError> {
        let (place, cause) = (self.place(raw.offset), deserialization(error));
        let about = ErrorContext {
            node: &self.source.node,
            place: &place,
            timestamp: raw.timestamp,
            headers: &raw.headers,
            key: raw.key.as_ref(),
            value: raw.value.as_ref(),
            error: &cause,
        };
        context.fail_deserialization(&about, deserialization(error))
    }
}

fn deserialization(error: SerdeError) -> ProcessError {
    ProcessError::named(DESERIALIZATION_CLASS, error.to_string())
}

impl<K: Data, V: Data> Queue for TypedQueue<K, V> {
    fn push(&mut self, record: Incoming) {
        self.raw.push_back(record);
    }

    fn refresh(&mut self, context: &mut Context) -> Result<(), TaskError> {
        let mut left_out = None;
        while self.head.is_none() {
            let Some(mut raw) = self.raw.pop_front() else { break };
            let mut record = match self.decode(&mut raw) {
                Ok(record) => record,
                Err(error) => {
                    left_out = Some(raw.offset);
                    self.refuse(&raw, error, context)?;
                    continue;
                }
            };
            let timestamp = self.timestamp(&record, raw.offset, context)?;
            if timestamp < 0 {
                left_out = Some(raw.offset);
                context.drop_record();
                continue;
            }
            record.timestamp = timestamp;
            let bytes = context.trace.is_some().then_some((raw.key, raw.value));
            self.head = Some(Head { offset: raw.offset, timestamp, record: Some(record), raw: bytes });
        }
        if let (None, Some(offset)) = (&self.head, left_out) {
            self.head = Some(Head { offset, timestamp: -1, record: None, raw: None });
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.raw.len() + usize::from(self.head.is_some())
    }

    fn head_timestamp(&self) -> i64 {
        self.head.as_ref().map_or(-1, |head| head.timestamp)
    }

    fn head_offset(&self) -> Option<i64> {
        self.head.as_ref().map(|head| head.offset)
    }

    fn take(&mut self, context: &mut Context) -> Result<(i64, i64), TaskError> {
        let Some(head) = self.head.take() else {
            return Err(TaskError::Broken("a queue without records was asked for one".to_owned()));
        };
        self.partition_time = self.partition_time.max(head.timestamp);
        let taken = (head.timestamp, head.offset);
        self.current = Some(head);
        self.refresh(context)?;
        Ok(taken)
    }

    fn run(&mut self, context: &mut Context) -> ProcessResult {
        let Some(Head { offset, record: Some(record), raw, .. }) = self.current.take() else { return Ok(()) };
        let origin = Origin { topic: Some(Rc::clone(&self.topic)), partition: self.partition, offset };
        context.replace_origin(origin);
        if let (Some(trace), Some((key, value))) = (context.trace.as_mut(), raw) {
            trace.timestamp = record.timestamp;
            trace.headers.clone_from(&record.headers);
            (trace.key, trace.value) = (key, value);
        }
        self.source.children.borrow_mut().forward(record, context)
    }

    fn partition_time(&self) -> i64 {
        self.partition_time
    }

    fn set_partition_time(&mut self, timestamp: i64) {
        self.partition_time = timestamp;
    }

    fn clear(&mut self) {
        self.raw.clear();
        (self.head, self.current, self.partition_time) = (None, None, -1);
    }
}
