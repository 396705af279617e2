//! One partition's records on their way in: raw ones in order, the head decoded so that its time is known (RecordQueue).
//! Made by the source of the partition's topic; driven by the task. Never reorders, never holds back.
//! A record that cannot be decoded, or has no valid time, is left out here; the last one of such a row stays as a head
//! without content, so that the task's offset passes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use client::consumer::Run;

use super::context::{Context, Origin};
use super::errors::{ErrorContext, Place, ProcessError, ProcessResult, Response, TaskError};
use super::panics::{self, Thrown};
use super::settings::TimestampPolicy;
use super::tally::{NodeTally, Tallies, TopicTally, Way, add, size_of};
use crate::op::edge::TimestampExtractor;
use crate::record::{Data, Header, Record};
use crate::serde::{Part, SerdeError, SharedSerde};
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
    /// Adds records at the end, which stay as they were fetched until each has its turn.
    fn push_run(&mut self, run: Run);
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
    pub(crate) tally: Rc<NodeTally>,
    pub(crate) tallies: Rc<Tallies>,
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
                tally: Rc::clone(&self.tally),
                tallies: Rc::clone(&self.tallies),
                children: Rc::clone(&self.children),
                key: self.key.clone(),
                value: self.value.clone(),
                policy: self.policy,
                extractor: self.extractor.clone(),
            },
            consumed: self.tallies.topic(&self.node, topic, Way::Consumed),
            topic: topic.into(),
            partition,
            waiting: VecDeque::new(),
            count: 0,
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
    raw: Option<Raw>,
    /// How many bytes key, value and headers take; 0 where it only stands for its offset.
    bytes: u64,
}

/// Key and value as bytes.
type Raw = (Option<Bytes>, Option<Bytes>);

/// What was not decoded yet.
enum Waiting {
    One(Incoming),
    Run(Run),
}

/// A record that is lent, to be decoded.
struct Lent<'a> {
    offset: i64,
    timestamp: i64,
    key: Option<Part<'a>>,
    value: Option<Part<'a>>,
    headers: Vec<Header>,
}

/// A record that was decoded, or why it was not.
struct Decoded<K, V> {
    offset: i64,
    record: Result<Record<K, V>, Refused>,
    bytes: u64,
    /// Where somebody may ask for it.
    raw: Option<Raw>,
}

struct Refused {
    timestamp: i64,
    headers: Vec<Header>,
    cause: Cause,
}

/// Why a record was not decoded: its serde said so, or panicked.
enum Cause {
    Serde(SerdeError),
    Panic(Thrown),
}

struct TypedQueue<K, V> {
    source: TypedSource<K, V>,
    consumed: Rc<TopicTally>,
    topic: Rc<str>,
    partition: i32,
    waiting: VecDeque<Waiting>,
    /// How many records wait.
    count: usize,
    head: Option<Head<K, V>>,
    current: Option<Head<K, V>>,
    partition_time: i64,
}

impl<K: Data, V: Data> TypedSource<K, V> {
    #[inline]
    fn decode(&self, lent: Lent<'_>, is_traced: bool) -> Decoded<K, V> {
        let Lent { offset, timestamp, key, value, headers } = lent;
        let length = |part: Option<Part<'_>>| part.map(|part| part.as_slice().len());
        let size = size_of(length(key), length(value), &headers);
        let raw_bytes = || (key.map(Part::to_bytes), value.map(Part::to_bytes));
        let decoded_key = || key.map(|key| self.key.deserialize_part(key)).transpose();
        let decoded_value = || value.map(|value| self.value.deserialize_part(value)).transpose();
        let both = || decoded_key().and_then(|key| Ok((key, decoded_value()?)));
        // A serde has no state that a panic could leave half changed.
        let cause = match catch_unwind(AssertUnwindSafe(both)) {
            Ok(Ok((key, value))) => {
                let raw = is_traced.then(raw_bytes);
                return Decoded { offset, record: Ok(Record { key, value, timestamp, headers }), bytes: size, raw };
            }
            Ok(Err(error)) => Cause::Serde(error),
            Err(thrown) => Cause::Panic(thrown),
        };
        let record = Err(Refused { timestamp, headers, cause });
        Decoded { offset, record, bytes: size, raw: Some(raw_bytes()) }
    }
}

impl<K: Data, V: Data> TypedQueue<K, V> {
    fn place(&self, offset: i64) -> Place {
        Place { topic: self.topic.to_string(), partition: self.partition, offset }
    }

    /// Decodes the next record that waits.
    fn decode_next(&mut self, is_traced: bool) -> Option<Decoded<K, V>> {
        loop {
            let decoded = match self.waiting.front_mut()? {
                Waiting::Run(run) => run.next_record().map(|record| self.source.decode(lent(&record), is_traced)),
                Waiting::One(_) => None,
            };
            if decoded.is_some() {
                self.count -= 1;
                return decoded;
            }
            // A run that was read to its end, or one record.
            if let Some(Waiting::One(raw)) = self.waiting.pop_front() {
                self.count -= 1;
                let key = raw.key.as_ref().map(|key| Part::of(key, key));
                let value = raw.value.as_ref().map(|value| Part::of(value, value));
                let lent = Lent { offset: raw.offset, timestamp: raw.timestamp, key, value, headers: raw.headers };
                return Some(self.source.decode(lent, is_traced));
            }
        }
    }

    /// The time of a record by its source's extractor; negative to leave it out.
    fn timestamp(&self, record: &Record<K, V>, offset: i64, context: &Context) -> Result<i64, TaskError> {
        if let Some(extractor) = &self.source.extractor {
            // No handler is asked about an extractor (Java: RecordQueue.updateHead, a StreamsException).
            let extracted = catch_unwind(AssertUnwindSafe(|| extractor(record, self.partition_time)));
            return extracted.map_err(|thrown| panics::fatal(thrown, self.place(offset)));
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
    fn refuse(&self, offset: i64, refused: Refused, (key, value): Raw, context: &mut Context) -> Result<(), TaskError> {
        let place = self.place(offset);
        let cause = match refused.cause {
            Cause::Serde(error) => ProcessError::of_serde(error),
            Cause::Panic(thrown) => ProcessError::named("panic", panics::text(&thrown)),
        };
        let about = ErrorContext {
            node: &self.source.node,
            place: &place,
            timestamp: refused.timestamp,
            headers: &refused.headers,
            key: key.as_ref(),
            value: value.as_ref(),
            error: &cause,
        };
        match context.fail_deserialization(&about)? {
            Response::Continue => Ok(()),
            Response::Fail => Err(TaskError::Deserialization { place, cause }),
        }
    }
}

#[inline]
fn lent<'a>(record: &client::consumer::Record<'a>) -> Lent<'a> {
    let (buffer, mut headers) = (record.buffer(), Vec::new());
    let part = |bytes: &'a [u8]| Part::of(buffer, bytes);
    for (name, value) in record.headers() {
        let name = String::from_utf8_lossy(name).into_owned();
        headers.push((name, value.map(|value| buffer.slice_ref(value))));
    }
    let (key, value) = (record.key.map(part), record.value.map(part));
    Lent { offset: record.offset, timestamp: record.timestamp, key, value, headers }
}

impl<K: Data, V: Data> Queue for TypedQueue<K, V> {
    fn push(&mut self, record: Incoming) {
        self.count += 1;
        self.waiting.push_back(Waiting::One(record));
    }

    fn push_run(&mut self, run: Run) {
        self.count += run.len();
        self.waiting.push_back(Waiting::Run(run));
    }

    fn refresh(&mut self, context: &mut Context) -> Result<(), TaskError> {
        let mut left_out = None;
        while self.head.is_none() {
            let Some(Decoded { offset, record, bytes, raw }) = self.decode_next(context.trace.is_some()) else { break };
            let mut record = match record {
                Ok(record) => record,
                Err(refused) => {
                    left_out = Some(offset);
                    self.refuse(offset, refused, raw.unwrap_or_default(), context)?;
                    continue;
                }
            };
            let timestamp = self.timestamp(&record, offset, context)?;
            if timestamp < 0 {
                left_out = Some(offset);
                context.drop_record();
                continue;
            }
            record.timestamp = timestamp;
            self.head = Some(Head { offset, timestamp, record: Some(record), raw, bytes });
        }
        if let (None, Some(offset)) = (&self.head, left_out) {
            self.head = Some(Head { offset, timestamp: -1, record: None, raw: None, bytes: 0 });
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.count + usize::from(self.head.is_some())
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
        self.consumed.add(head.bytes);
        let taken = (head.timestamp, head.offset);
        self.current = Some(head);
        self.refresh(context)?;
        Ok(taken)
    }

    fn run(&mut self, context: &mut Context) -> ProcessResult {
        let Some(Head { offset, record: Some(record), raw, .. }) = self.current.take() else { return Ok(()) };
        let origin = Origin { topic: Some(Rc::clone(&self.topic)), partition: self.partition, offset };
        context.replace_origin(origin);
        let tally = &self.source.tally;
        add(&tally.records, 1);
        tally.times.add(context.wall_clock().saturating_sub(record.timestamp));
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
        self.waiting.clear();
        self.count = 0;
        (self.head, self.current, self.partition_time) = (None, None, -1);
    }
}
