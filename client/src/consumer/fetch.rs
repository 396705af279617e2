//! Fetches ahead: one request to each leader at a time, for the partitions of which nothing is buffered. While something
//! of a leader is buffered its answers do not wait, and it is asked when something is known to be there, else now and
//! then: otherwise the partitions that are read up meanwhile would wait with those that have nothing new (Java asks for nothing
//! then, so that those with something new wait for those that are read up slowly).
//!
//! Called by `consumer.rs` within poll. Memory is bounded by `fetch.max.bytes` over all brokers and partitions: half of
//! it is shared by the requests under way, and none leaves while answers that wait to be handed out take the other half
//! (only a batch larger than that exceeds it). A partition is asked for again when what came of it has been handed out.
//! The answers' bytes are kept as they came; `decode.rs` reads them.
//!
//! A leader may name a replica nearer to `client.rack` (KIP-392): it is read from until `metadata.max.age.ms` is over or
//! it fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use millstream_base_env::clock::Moment;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::{ErrorCode, Retry};
use millstream_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use millstream_protocol::messages::fetch_response::PartitionData;
use millstream_protocol::messages::{FetchRequest, FetchResponse, StrBytes};
use uuid::Uuid;

use super::decode::{Fetched, Held, Records};
use super::metrics::Tally;
use super::position::{Partition, Partitions};
use super::session::{Plan, Session, Want, Wants};
use crate::TopicPartition;
use crate::config::{ConsumerConfig, Isolation, Reset};
use crate::error::{ClientError, known, of_partition};
use crate::metadata::{Cluster, Leader, topic_name};

/// Fetch 13 names topics by id; up to 12 they go by name.
const BY_NAME: i16 = 12;
const BY_ID: i16 = 13;

/// How long a broker may wait for data while there is some of a paused partition, which can be resumed and be read up any
/// moment; and how often it is asked while there is some, where nothing new is known.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What may be asked of a broker.
#[derive(Debug, Default)]
struct Ask<'a> {
    /// Partitions of which nothing is buffered: looked through at each poll, so nothing is made of them before they are
    /// asked for.
    wants: Vec<(&'a Arc<TopicPartition>, Want)>,
    /// Whether one of them has something to read as far as is known.
    is_behind: bool,
    /// Whether something of the broker is buffered that may be handed out.
    is_buffered: bool,
    /// Whether something of the broker is buffered that is paused.
    is_paused: bool,
}

impl Ask<'_> {
    /// What to ask, and how long the broker may wait for `bytes_min`; None for nothing. The last was so long ago.
    fn choose(self, wait: Duration, bytes_min: i32, looked: Duration) -> Option<Chosen> {
        let Ask { wants, is_behind, is_buffered, is_paused } = self;
        // Answers that do not wait may have less than they should.
        let is_batched = bytes_min > 1;
        let is_due = looked >= if is_batched { wait } else { wait.min(LOOK_EVERY) };
        if wants.is_empty() || is_buffered && !is_due && (is_batched || !is_behind) {
            return None;
        }
        let wait = match (is_buffered, is_paused) {
            (true, _) => Duration::ZERO,
            (false, true) if !is_batched => wait.min(LOOK_EVERY),
            (false, _) => wait,
        };
        // Those at their end cost nothing in a session.
        let wants = wants.into_iter().map(|(place, want)| (Arc::clone(place), want)).collect();
        Some(Chosen { wants, wait })
    }
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    wants: Wants,
    /// How long the broker may wait.
    wait: Duration,
}

/// What came of a request or of connecting to a broker.
pub(super) enum Arrival {
    Connected { broker: i32, result: Result<(), ClientError> },
    Answered { broker: i32, wants: Wants, result: Box<Result<FetchResponse, ClientError>> },
}

#[derive(Default)]
struct Source {
    session: Session,
    /// A request or an attempt to connect is under way.
    busy: bool,
    /// Not before; after a failure.
    not_before: Option<Moment>,
    /// When it was last asked.
    looked: Option<Moment>,
}

/// Requests under way and what is needed to make them.
pub(super) struct Fetcher {
    /// Connections of its own: fetches are held back by the broker.
    cluster: Cluster,
    config: ConsumerConfig,
    sources: HashMap<i32, Source>,
    /// Whether metadata turned out to be stale.
    pub stale: bool,
    /// Where the last poll ended, so that no partition starves.
    rotation: usize,
    tally: Arc<Tally>,
    /// Bytes of answers that wait to be handed out.
    held: Arc<AtomicUsize>,
}

impl Fetcher {
    pub fn new(cluster: &Cluster, config: ConsumerConfig, tally: Arc<Tally>) -> Self {
        Fetcher {
            cluster: cluster.apart(),
            config,
            sources: HashMap::new(),
            stale: false,
            rotation: 0,
            tally,
            held: Arc::default(),
        }
    }

    fn soon(&self) -> Option<Moment> {
        Some(Moment::now().after(self.config.connection.retry_backoff))
    }

    /// Starts a request to each broker that leads partitions which are to be fetched; `blocked` tells whether some
    /// have to wait for a while.
    pub fn send(&mut self, partitions: &mut Partitions) -> (Vec<BoxFuture<'static, Arrival>>, bool) {
        let mut wanted: BTreeMap<i32, Ask<'_>> = BTreeMap::new();
        let mut blocked = false;
        if !partitions.any(|partition| partition.fetchable().is_some()) || !self.has_room(partitions) {
            return (Vec::new(), false);
        }
        let now = Moment::now();
        for (place, partition) in partitions.shared() {
            if partition.fetched.is_some()
                && let Some(source) = self.source_of(partition, now)
            {
                let ask = wanted.entry(source).or_default();
                ask.is_paused |= partition.paused;
                ask.is_buffered |= !partition.paused;
            }
            let Some(offset) = partition.fetchable() else { continue };
            let Some(leader) = partition.leader else {
                (self.stale, blocked) = (true, true);
                continue;
            };
            if partition.not_before.is_some_and(|at| at > now) {
                blocked = true;
                continue;
            }
            if partition.is_unchecked(leader.epoch) {
                continue;
            }
            let want = Want { topic_id: partition.topic_id, offset, leader_epoch: leader.epoch };
            let source = self.source_of(partition, now).unwrap_or(leader.broker);
            match self.sources.get(&source) {
                // Its answer comes first.
                Some(known) if known.busy => continue,
                Some(known) if known.not_before.is_some_and(|at| at > now) => {
                    blocked = true;
                    continue;
                }
                _ => {}
            }
            let ask = wanted.entry(source).or_default();
            ask.is_behind |= partition.end.is_none_or(|end| end > offset);
            ask.wants.push((place, want));
        }
        let (wait, bytes_min) = (self.config.fetch_wait, self.config.fetch_bytes_min);
        let chosen = wanted.into_iter().filter_map(|(broker, ask)| {
            let looked = self.sources.get(&broker).and_then(|source| source.looked);
            Some((broker, ask.choose(wait, bytes_min, looked.map_or(Duration::MAX, |at| at.elapsed()))?))
        });
        let chosen: Vec<(i32, Chosen)> = chosen.collect();
        let mut started = Vec::new();
        let busy = self.sources.values().filter(|source| source.busy).count();
        let share = self.half() / (busy + chosen.len()).max(1);
        for (broker, chosen) in chosen {
            started.extend(self.start(broker, chosen, share));
        }
        (started, blocked)
    }

    /// The broker that a partition is read from: its leader, or a replica that is nearer.
    fn source_of(&self, partition: &Partition, now: Moment) -> Option<i32> {
        let nearer = partition.preferred.filter(|(broker, until)| *until > now && self.cluster.knows(*broker));
        nearer.map(|(broker, _)| broker).or(partition.leader.map(|leader| leader.broker))
    }

    /// Half of what may be kept at a time.
    fn half(&self) -> usize {
        self.config.fetch_bytes_max.max(0) as usize / 2
    }

    /// Whether answers leave room for others.
    fn has_room(&self, partitions: &mut Partitions) -> bool {
        let half = self.half();
        if self.held.load(Ordering::Relaxed) > half {
            partitions.release_paused();
        }
        self.held.load(Ordering::Relaxed) <= half
    }

    fn start(&mut self, broker: i32, chosen: Chosen, bytes_max: usize) -> Option<BoxFuture<'static, Arrival>> {
        let Chosen { wants, wait } = chosen;
        let soon = self.soon();
        let source = self.sources.entry(broker).or_default();
        source.busy = true;
        let Some(connection) = self.cluster.open_to(broker) else {
            let cluster = self.cluster.clone();
            return Some(Box::pin(async move {
                Arrival::Connected { broker, result: cluster.known_broker(broker).await.map(drop) }
            }));
        };
        let by_id =
            connection.serves_version(ApiKey::Fetch, BY_ID) && wants.values().all(|want| !want.topic_id.is_nil());
        let request = request(&self.config, source.session.plan(&wants), by_id)
            .with_max_bytes(bytes_max.max(1) as i32)
            .with_max_wait_ms(wait.as_millis() as i32);
        let timeout = self.config.connection.request_timeout + self.config.fetch_wait;
        match connection.start(if by_id { i16::MAX } else { BY_NAME }, &request, timeout) {
            Ok(pending) => {
                source.looked = Some(Moment::now());
                let (tally, started) = (self.tally.clone(), Moment::now());
                Some(Box::pin(async move {
                    let result = Box::new(pending.await_reply().await);
                    tally.fetches.took(started.elapsed());
                    Arrival::Answered { broker, wants, result }
                }))
            }
            Err(error) => {
                tracing::debug!(broker, %error, "cannot fetch");
                source.session.broken();
                (source.busy, source.not_before) = (false, soon);
                None
            }
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// What the application has to know: an offset that is out of range without a reset, a topic it may not read.
    pub fn take(&mut self, arrival: Arrival, partitions: &mut Partitions) -> Result<(), ClientError> {
        let soon = self.soon();
        match arrival {
            Arrival::Connected { broker, result } => {
                let source = self.sources.entry(broker).or_default();
                source.busy = false;
                if let Err(error) = result {
                    tracing::warn!(broker, %error, "cannot reach a broker");
                    source.not_before = soon;
                    self.stale = true;
                    partitions.prefer_no_more(broker);
                }
                Ok(())
            }
            Arrival::Answered { broker, wants, result } => {
                let source = self.sources.entry(broker).or_default();
                source.busy = false;
                match *result {
                    Ok(response) => self.answered(broker, &wants, response, partitions),
                    Err(error) => {
                        tracing::debug!(broker, %error, "fetch failed");
                        partitions.prefer_no_more(broker);
                        source.session.broken();
                        source.not_before = soon;
                        self.stale = true;
                        if error.is_retriable() { Ok(()) } else { Err(error) }
                    }
                }
            }
        }
    }

    fn answered(
        &mut self,
        broker: i32,
        wants: &Wants,
        response: FetchResponse,
        partitions: &mut Partitions,
    ) -> Result<(), ClientError> {
        let soon = self.soon();
        self.tally.throttled.add(response.throttle_time_ms.max(0) as u64);
        let source = self.sources.entry(broker).or_default();
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => source.session.answered(response.session_id),
            Some(ErrorCode::FetchSessionIdNotFound) => {
                source.session.unknown();
                return Ok(());
            }
            code => {
                tracing::debug!(broker, code = response.error_code, "fetch refused");
                source.session.broken();
                source.not_before = soon;
                self.stale |= code.is_some_and(|code| code.retry() == Retry::RefreshMetadata);
                return Ok(());
            }
        }
        let by_id = response.responses.first().is_some_and(|topic| !topic.topic_id.is_nil());
        let asked: HashMap<(Uuid, &str, i32), (&Arc<TopicPartition>, &Want)> = wants
            .iter()
            .map(|(place, want)| {
                let (id, name) = if by_id { (want.topic_id, "") } else { (Uuid::nil(), place.topic.as_str()) };
                ((id, name, place.partition), (place, want))
            })
            .collect();
        let mut result = Ok(());
        let all =
            response.responses.iter().flat_map(|topic| &topic.partitions).filter_map(|data| data.records.as_ref());
        let bytes = all.map(Bytes::len).sum();
        self.tally.fetched.add(bytes as u64);
        let held = Held::new(bytes, &self.held);
        for topic in response.responses {
            let name = if topic.topic_id.is_nil() { &*topic.topic.0 } else { "" };
            for data in topic.partitions {
                let Some((place, want)) = asked.get(&(topic.topic_id, name, data.partition_index)).copied() else {
                    continue;
                };
                let Some(partition) = partitions.get_mut(place) else { continue };
                // Sought elsewhere since: what came is not what is wanted now.
                if partition.position != Some(want.offset) {
                    continue;
                }
                let endpoint =
                    response.node_endpoints.iter().find(|node| node.node_id == data.current_leader.leader_id);
                let endpoint = endpoint.map(|node| (&*node.host, node.port));
                let taken = self.partition(place, partition, want, data, (endpoint, &held));
                // Who said it, which may be a replica.
                let taken = taken.map_err(|error| error.at(&self.cluster.name_of(broker)));
                result = result.and(taken);
            }
        }
        result
    }

    fn partition(
        &mut self,
        place: &Arc<TopicPartition>,
        partition: &mut Partition,
        want: &Want,
        data: PartitionData,
        (endpoint, held): (Option<(&str, i32)>, &Arc<Held>),
    ) -> Result<(), ClientError> {
        let code = known(data.error_code);
        match code {
            ErrorCode::None => {
                self.keep(place, partition, want, data, held);
                Ok(())
            }
            // A follower that lags behind; the leader knows (KIP-392).
            _ if partition.preferred.take().is_some() => Ok(()),
            ErrorCode::OffsetOutOfRange if self.config.reset == Reset::None => {
                let (topic, partition) = (place.topic.clone(), place.partition);
                Err(ClientError::NoOffset {
                    topic,
                    partition,
                    reason: "the position is out of range",
                    address: String::new(),
                })
            }
            ErrorCode::OffsetOutOfRange => {
                tracing::info!(
                    topic = place.topic,
                    partition = place.partition,
                    offset = want.offset,
                    "position out of range: reset"
                );
                partition.reset_by(self.config.reset);
                Ok(())
            }
            ErrorCode::TopicAuthorizationFailed | ErrorCode::CorruptMessage => {
                partition.not_before = self.soon();
                Err(of_partition(&place.topic, place.partition, data.error_code, None))
            }
            _ => {
                tracing::debug!(topic = place.topic, partition = place.partition, code = code.name(), "fetch error");
                let leader =
                    Leader { broker: data.current_leader.leader_id.0, epoch: data.current_leader.leader_epoch };
                if leader.broker >= 0 && leader.epoch >= 0 {
                    self.cluster.learn_leader(&place.topic, place.partition, leader, endpoint);
                }
                self.stale = true;
                partition.not_before = self.soon();
                Ok(())
            }
        }
    }

    /// Keeps what a broker answered of a partition without an error.
    fn keep(
        &self,
        place: &Arc<TopicPartition>,
        partition: &mut Partition,
        want: &Want,
        data: PartitionData,
        held: &Arc<Held>,
    ) {
        partition.saw_end(self.config.isolation, data.high_watermark, data.last_stable_offset);
        partition.log_start = Some(data.log_start_offset).filter(|offset| *offset >= 0);
        partition.checked = partition.checked.max(want.leader_epoch);
        let nearer = data.preferred_read_replica.0;
        if nearer >= 0 {
            let until = Moment::now().after(self.config.connection.metadata_max_age);
            tracing::debug!(topic = place.topic, partition = place.partition, broker = nearer, "nearer replica");
            partition.preferred = Some((nearer, until));
        }
        let bytes = data.records.unwrap_or_default();
        if bytes.is_empty() || partition.fetched.is_some() {
            return;
        }
        let aborted = data.aborted_transactions.into_iter().flatten();
        let (isolation, crc) = (self.config.isolation, self.config.crc);
        let aborted = match isolation {
            Isolation::ReadCommitted => aborted.map(|txn| (txn.first_offset, txn.producer_id.0)).collect(),
            Isolation::ReadUncommitted => Vec::new(),
        };
        let fetched = Fetched::new(place.clone(), bytes, aborted, want.offset, isolation, crc);
        partition.fetched = Some(fetched.of(held.clone()));
    }

    /// Hands out up to `max.poll.records`, partition after partition.
    ///
    /// # Errors
    /// Records that are not well formed, once those before them were handed out.
    pub fn collect(&mut self, partitions: &mut Partitions) -> Result<Records, ClientError> {
        let mut records = Records::default();
        let mut left = self.config.poll_records_max;
        let count = partitions.len();
        if count == 0 {
            return Ok(records);
        }
        let start = self.rotation % count;
        for index in 0..count {
            let at = (start + index) % count;
            let Some(partition) = partitions.at_mut(at).filter(|partition| !partition.paused) else { continue };
            let before = left;
            while left > 0 {
                let Some(fetched) = &mut partition.fetched else { break };
                match fetched.next_chunk(left) {
                    Ok(Some(chunk)) => {
                        left -= chunk.count;
                        records.push(chunk);
                    }
                    Ok(None) => {
                        partition.advance();
                        partition.fetched = None;
                        break;
                    }
                    Err(error) => {
                        // Fetched again from the same position, so that it is not passed over in silence.
                        partition.advance();
                        partition.fetched = None;
                        return if records.is_empty() { Err(error) } else { Ok(records) };
                    }
                }
                partition.advance();
            }
            if left < before {
                partition.measure(&self.tally);
            }
            if left == 0 {
                self.rotation = at;
                return Ok(records);
            }
        }
        self.rotation = self.rotation.wrapping_add(1);
        Ok(records)
    }
}

fn request(config: &ConsumerConfig, plan: Plan, by_id: bool) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut last: Option<Arc<TopicPartition>> = None;
    for (place, want) in plan.send {
        let partition = FetchPartition::default()
            .with_partition(place.partition)
            .with_current_leader_epoch(want.leader_epoch)
            .with_fetch_offset(want.offset)
            .with_partition_max_bytes(config.partition_bytes_max);
        if last.as_ref().is_some_and(|last| last.topic == place.topic)
            && let Some(topic) = topics.last_mut()
        {
            topic.partitions.push(partition);
            continue;
        }
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        topics.push(if by_id {
            topic.with_topic_id(want.topic_id)
        } else {
            topic.with_topic(topic_name(&place.topic))
        });
        last = Some(place);
    }
    let forget = |(place, id): (Arc<TopicPartition>, Uuid)| {
        let topic = ForgottenTopic::default().with_partitions(vec![place.partition]);
        if by_id { topic.with_topic_id(id) } else { topic.with_topic(topic_name(&place.topic)) }
    };
    FetchRequest::default()
        .with_min_bytes(config.fetch_bytes_min)
        .with_isolation_level(i8::from(config.isolation == Isolation::ReadCommitted))
        .with_rack_id(StrBytes::from_string(config.rack.clone()))
        .with_session_id(plan.session_id)
        .with_session_epoch(plan.session_epoch)
        .with_topics(topics)
        .with_forgotten_topics_data(plan.forget.into_iter().map(forget).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_with_partitions_that_have_nothing_new() {
        let places = [0, 1, 2].map(|partition| Arc::new(TopicPartition::new("t", partition)));
        let wants = || places.iter().map(|place| (place, Want::default())).collect::<Vec<_>>();
        let ask = |is_buffered, is_paused| Ask { wants: wants(), is_behind: true, is_buffered, is_paused };
        let long = Duration::from_millis(500);
        let chosen = |ask: Ask<'_>, bytes_min, looked| {
            let chosen = ask.choose(long, bytes_min, Duration::from_millis(looked))?;
            let partitions: Vec<i32> = chosen.wants.keys().map(|place| place.partition).collect();
            Some((partitions, chosen.wait))
        };
        let none_behind = || Ask { wants: wants().split_off(1), is_behind: false, ..ask(true, false) };
        assert_eq!(chosen(ask(false, false), 1, 0), Some((vec![0, 1, 2], long)));
        assert_eq!(chosen(ask(true, false), 1, 0), Some((vec![0, 1, 2], Duration::ZERO)));
        assert_eq!(chosen(ask(true, true), 1, 0), Some((vec![0, 1, 2], Duration::ZERO)));
        assert_eq!(chosen(none_behind(), 1, 99), None, "no answer would have anything");
        // Nor do they wait until what others have is read up, however slowly.
        assert_eq!(chosen(none_behind(), 1, 100), Some((vec![1, 2], Duration::ZERO)));
        assert_eq!(chosen(ask(true, false), 2, 499), None, "an answer would have too little");
        assert_eq!(chosen(ask(true, false), 2, 500), Some((vec![0, 1, 2], Duration::ZERO)));
        assert_eq!(chosen(ask(false, true), 1, 0), Some((vec![0, 1, 2], LOOK_EVERY)));
        assert_eq!(chosen(ask(false, true), 2, 0), Some((vec![0, 1, 2], long)));
    }
}
