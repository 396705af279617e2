//! Records wait here in batches, a queue per partition, until they are due (Java: `RecordAccumulator`).
//!
//! Pure: the time comes as an argument and nothing waits. Callers append under one short lock; the sender drains what
//! is due, gives back what is to be sent again, and takes out what is too old.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use millstream_protocol::compress::Codec;
use millstream_protocol::murmur2::partition_for_key;
use millstream_protocol::record::record_size;
use uuid::Uuid;

use super::batch::{Batch, Now, Place, Size};
use super::delivery::{Delivery, Promise};
use super::idempotent::{Repair, Sequences, Stamp};
use super::partition::{Full, Sticky};
use super::plugin::Partitioner;
use super::txn::{Answer, Effect, Heard, Transactions};
use super::{NewRecord, header_bytes};
use crate::config::{Idempotence, Keys, Missing, ProducerConfig, Spread};
use crate::error::ClientError;
use crate::metadata::TopicView;

/// Batches for a wake-up of the sender while an answer is awaited.
const WAKE_EVERY: usize = 4;
/// What a batch takes on the wire besides its records, at most.
const BATCH_OVERHEAD: usize = 61 + 5;

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// A request is under way and order is kept by sending one at a time (no idempotence, one in flight).
    muted: bool,
    /// The offset behind the last record that was written, as far as brokers told it.
    end: Option<i64>,
}

struct Topic {
    name: Arc<str>,
    view: Arc<TopicView>,
    sticky: Sticky,
    queues: Vec<Queue>,
    /// Compressed size over plain size, as it was lately (Java: `CompressionRatioEstimator`).
    ratio: f32,
    /// When a batch was last begun; None before the first.
    used_ms: Option<i64>,
}

impl Topic {
    /// The partition for a record, and whether it is the one for records without a key.
    #[inline]
    fn partition_of(
        &mut self,
        record: &NewRecord<'_>,
        config: &ProducerConfig,
        partitioner: Option<&Arc<dyn Partitioner>>,
    ) -> (i32, bool) {
        match (record.partition, record.key) {
            (Some(partition), _) => (partition, false),
            _ if partitioner.is_some() => (partitioner.map_or(0, |own| own.partition(record, &self.view)), false),
            (None, Some(key)) if config.keys == Keys::ChoosePartition => {
                (partition_for_key(key, self.view.leaders.len() as i32), false)
            }
            _ => {
                let queues = &self.queues;
                let all_full = |at: i32| queues[at as usize].batches.back().is_none_or(Batch::is_full);
                (self.sticky.choose(&self.view, config.batch_bytes, all_full), true)
            }
        }
    }
}

/// Whether someone awaits the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    Yes,
    No,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It stands in a batch; `wake` when the sender has something new to look at.
    Done { wake: bool },
    /// The topic's partitions are not known yet, or not as many as asked for.
    UnknownTopic,
    /// `buffer.memory` is used up.
    NoMemory,
}

/// What a broker can take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Another request.
    Ready,
    /// Nothing until an answer comes.
    Busy,
    /// Nothing until a connection is open.
    Unconnected,
}

/// Batches for one broker, each with its stamp.
pub(crate) type Request = (i32, Vec<(Batch, Option<Stamp>)>);

/// What is to be done now.
#[derive(Default)]
pub(crate) struct Due {
    pub requests: Vec<Request>,
    /// Brokers to connect to, for which something is due.
    pub connect: Vec<i32>,
    /// Whether a partition with records has no leader that is known.
    pub leaderless: bool,
    /// Batches past `delivery.timeout.ms`, already out of the queues.
    pub expired: Vec<Batch>,
    /// When to look again, if nothing else happens.
    pub again_ms: Option<i64>,
}

/// Since when a broker takes nothing, for `partitioner.availability.timeout.ms` (Java: `NodeLatencyStats`).
#[derive(Clone, Copy)]
struct Availability {
    drained_ms: i64,
    ready_ms: i64,
}

/// The queues of a producer.
pub(crate) struct Accumulator {
    /// Places whose queue has batches: nothing else is looked at while batches leave.
    filled: BTreeSet<Place>,
    /// In place of keys and stickiness.
    pub partitioner: Option<Arc<dyn Partitioner>>,
    /// By broker; empty while the setting is 0.
    availability: HashMap<i32, Availability>,
    config: ProducerConfig,
    names: HashMap<String, usize>,
    topics: Vec<Topic>,
    /// Topic of the last append, which is likely that of the next.
    recent: usize,
    next_id: u64,
    /// Bytes against `buffer.memory`.
    used: usize,
    /// Callers that wait for memory.
    pub starving: usize,
    /// The caller is the first of them: no other begins a batch, or small records would overtake a large one for ever.
    pub first_in_line: bool,
    /// Callers that wait in flush: for all batches below these.
    flushing: Vec<u64>,
    /// Buffers of batches that are settled, and the bytes that they take.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// Bytes freed since those who wait for memory were woken.
    freed: usize,
    /// No more appends.
    pub closed: bool,
    /// Batches that are not settled.
    incomplete: BTreeSet<u64>,
    /// Failures of records that nobody awaits, for flush to tell.
    pub unobserved_failures: Vec<ClientError>,
    /// What stops the producer for good.
    pub fatal: Option<ClientError>,
    pub sequences: Option<Sequences>,
    pub transactions: Option<Transactions>,
    /// Brokers that could take nothing when something was due for them; their answers wake the sender anyway.
    busy: Vec<i32>,
    /// Brokers with a request under way at the last drain.
    pub flying: Vec<i32>,
    /// When the sender looks again without being woken.
    looks_at_ms: Option<i64>,
    /// Batches begun since the last drain.
    begun: usize,
    /// The last place that was drained, so that none starves.
    rotation: Place,
    /// By broker the filled places that it leads, in their order; made anew by each drain.
    led: HashMap<i32, Vec<Place>>,
    /// For the lengths of queues.
    loads: Vec<(i32, u32)>,
    /// Topics whose queues were not all empty at the last drain.
    weighed: Vec<usize>,
}

impl Accumulator {
    /// Keeps why records of a batch were given up, for the next flush: the same thing once.
    pub fn note(&mut self, error: &ClientError) {
        // As many as partitions and reasons, and never so many that looking for one takes long.
        const MAX: usize = 1000;
        let text = error.to_string();
        let known = self.unobserved_failures.iter().any(|known| known.to_string() == text);
        if !known && self.unobserved_failures.len() < MAX {
            self.unobserved_failures.push(error.clone());
        }
    }

    pub fn new(config: ProducerConfig) -> Self {
        let repair = if config.transactional_id.is_some() { Repair::Abort } else { Repair::NextEpoch };
        let sequences = (config.idempotence == Idempotence::On).then(|| Sequences::new(repair));
        let backoff_ms = config.connection.retry_backoff.as_millis() as i64;
        let transactions = config.transactional_id.is_some().then(|| Transactions::new(backoff_ms));
        Accumulator {
            filled: BTreeSet::new(),
            partitioner: None,
            availability: HashMap::new(),
            config,
            names: HashMap::new(),
            topics: Vec::new(),
            recent: 0,
            next_id: 0,
            used: 0,
            starving: 0,
            first_in_line: false,
            flushing: Vec::new(),
            spare: Vec::new(),
            spare_bytes: 0,
            freed: 0,
            closed: false,
            incomplete: BTreeSet::new(),
            unobserved_failures: Vec::new(),
            fatal: None,
            sequences,
            transactions,
            busy: Vec::new(),
            flying: Vec::new(),
            looks_at_ms: None,
            begun: 0,
            rotation: (0, -1),
            led: HashMap::new(),
            loads: Vec::new(),
            weighed: Vec::new(),
        }
    }

    /// Takes what is known of a topic, new partitions included.
    pub fn learn(&mut self, name: &str, view: Arc<TopicView>) {
        let index = *self.names.entry(name.to_owned()).or_insert(self.topics.len());
        if index == self.topics.len() {
            let (name, sticky) = (name.into(), Sticky::default());
            self.topics.push(Topic { name, view: view.clone(), sticky, queues: Vec::new(), ratio: 1.0, used_ms: None });
        }
        let topic = &mut self.topics[index];
        let partitions = view.leaders.len().max(topic.queues.len());
        topic.queues.resize_with(partitions, Queue::default);
        topic.view = view;
    }

    /// Names of every topic that was sent to.
    pub fn topic_names(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.name.to_string()).collect()
    }

    /// The topics to ask about: those that are gone while records wait for them, which may be made again (Java asks that
    /// way at each refresh); else all that were sent to within `metadata.max.idle.ms`, which are not.
    pub fn topics_to_refresh(&self, now_ms: i64) -> (Vec<String>, Missing) {
        let since_ms = now_ms - self.config.metadata_idle_max.as_millis() as i64;
        let waits = |topic: &Topic| topic.queues.iter().any(|queue| !queue.batches.is_empty());
        let names = |topics: &dyn Fn(&Topic) -> bool| -> Vec<String> {
            self.topics.iter().filter(|topic| topics(topic)).map(|topic| topic.name.to_string()).collect()
        };
        let gone = names(&|topic| topic.view.leaders.is_empty() && waits(topic));
        if !gone.is_empty() {
            return (gone, Missing::Create);
        }
        (names(&|topic| topic.used_ms.is_none_or(|at| at >= since_ms) || waits(topic)), Missing::Report)
    }

    /// The cluster has no such topic any more: who sends to it next looks for it, and makes it if it may.
    pub fn forget(&mut self, name: &str) {
        if let Some(topic) = self.names.get(name).and_then(|index| self.topics.get_mut(*index)) {
            topic.view = Arc::new(TopicView { id: Uuid::nil(), leaders: Vec::new() });
            topic.sticky = Sticky::default();
        }
    }

    /// Name of a place's topic.
    pub fn name_of(&self, place: Place) -> Arc<str> {
        self.topics[place.0].name.clone()
    }

    /// The broker that leads a place, if it is known.
    pub fn leader_of(&self, place: Place) -> Option<i32> {
        self.topics[place.0].view.leader(place.1).map(|leader| leader.broker)
    }

    fn index(&mut self, name: &str) -> Option<usize> {
        if self.topics.get(self.recent).is_some_and(|topic| *topic.name == *name) {
            return Some(self.recent);
        }
        self.recent = *self.names.get(name)?;
        Some(self.recent)
    }

    #[inline]
    fn check_open(&self) -> Result<(), Box<ClientError>> {
        if self.closed {
            return Err(ClientError::State("the producer is closed").into());
        }
        if let Some(fatal) = &self.fatal {
            return Err(fatal.clone().into());
        }
        match &self.transactions {
            Some(transactions) => transactions.check_append().map_err(Box::new),
            None => Ok(()),
        }
    }

    /// Appends a record, stamped with `coarse_ms` unless it brings its own time or begins a batch, for which `now` is
    /// asked. Its delivery is put into `delivery` if it is observed.
    #[inline]
    pub fn append(
        &mut self,
        record: &NewRecord<'_>,
        observed: Observed,
        coarse_ms: i64,
        now: impl FnOnce() -> Now,
        delivery: &mut Option<Delivery>,
    ) -> Result<Appended, Box<ClientError>> {
        self.check_open()?;
        let Some(index) = self.index(record.topic) else { return Ok(Appended::UnknownTopic) };
        let topic = &mut self.topics[index];
        let count = topic.view.leaders.len();
        if count == 0 {
            return Ok(Appended::UnknownTopic);
        }
        let (partition, sticky) = topic.partition_of(record, &self.config, self.partitioner.as_ref());
        let Some(queue) =
            usize::try_from(partition).ok().filter(|at| *at < count).and_then(|at| topic.queues.get_mut(at))
        else {
            return no_partition(record, partition, count);
        };
        let mut pushed = queue.batches.back_mut().and_then(|batch| {
            let timestamp = batch.time_of(record, coarse_ms);
            Some((batch.push(record, timestamp)?, timestamp))
        });
        let new = pushed.is_none();
        if new {
            pushed = self.begin_batch(record, (index, partition), now())?;
        }
        let Some((bytes, timestamp)) = pushed else { return Ok(Appended::NoMemory) };
        let topic = &mut self.topics[index];
        let Some(batch) = topic.queues[partition as usize].batches.back_mut() else { return Ok(Appended::NoMemory) };
        match observed {
            Observed::Yes => {
                let outcome = batch.outcome.get_or_insert_with(|| Promise::new(partition)).outcome();
                *delivery = Some(Delivery::new(outcome, batch.count - 1, timestamp));
            }
            Observed::No => batch.unobserved = true,
        }
        let full = batch.is_full();
        if sticky {
            let full = if full { Full::Yes } else { Full::No };
            topic.sticky.appended(&topic.view, bytes, self.config.batch_bytes, full);
        }
        let wake = (new || full) && self.is_news((index, partition));
        Ok(Appended::Done { wake })
    }

    /// Whether the sender is to be woken for a batch that is new or full. Each wake-up costs as much as dozens of records:
    /// while an answer is awaited, which wakes it too, only every few batches are worth one.
    #[cold]
    fn is_news(&mut self, place: Place) -> bool {
        let topic = &self.topics[place.0];
        let broker = topic.view.leaders[place.1 as usize].broker;
        if self.busy.contains(&broker) {
            return false;
        }
        let Some(last) = topic.queues[place.1 as usize].batches.back() else { return false };
        let lingers_until = last.created_ms + self.config.linger.as_millis() as i64;
        if self.looks_at_ms.is_none_or(|at| at > lingers_until) {
            self.looks_at_ms = Some(lingers_until);
            return true;
        }
        !self.flying.contains(&broker) || self.begun.is_multiple_of(WAKE_EVERY)
    }

    /// Begins a batch with a record; its bytes and its time, or None where there is no memory.
    #[cold]
    fn begin_batch(
        &mut self,
        record: &NewRecord<'_>,
        place: Place,
        now: Now,
    ) -> Result<Option<(usize, i64)>, Box<ClientError>> {
        let topic = &mut self.topics[place.0];
        let limit = plain_limit(&self.config, topic.ratio);
        // Limits that follow the ratio are rounded, so that a buffer serves again when they have moved a little.
        let rounded = if self.config.codec == Codec::None {
            limit
        } else {
            limit.next_multiple_of(self.config.batch_bytes.max(1))
        };
        let reserved = rounded.max(self.config.check_size(record)?);
        let waits = self.starving > 0 && !self.first_in_line;
        if self.used > 0 && (waits || self.used + reserved > self.config.buffer_bytes) {
            return Ok(None);
        }
        topic.used_ms = Some(now.steady_ms);
        let buffer = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buffer.capacity();
        let mut batch = Batch::new(self.next_id, (place, topic.name.clone()), Size { limit, reserved }, buffer, now);
        let timestamp = record.timestamp.unwrap_or(now.wall_ms);
        let Some(bytes) = batch.push(record, timestamp) else {
            return Err(ClientError::State("an empty batch takes any record").into());
        };
        self.next_id += 1;
        self.begun += 1;
        self.used += reserved;
        self.incomplete.insert(batch.id);
        topic.queues[place.1 as usize].batches.push_back(batch);
        self.filled.insert(place);
        if let Some(transactions) = &mut self.transactions {
            // A batch that is there already was begun in the same transaction.
            transactions.add(place);
        }
        Ok(Some((bytes, timestamp)))
    }

    /// Keeps a buffer for a batch to come; what is kept and what is in use stay within `buffer.memory` together.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.used + self.spare_bytes + buffer.capacity() <= self.config.buffer_bytes {
            self.spare_bytes += buffer.capacity();
            self.spare.push(buffer);
        }
    }

    /// Takes out what is due now. `node` says what each broker can take.
    pub fn drain(&mut self, now_ms: i64, mut node: impl FnMut(i32) -> Node) -> Due {
        let mut due = Due::default();
        self.expire(now_ms, &mut due);
        if let Some(sequences) = &mut self.sequences {
            sequences.resolve();
        }
        self.busy.clear();
        self.begun = 0;
        let mut ready = BTreeSet::new();
        self.find_ready(now_ms, &mut due, &mut ready);
        for broker in ready {
            let node = node(broker);
            self.note_availability(broker, node, now_ms);
            match node {
                Node::Ready => {
                    let batches = self.drain_node(broker, now_ms);
                    if !batches.is_empty() {
                        due.requests.push((broker, batches));
                    }
                }
                Node::Busy => self.busy.push(broker),
                Node::Unconnected => due.connect.push(broker),
            }
        }
        self.looks_at_ms = due.again_ms;
        due
    }

    /// Java: `RecordAccumulator.updateNodeLatencyStats`
    fn note_availability(&mut self, broker: i32, node: Node, now_ms: i64) {
        if self.config.availability_timeout.is_zero() {
            return;
        }
        let own = self.availability.entry(broker).or_insert(Availability { drained_ms: now_ms, ready_ms: now_ms });
        own.ready_ms = now_ms;
        if node == Node::Ready {
            own.drained_ms = now_ms;
        }
    }

    /// Brokers for which something is due (Java: `RecordAccumulator.ready`).
    fn find_ready(&mut self, now_ms: i64, due: &mut Due, ready: &mut BTreeSet<i32>) {
        let completing = self.transactions.as_ref().is_some_and(Transactions::is_completing);
        let hurry = self.starving > 0 || !self.flushing.is_empty() || self.closed || completing;
        let linger_ms = self.config.linger.as_millis() as i64;
        // Those that were emptied since are weighed once more.
        let before = std::mem::take(&mut self.weighed);
        self.led.values_mut().for_each(Vec::clear);
        for index in before {
            weigh(&mut self.topics[index], &self.config, &self.availability, &mut self.loads);
        }
        for place in &self.filled {
            if self.weighed.last() != Some(&place.0) {
                self.weighed.push(place.0);
                weigh(&mut self.topics[place.0], &self.config, &self.availability, &mut self.loads);
            }
            let topic = &self.topics[place.0];
            let queue = &topic.queues[place.1 as usize];
            let Some(leader) = topic.view.leader(place.1) else {
                due.leaderless = true;
                continue;
            };
            self.led.entry(leader.broker).or_default().push(*place);
            let Some(first) = queue.batches.front().filter(|_| !queue.muted) else { continue };
            let wait_until = match backoff_until(&self.config, first, leader.epoch) {
                Some(until) => until,
                None if hurry || queue.batches.len() > 1 || first.is_full() => now_ms,
                None => first.created_ms + linger_ms,
            };
            if wait_until <= now_ms {
                ready.insert(leader.broker);
            } else {
                due.sooner(wait_until);
            }
        }
    }

    /// The first batch of each partition that `broker` leads, up to `max.request.size` (Java:
    /// `drainBatchesForOneNode`).
    fn drain_node(&mut self, broker: i32, now_ms: i64) -> Vec<(Batch, Option<Stamp>)> {
        let (mut taken, mut size) = (Vec::new(), 0);
        let one_at_a_time = self.config.in_flight_max == 1 && self.sequences.is_none();
        let places = self.led.remove(&broker).unwrap_or_default();
        // Those behind the last that was drained come first.
        let behind = places.partition_point(|place| *place <= self.rotation);
        for at in places[behind..].iter().chain(&places[..behind]).copied() {
            let topic = &mut self.topics[at.0];
            let leader = topic.view.leader(at.1).filter(|leader| leader.broker == broker);
            let queue = &mut topic.queues[at.1 as usize];
            let (Some(leader), false, Some(first)) = (leader, queue.muted, queue.batches.front()) else { continue };
            if backoff_until(&self.config, first, leader.epoch).is_some_and(|until| until > now_ms) {
                continue;
            }
            let (place, id) = (first.place, first.id);
            if self.sequences.as_ref().is_some_and(|sequences| !sequences.may_drain(place, id))
                || self.transactions.as_ref().is_some_and(|transactions| !transactions.may_drain(place))
            {
                continue;
            }
            if size + first.size() > self.config.request_bytes_max && !taken.is_empty() {
                break;
            }
            let Some(mut batch) = queue.batches.pop_front() else { continue };
            if queue.batches.is_empty() {
                self.filled.remove(&at);
            }
            self.rotation = at;
            queue.muted = one_at_a_time;
            batch.closed = true;
            batch.attempted_epoch = leader.epoch;
            batch.topic_id = topic.view.id;
            size += batch.size();
            let stamp = self.sequences.as_mut().and_then(|sequences| sequences.stamp(place, id, batch.count));
            taken.push((batch, stamp));
        }
        self.led.insert(broker, places);
        taken
    }

    fn expire(&mut self, now_ms: i64, due: &mut Due) {
        let limit_ms = self.config.delivery_timeout.as_millis() as i64;
        let topics = &mut self.topics;
        self.filled.retain(|place| {
            let batches = &mut topics[place.0].queues[place.1 as usize].batches;
            while batches.front().is_some_and(|first| first.created_ms + limit_ms <= now_ms) {
                due.expired.extend(batches.pop_front());
            }
            if let Some(first) = batches.front() {
                due.sooner(first.created_ms + limit_ms);
            }
            !batches.is_empty()
        });
    }

    /// Puts a batch back that is to be sent again, in the order of the sequences (Java: `reenqueue`,
    /// `insertInSequenceOrder`).
    pub fn requeue(&mut self, mut batch: Batch, now_ms: i64) {
        batch.attempts += 1;
        batch.last_attempt_ms = now_ms;
        self.put_back(batch);
    }

    fn put_back(&mut self, batch: Batch) {
        let place = batch.place;
        let position = |id| self.sequences.as_ref().and_then(|sequences| sequences.position(place, id));
        let own = position(batch.id);
        let queue = &self.topics[place.0].queues[place.1 as usize].batches;
        let at = match own {
            None => 0,
            Some(_) => {
                queue.iter().take_while(|other| position(other.id).is_some_and(|other| Some(other) < own)).count()
            }
        };
        self.topics[place.0].queues[place.1 as usize].batches.insert(at, batch);
        self.filled.insert(place);
    }

    /// Cuts a batch that a broker found too large, and puts the parts back.
    ///
    /// # Errors
    /// The batch itself, when it cannot be cut.
    pub fn split(&mut self, batch: Batch) -> Result<(), Box<Batch>> {
        let (place, id) = (batch.place, batch.id);
        let limit = self.config.batch_bytes;
        let topic = &mut self.topics[place.0];
        topic.ratio = 1.0;
        let next_id = &mut self.next_id;
        let parts = batch.split(self.config.codec, limit, || {
            *next_id += 1;
            *next_id - 1
        })?;
        self.incomplete.remove(&id);
        if let Some(sequences) = &mut self.sequences {
            let counts: Vec<_> = parts.iter().map(|part| (part.id, part.count)).collect();
            sequences.split(place, id, &counts);
        }
        for part in parts.into_iter().rev() {
            self.incomplete.insert(part.id);
            self.put_back(part);
        }
        Ok(())
    }

    /// Records up to `end` of a place were written.
    pub fn wrote(&mut self, place: Place, end: i64) {
        let known = &mut self.topics[place.0].queues[place.1 as usize].end;
        *known = (*known).max(Some(end));
    }

    /// The offset behind the last record that was written to a partition, as far as brokers told it.
    pub fn end_of(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = self.topics.get(*self.names.get(topic)?)?;
        topic.queues.get(usize::try_from(partition).ok()?)?.end
    }

    /// A request for the place has ended.
    pub fn unmute(&mut self, place: Place) {
        self.topics[place.0].queues[place.1 as usize].muted = false;
    }

    /// A batch is settled: its memory is free.
    pub fn release(&mut self, batch: &mut Batch) {
        self.incomplete.remove(&batch.id);
        self.used = self.used.saturating_sub(batch.reserved);
        self.freed += batch.reserved;
        if self.config.codec == Codec::None {
            self.recycle(batch.take_buffer());
        }
    }

    /// Whether those who wait for memory are to be woken: for a good part of it at a time, since each wake-up costs as
    /// much as many records, or for any when nothing is under way that would free more.
    pub fn takes_freed(&mut self, under_way: usize) -> bool {
        let enough = self.freed >= self.config.buffer_bytes / 16 || (under_way == 0 && self.freed > 0);
        if enough {
            self.freed = 0;
        }
        enough
    }

    /// A caller waits for every batch made so far; they have ids below what comes back.
    pub fn begin_flush(&mut self) -> u64 {
        let horizon = self.horizon();
        self.flushing.push(horizon);
        horizon
    }

    /// Batches made so far have ids below this.
    fn horizon(&self) -> u64 {
        self.next_id
    }

    /// It waits no longer.
    pub fn end_flush(&mut self, horizon: u64) {
        if let Some(at) = self.flushing.iter().position(|own| *own == horizon) {
            self.flushing.swap_remove(at);
        }
    }

    /// Whether someone who flushes has nothing left to wait for.
    pub fn is_flushed(&self) -> bool {
        self.flushing.iter().any(|horizon| self.is_settled_below(*horizon))
    }

    /// Notes how well a batch was compressed (Java: `CompressionRatioEstimator.updateEstimation`). It takes less memory
    /// from now on, and leaves the buffer that it was compressed from.
    pub fn compressed(&mut self, batch: &mut Batch, ratio: f32, buffer: Vec<u8>) {
        let estimate = &mut self.topics[batch.place.0].ratio;
        *estimate = if ratio > *estimate { (*estimate + 0.05).max(ratio) } else { (*estimate - 0.005).max(ratio) };
        let saved = batch.reserved.saturating_sub(batch.size());
        batch.reserved -= saved;
        self.used = self.used.saturating_sub(saved);
        self.freed += saved;
        self.recycle(buffer);
    }

    /// Takes a coordinator's answer.
    pub fn answered(&mut self, answer: Answer, heard: Heard) {
        let Some(transactions) = &mut self.transactions else { return };
        transactions.hear(heard);
        if let (Effect::Identity(identity), Some(sequences)) = (transactions.answered(answer), &mut self.sequences) {
            sequences.begin_epoch(identity);
        }
    }

    /// Batches that were never sent, taken out.
    pub fn take_unsent(&mut self) -> Vec<Batch> {
        let (sequences, topics, mut unsent) = (&self.sequences, &mut self.topics, Vec::new());
        self.filled.retain(|place| {
            let batches = &mut topics[place.0].queues[place.1 as usize].batches;
            let sent =
                |batch: &Batch| sequences.as_ref().is_some_and(|sequences| sequences.is_tracked(batch.place, batch.id));
            let (kept, gone): (VecDeque<Batch>, VecDeque<Batch>) = batches.drain(..).partition(sent);
            *batches = kept;
            unsent.extend(gone);
            !batches.is_empty()
        });
        unsent
    }

    /// Every batch still queued, taken out.
    pub fn take_all(&mut self) -> Vec<Batch> {
        let (topics, mut all) = (&mut self.topics, Vec::new());
        for place in std::mem::take(&mut self.filled) {
            all.extend(topics[place.0].queues[place.1 as usize].batches.drain(..));
        }
        all
    }

    /// Bytes of `buffer.memory` that are in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether every batch with an id below `horizon` is settled.
    pub fn is_settled_below(&self, horizon: u64) -> bool {
        self.incomplete.first().is_none_or(|first| *first >= horizon)
    }
}

/// Tells the choice of partitions for records without a key how long each queue is.
fn weigh(
    topic: &mut Topic,
    config: &ProducerConfig,
    availability: &HashMap<i32, Availability>,
    loads: &mut Vec<(i32, u32)>,
) {
    loads.clear();
    for (partition, queue) in (0i32..).zip(&topic.queues).filter(|_| config.spread == Spread::Adaptive) {
        let Some(leader) = topic.view.leader(partition) else { continue };
        let away = availability
            .get(&leader.broker)
            .is_some_and(|own| own.ready_ms - own.drained_ms > config.availability_timeout.as_millis() as i64);
        if !away || queue.batches.is_empty() {
            loads.push((partition, queue.batches.len() as u32));
        }
    }
    topic.sticky.weigh(loads, topic.queues.len());
}

impl Due {
    fn sooner(&mut self, at_ms: i64) {
        self.again_ms = Some(self.again_ms.map_or(at_ms, |known| known.min(at_ms)));
    }
}

impl ProducerConfig {
    /// Bytes of a batch with only this record, unless that is more than allowed.
    fn check_size(&self, record: &NewRecord<'_>) -> Result<usize, Box<ClientError>> {
        let headers = record.headers.iter().map(header_bytes);
        let size = record_size(0, 0, record.key, record.value, headers) + BATCH_OVERHEAD;
        let refuse = |key, limit| Err(ClientError::RecordTooLarge { size, key, limit }.into());
        if size > self.request_bytes_max {
            return refuse("max.request.size", self.request_bytes_max);
        }
        if size > self.buffer_bytes {
            return refuse("buffer.memory", self.buffer_bytes);
        }
        Ok(size)
    }
}

/// One that the record names may be new; a partitioner has seen how many there are.
#[cold]
fn no_partition(record: &NewRecord<'_>, partition: i32, count: usize) -> Result<Appended, Box<ClientError>> {
    match record.partition {
        Some(_) => Ok(Appended::UnknownTopic),
        None => Err(ClientError::NoPartition { topic: record.topic.to_owned(), partition, count }.into()),
    }
}

/// Plain bytes that should compress to `batch.size`, with Java's margin of five percent.
fn plain_limit(config: &ProducerConfig, ratio: f32) -> usize {
    if config.codec == Codec::None {
        return config.batch_bytes;
    }
    let room = (config.batch_bytes as f32 / (ratio * 1.05)) as usize;
    room.clamp(config.batch_bytes / 2, config.batch_bytes.saturating_mul(16).max(1)).min(config.buffer_bytes / 4)
}

/// When a batch that failed may be tried again; None for a first attempt or when the leader has changed since.
fn backoff_until(config: &ProducerConfig, batch: &Batch, leader_epoch: i32) -> Option<i64> {
    if batch.attempts == 0 || leader_epoch > batch.attempted_epoch {
        return None;
    }
    let first = config.connection.retry_backoff.as_millis() as i64;
    let grown = first.saturating_mul(1 << (batch.attempts - 1).min(20));
    Some(batch.last_attempt_ms + grown.min(config.connection.retry_backoff_max.as_millis() as i64))
}

#[cfg(test)]
mod tests;
