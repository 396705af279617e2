//! Drains what is due, sends it to the leaders with several requests in flight, and settles or retries what comes
//! back (Java: `Sender`). One task per producer; the decisions are `accumulate.rs`'s and `idempotent.rs`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::{ErrorCode, Retry};
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::produce_response::PartitionProduceResponse;
use millstream_protocol::messages::{
    InitProducerIdRequest, ProduceRequest, ProduceResponse, StrBytes, TransactionalId,
};
use uuid::Uuid;

use super::accumulate::{Due, Node, Request};
use super::batch::{Batch, Sealed};
use super::delivery::{RecordMetadata, Written};
use super::idempotent::Identity;
use super::metrics::Left;
use super::txn::{Answer, Ask, Asking, Heard, Next, Protocol, Transactions};
use super::{Shared, Source};
use crate::config::{Acks, ProducerConfig};
use crate::connection::Connection;
use crate::error::{ClientError, check_of, known, of_partition};
use crate::metadata::{Cluster, Leader, topic_name};

/// Produce 11 is the last before version 2 of transactions (Java: `LAST_STABLE_VERSION_BEFORE_TRANSACTION_V2`).
const BEFORE_V2: i16 = 11;
/// Produce 13 names topics by id; up to 12 they go by name.
const BY_NAME: i16 = 12;
const BY_ID: i16 = 13;

/// What is known of a batch that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The broker refused it: it is not in the log.
    Refused,
    /// It may have been written by an attempt whose answer was lost.
    Unknown,
}

enum Event {
    /// None where no answer follows (acks=0): the request has left.
    Answered {
        request: u64,
        broker: i32,
        sent_ms: i64,
        result: Result<Option<ProduceResponse>, ClientError>,
    },
    Connected {
        broker: i32,
        result: Result<(), ClientError>,
    },
    Refreshed(Result<(), ClientError>),
    Identified(Result<Identity, ClientError>),
    Coordinated(Answer, Heard),
}

#[derive(Default)]
struct BrokerState {
    in_flight: usize,
    /// Nothing is sent to it before (KIP-219).
    muted_until_ms: i64,
    connecting: bool,
}

/// Something asked for at most once at a time, and not at once again.
#[derive(Default)]
struct Errand {
    wanted: bool,
    running: bool,
    /// When it last ended.
    ended_ms: i64,
    failures: u32,
}

struct Sender {
    shared: Arc<Shared>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    brokers: HashMap<i32, BrokerState>,
    /// Batches on the wire by request; one that is given up early is missing when its answer comes.
    requests: HashMap<u64, Vec<Batch>>,
    next_request: u64,
    metadata: Errand,
    identity: Errand,
    /// For compressing.
    scratch: Vec<u8>,
}

/// What is told of records that no sender is there for.
pub(super) const OVER: ClientError = ClientError::State("the producer's sender has ended");

/// Runs until the producer is closed and every batch is settled.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut sender = Sender {
        shared: shared.clone(),
        work: FuturesUnordered::new(),
        brokers: HashMap::new(),
        requests: HashMap::new(),
        next_request: 0,
        metadata: Errand::default(),
        identity: Errand::default(),
        scratch: Vec::new(),
    };
    // One timer, which may go off too early: moving it costs more than looking once more.
    let mut timer = std::pin::pin!(task::sleep(Duration::ZERO));
    let mut armed_ms: Option<i64> = None;
    loop {
        let again_ms = sender.step();
        if sender.is_over() {
            return;
        }
        if sender.requests.is_empty() {
            sender.tell_freed();
        }
        if let Some(at) = again_ms.filter(|at| armed_ms.is_none_or(|armed| *at < armed)) {
            let wait = Duration::from_millis((at - shared.now_ms()).max(1) as u64);
            timer.as_mut().reset(Moment::now().after(wait).instant().into());
            armed_ms = Some(at);
        }
        tokio::select! {
            () = shared.wake.notified() => {}
            Some(event) = sender.work.next(), if !sender.work.is_empty() => sender.take(event),
            () = &mut timer, if armed_ms.is_some() => armed_ms = None,
        }
        while let Some(Some(event)) = sender.work.next().now_or_never() {
            sender.take(event);
        }
    }
}

/// However the sender ends (it returns, its runtime does, it panics), nobody waits for it any longer: what is queued or on
/// its way is dropped, which tells of it, and no more is taken.
impl Drop for Sender {
    fn drop(&mut self) {
        let all = {
            let mut accumulator = self.shared.accumulator.lock();
            if !accumulator.closed {
                accumulator.fatal.get_or_insert(OVER);
            }
            accumulator.take_all()
        };
        let lost = all.len() + self.requests.values().map(Vec::len).sum::<usize>();
        if lost > 0 {
            tracing::error!(batches = lost, "the producer's sender ended before they were settled");
        }
        drop(all);
        self.requests.clear();
        self.shared.over.store(true, Ordering::Release);
        self.shared.settled.notify_waiters();
        self.shared.memory.notify_one();
    }
}

impl Sender {
    fn is_over(&self) -> bool {
        if !self.shared.closing.load(Ordering::Acquire) {
            return false;
        }
        let mut accumulator = self.shared.accumulator.lock();
        if !accumulator.closed || !accumulator.is_settled_below(u64::MAX) {
            return false;
        }
        let over =
            |transactions: &Transactions| self.shared.aborted.load(Ordering::Acquire) || !transactions.is_ongoing();
        accumulator.transactions.as_mut().is_none_or(|transactions| {
            if over(transactions) {
                return true;
            }
            // Whoever opened it is gone (Java: Sender.run). The coordinator would abort it by its timeout only.
            if !transactions.is_completing() {
                if transactions.abort(self.shared.cluster.features()).is_err() {
                    return true;
                }
                self.shared.wake.notify_one();
            }
            false
        })
    }

    /// Lets the transaction go on: gives up what is not to be written, sends the next request (Java:
    /// `maybeSendAndPollTransactionalRequest`).
    fn step_transaction(&mut self) {
        if self.shared.coordinators.is_none() {
            return;
        }
        let (given_up, fatal) = {
            let mut accumulator = self.shared.accumulator.lock();
            let Some(transactions) = &accumulator.transactions else { return };
            let (unsent, fatal) = (transactions.undrained_error(), transactions.fatal_error());
            (unsent.map(|error| (accumulator.take_unsent(), error)), fatal)
        };
        if let Some((batches, error)) = given_up {
            batches.into_iter().for_each(|batch| self.drop_batch(batch, &error, Fate::Refused));
        }
        if let Some(error) = fatal {
            self.give_up_all(&error);
        }
        let mut accumulator = self.shared.accumulator.lock();
        let incomplete = !accumulator.is_settled_below(u64::MAX);
        let Some(transactions) = &mut accumulator.transactions else { return };
        let next = transactions.next(incomplete);
        let own = Asking { identity: transactions.identity(), protocol: transactions.protocol() };
        let (Next::Send { ask, wait_ms }, Some(coordinators)) = (next, &self.shared.coordinators) else {
            let told = transactions.takes_told();
            drop(accumulator);
            if told {
                self.shared.settled.notify_waiters();
            }
            return;
        };
        let names = match &ask {
            Ask::AddPartitions(places) => places.iter().map(|place| (*place, accumulator.name_of(*place))).collect(),
            _ => Vec::new(),
        };
        let coordinators = coordinators.clone();
        self.work.push(Box::pin(async move {
            let (answer, heard) = coordinators.send(ask, wait_ms, own, names).await;
            Event::Coordinated(answer, heard)
        }));
    }

    /// Sends what is due; returns when to look again.
    fn step(&mut self) -> Option<i64> {
        let now_ms = self.shared.now_ms();
        if self.shared.aborted.load(Ordering::Acquire) {
            self.give_up_all(&ClientError::State("the producer was closed before the record was written"));
            if let Some(transactions) = &mut self.shared.accumulator.lock().transactions {
                transactions.close();
            }
            self.shared.settled.notify_waiters();
            return None;
        }
        self.step_transaction();
        // Until nothing more can leave, so that requests share writes and their answers share reads.
        loop {
            let (again_ms, sent) = self.step_batches(now_ms);
            if !sent {
                return again_ms;
            }
        }
    }

    /// One request to each broker for which something is due; returns when to look again, and whether there was any.
    fn step_batches(&mut self, now_ms: i64) -> (Option<i64>, bool) {
        let (mut due, needs_identity) = {
            let (brokers, cluster) = (&self.brokers, &self.shared.cluster);
            let in_flight_max = self.shared.config.in_flight_max;
            let flying = brokers.iter().filter(|(_, state)| state.in_flight > 0).map(|(broker, _)| *broker);
            let mut accumulator = self.shared.accumulator.lock();
            accumulator.flying.clear();
            accumulator.flying.extend(flying);
            let due = accumulator.drain(now_ms, |broker| node_of(brokers, cluster, (in_flight_max, now_ms), broker));
            let anonymous = accumulator.transactions.is_none()
                && accumulator.sequences.as_ref().is_some_and(|sequences| sequences.identity().is_none());
            (due, anonymous && !accumulator.is_settled_below(u64::MAX))
        };
        let mut again_ms = due.again_ms;
        for batch in std::mem::take(&mut due.expired) {
            self.expire(batch);
        }
        again_ms = earlier(again_ms, self.expire_in_flight(now_ms));
        let muted = self.brokers.values().map(|state| state.muted_until_ms).filter(|until| *until > now_ms);
        again_ms = earlier(again_ms, muted.min());
        self.identity.wanted |= needs_identity;
        self.metadata.wanted |= due.leaderless;
        let max_age = self.shared.config.connection.metadata_max_age.as_millis() as i64;
        if self.metadata.ended_ms + max_age <= now_ms && !self.shared.accumulator.lock().is_settled_below(u64::MAX) {
            self.metadata.wanted = true;
        }
        again_ms = earlier(again_ms, self.run_errands(now_ms));
        let sent = !due.requests.is_empty();
        self.dispatch(due);
        (again_ms, sent)
    }

    fn dispatch(&mut self, due: Due) {
        for broker in due.connect {
            let state = self.brokers.entry(broker).or_default();
            if !std::mem::replace(&mut state.connecting, true) {
                let cluster = self.shared.cluster.clone();
                self.work.push(Box::pin(async move {
                    Event::Connected { broker, result: cluster.known_broker(broker).await.map(drop) }
                }));
            }
        }
        for request in due.requests {
            self.send(request);
        }
    }

    /// Starts metadata and identity requests that are wanted and not too early.
    fn run_errands(&mut self, now_ms: i64) -> Option<i64> {
        let config = &self.shared.config.connection;
        let (first, max) = (config.retry_backoff.as_millis() as i64, config.retry_backoff_max.as_millis() as i64);
        let mut again_ms = None;
        let mut starts = |errand: &mut Errand| {
            let wait = (first << errand.failures.min(20)).min(max.max(first));
            let at = if errand.ended_ms == 0 { 0 } else { errand.ended_ms + wait };
            if !errand.wanted || errand.running {
                return false;
            }
            if at > now_ms {
                again_ms = earlier(again_ms, Some(at));
                return false;
            }
            errand.wanted = false;
            errand.running = true;
            true
        };
        let (refresh, identify) = (starts(&mut self.metadata), starts(&mut self.identity));
        let cluster = &self.shared.cluster;
        if refresh {
            let (names, missing) = self.shared.accumulator.lock().topics_to_refresh(now_ms);
            let cluster = cluster.clone();
            self.work.push(Box::pin(async move {
                Event::Refreshed(cluster.metadata(Some(&names), missing).await.map(drop))
            }));
        }
        if identify {
            let cluster = cluster.clone();
            self.work.push(Box::pin(async move { Event::Identified(identify_at(&cluster).await) }));
        }
        again_ms
    }

    /// Seals batches and puts them on the wire.
    fn send(&mut self, (broker, taken): Request) {
        let (config, now_ms) = (&self.shared.config, self.shared.now_ms());
        let Some(connection) = self.shared.cluster.open_to(broker) else {
            for (batch, _) in taken {
                self.refuse(batch, &lost(broker));
            }
            return;
        };
        let mut entries: Vec<(Arc<str>, Uuid, PartitionProduceData)> = Vec::with_capacity(taken.len());
        let mut batches = Vec::with_capacity(taken.len());
        for (mut batch, stamp) in taken {
            match batch.seal((config.codec, config.level), stamp, &mut self.scratch) {
                Ok(Sealed { bytes, ratio, spare }) => {
                    if let Some(ratio) = ratio {
                        self.shared.accumulator.lock().compressed(&mut batch, ratio, spare);
                    }
                    let (topic, queued_ms) = (&batch.topic, now_ms - batch.created_ms);
                    let left = Left { topic, records: batch.count, bytes: bytes.len(), queued_ms, ratio };
                    self.shared.metrics.lock().batch_left(&left, now_ms);
                    let data = PartitionProduceData::default().with_index(batch.place.1).with_records(Some(bytes));
                    entries.push((batch.topic.clone(), batch.topic_id, data));
                    batches.push(batch);
                }
                Err(error) => self.fail(batch, &ClientError::Config(error.to_string()), Fate::Refused),
            }
        }
        if batches.is_empty() {
            return;
        }
        let protocol = match &self.shared.coordinators {
            Some(_) => self.shared.accumulator.lock().transactions.as_ref().map(Transactions::protocol),
            None => None,
        };
        let by_id = protocol != Some(Protocol::V1)
            && connection.serves_version(ApiKey::Produce, BY_ID)
            && entries.iter().all(|(_, id, _)| !id.is_nil());
        let request = produce_request(config, entries, by_id);
        let at_most = match protocol {
            _ if by_id => BY_ID,
            Some(Protocol::V1) => BEFORE_V2,
            _ => BY_NAME,
        };
        self.start(broker, &connection, at_most, &request, batches);
    }

    fn start(
        &mut self,
        broker: i32,
        connection: &Connection,
        at_most: i16,
        request: &ProduceRequest,
        batches: Vec<Batch>,
    ) {
        let config = &self.shared.config;
        let (id, sent_ms) = (self.next_request, self.shared.now_ms());
        let event = move |result| Event::Answered { request: id, broker, sent_ms, result };
        let started: Result<BoxFuture<'static, Event>, ClientError> = match config.acks {
            Acks::None => connection
                .send_only(at_most, request)
                .map(|written| async move { event(written.await.map(|()| None)) }.boxed()),
            _ => connection
                .start(at_most, request, config.connection.request_timeout)
                .map(|pending| async move { event(pending.await_reply().await.map(Some)) }.boxed()),
        };
        match started {
            Ok(answer) => {
                self.next_request += 1;
                self.shared.metrics.lock().request_left(batches.iter().map(|batch| batch.count).sum(), sent_ms);
                self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
                self.requests.insert(id, batches);
                self.brokers.entry(broker).or_default().in_flight += 1;
                self.work.push(answer);
            }
            Err(error) => batches.into_iter().for_each(|batch| self.refuse(batch, &error)),
        }
    }

    fn take(&mut self, event: Event) {
        let now_ms = self.shared.now_ms();
        match event {
            Event::Answered { request, broker, sent_ms, result } => {
                let answer = result.as_ref().ok().and_then(Option::as_ref);
                let throttle_ms = answer.map_or(0, |response| response.throttle_time_ms.max(0));
                if let Some(state) = self.brokers.get_mut(&broker) {
                    state.in_flight = state.in_flight.saturating_sub(1);
                    state.muted_until_ms = state.muted_until_ms.max(now_ms + i64::from(throttle_ms));
                }
                self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
                self.shared.metrics.lock().answered(now_ms - sent_ms, throttle_ms, now_ms);
                let batches = self.requests.remove(&request).unwrap_or_default();
                self.answered(broker, batches, result);
            }
            Event::Connected { broker, result } => {
                let state = self.brokers.entry(broker).or_default();
                state.connecting = false;
                if let Err(error) = result {
                    tracing::warn!(broker, %error, "cannot reach a leader");
                    // A broker that metadata names no more is refused at once, and is not to be asked for at once again.
                    let wait = self.shared.config.connection.reconnect_backoff.max(Duration::from_millis(1));
                    state.muted_until_ms = state.muted_until_ms.max(now_ms + wait.as_millis() as i64);
                    self.shared.trouble(Source::Leader(broker), error.to_string());
                    // Its partitions may be led by another broker by now.
                    self.metadata.wanted = true;
                }
            }
            Event::Refreshed(result) => {
                self.metadata.end(now_ms, result.is_ok());
                if result.is_ok() {
                    self.shared.refreshed_ms.store(now_ms, Ordering::Relaxed);
                }
                if let Err(error) = &result {
                    tracing::warn!(%error, "cannot refresh metadata");
                    self.shared.trouble(Source::Any, error.to_string());
                    self.metadata.wanted = true;
                }
                self.relearn();
            }
            Event::Coordinated(answer, heard) => {
                if let Some(why) = answer.trouble(&heard) {
                    self.shared.trouble(Source::Any, why);
                }
                self.shared.accumulator.lock().answered(answer, heard);
                self.shared.settled.notify_waiters();
            }
            Event::Identified(result) => {
                if let Err(error) = &result {
                    self.shared.trouble(Source::Any, error.to_string());
                }
                self.identity.end(now_ms, result.is_ok());
                self.identified(result);
            }
        }
    }

    fn identified(&mut self, result: Result<Identity, ClientError>) {
        match result {
            Ok(identity) => {
                if let Some(sequences) = &mut self.shared.accumulator.lock().sequences {
                    sequences.identify(identity);
                }
            }
            Err(error) if error.is_retriable() => self.identity.wanted = true,
            Err(error) => {
                self.shared.accumulator.lock().fatal = Some(error.clone());
                self.give_up_all(&error);
            }
        }
    }

    /// Gives the queues what the cluster knows by now.
    fn relearn(&self) {
        let mut accumulator = self.shared.accumulator.lock();
        for name in accumulator.topic_names() {
            match self.shared.cluster.known_topic(&name) {
                Some(view) => accumulator.learn(&name, view),
                None => accumulator.forget(&name),
            }
        }
    }

    fn answered(&mut self, broker: i32, batches: Vec<Batch>, result: Result<Option<ProduceResponse>, ClientError>) {
        let response = match result {
            Ok(Some(response)) => response,
            Ok(None) => {
                let written = Written { base_offset: -1, append_time: -1 };
                return self.written(batches.into_iter().map(|batch| (batch, written)).collect());
            }
            Err(error) => {
                self.shared.trouble(Source::Leader(broker), error.to_string());
                self.metadata.wanted = true;
                batches.into_iter().for_each(|batch| self.refuse(batch, &error));
                return;
            }
        };
        let (mut moved, mut written) = (false, Vec::with_capacity(batches.len()));
        let said = by_place(&response);
        for batch in batches {
            let by_id = said.get(&(batch.topic_id, "", batch.place.1));
            match by_id.or_else(|| said.get(&(Uuid::nil(), &*batch.topic, batch.place.1))).copied() {
                Some(own) if own.error_code == 0 => {
                    written
                        .push((batch, Written { base_offset: own.base_offset, append_time: own.log_append_time_ms }));
                }
                Some(own) => {
                    moved |= self.learn_leader(&batch.topic, own, &response);
                    self.settle(broker, batch, own);
                }
                None => self.refuse(batch, &ClientError::State("the answer does not speak of the batch")),
            }
        }
        self.written(written);
        if moved {
            self.relearn();
        }
    }

    /// Takes a leader that the answer names (KIP-951).
    fn learn_leader(&self, name: &str, own: &PartitionProduceResponse, response: &ProduceResponse) -> bool {
        let (broker, epoch) = (own.current_leader.leader_id.0, own.current_leader.leader_epoch);
        if broker < 0 || epoch < 0 {
            return false;
        }
        let endpoint = response.node_endpoints.iter().find(|node| node.node_id.0 == broker);
        let endpoint = endpoint.map(|node| (&*node.host, node.port));
        self.shared.cluster.learn_leader(name, own.index, Leader { broker, epoch }, endpoint);
        true
    }

    /// What a broker's refusal means for a batch (Java: `Sender.completeBatch`).
    fn settle(&mut self, broker: i32, batch: Batch, own: &PartitionProduceResponse) {
        let name = &*batch.topic.clone();
        let (code, attempts) = (known(own.error_code), batch.attempts);
        tracing::debug!(topic = name, partition = own.index, code = code.name(), attempts, "produce error");
        if code.retry() == Retry::RefreshMetadata {
            self.metadata.wanted = true;
        }
        let (place, id) = (batch.place, batch.id);
        let message = own.record_errors.iter().find_map(|record| record.batch_index_error_message.as_deref());
        let error = of_partition(name, own.index, own.error_code, message.or(own.error_message.as_deref()));
        let error = error.at(&self.shared.cluster.name_of(broker));
        self.shared.trouble(Source::Leader(broker), error.to_string());
        if code == ErrorCode::MessageTooLarge && batch.count > 1 {
            self.shared.accumulator.lock().unmute(place);
            self.shared.metrics.lock().split(self.shared.now_ms());
            // Retries are not spent by it: each part is smaller.
            let split = self.shared.accumulator.lock().split(batch);
            if let Err(batch) = split {
                tracing::error!(topic = name, partition = own.index, "a batch cannot be split");
                self.fail(*batch, &error, Fate::Refused);
            }
            return;
        }
        let retry = self.may_retry(&batch) && {
            let mut accumulator = self.shared.accumulator.lock();
            match &mut accumulator.sequences {
                Some(sequences) => sequences.should_retry(place, id, code, own.log_start_offset),
                None => code.is_retriable(),
            }
        };
        if retry {
            self.requeue(batch);
        } else if code == ErrorCode::DuplicateSequenceNumber {
            // It was written by an attempt whose answer was lost, too long ago for the broker to know where.
            self.written(vec![(batch, Written { base_offset: own.base_offset, append_time: -1 })]);
        } else {
            let exhausted = batch.attempts >= self.shared.config.retries;
            let fate = if exhausted || code.is_retriable() { Fate::Unknown } else { Fate::Refused };
            self.fail(batch, &error, fate);
        }
    }

    fn may_retry(&self, batch: &Batch) -> bool {
        let age = self.shared.now_ms() - batch.created_ms;
        batch.attempts < self.shared.config.retries && age < self.shared.config.delivery_timeout.as_millis() as i64
    }

    /// No answer came: the batch may have been written or not.
    fn refuse(&mut self, batch: Batch, error: &ClientError) {
        if let Some(sequences) = &mut self.shared.accumulator.lock().sequences {
            sequences.doubt(batch.place, batch.id);
        }
        let retriable = error.is_retriable() || matches!(error, ClientError::State(_));
        if retriable && self.may_retry(&batch) {
            self.requeue(batch);
        } else {
            self.fail(batch, error, Fate::Unknown);
        }
    }

    fn requeue(&self, batch: Batch) {
        let now_ms = self.shared.now_ms();
        let mut accumulator = self.shared.accumulator.lock();
        accumulator.unmute(batch.place);
        self.shared.metrics.lock().retried(&batch.topic, batch.count, now_ms);
        accumulator.requeue(batch, now_ms);
    }

    /// Settles batches that were written, under one lock.
    fn written(&self, mut batches: Vec<(Batch, Written)>) {
        let (flushed, freed) = {
            let mut accumulator = self.shared.accumulator.lock();
            for (batch, written) in &mut batches {
                accumulator.unmute(batch.place);
                let last = if written.base_offset < 0 { -1 } else { written.base_offset + i64::from(batch.count) - 1 };
                if let Some(sequences) = &mut accumulator.sequences {
                    sequences.written(batch.place, batch.id, last);
                }
                if last >= 0 {
                    accumulator.wrote(batch.place, last + 1);
                }
                accumulator.release(batch);
            }
            (accumulator.is_flushed(), accumulator.takes_freed(self.requests.len()))
        };
        for (batch, written) in batches {
            // Interceptors hear of it before who waits for it (Java: `KafkaProducer.AppendCallbacks`).
            self.tell_interceptors(&batch, |index| {
                let offset = if written.base_offset < 0 { -1 } else { written.base_offset + i64::from(index) };
                Ok(RecordMetadata { partition: batch.place.1, offset, timestamp: written.append_time })
            });
            if let Some(outcome) = &batch.outcome {
                outcome.written(written);
            }
        }
        if flushed {
            self.shared.settled.notify_waiters();
        }
        if freed {
            self.shared.memory.notify_one();
        }
    }

    /// Wakes those who wait for memory if it is worth it.
    fn tell_freed(&self) {
        if self.shared.accumulator.lock().takes_freed(self.requests.len()) {
            self.shared.memory.notify_one();
        }
    }

    /// Gives up a batch, and with it the transaction it belongs to.
    fn fail(&self, batch: Batch, error: &ClientError, fate: Fate) {
        if let Some(transactions) = &mut self.shared.accumulator.lock().transactions {
            transactions.record_failed(error);
        }
        self.drop_batch(batch, error, fate);
    }

    fn drop_batch(&self, mut batch: Batch, error: &ClientError, fate: Fate) {
        tracing::debug!(%error, records = batch.count, "records given up");
        {
            let mut accumulator = self.shared.accumulator.lock();
            accumulator.unmute(batch.place);
            if let Some(sequences) = &mut accumulator.sequences {
                match fate {
                    Fate::Refused => sequences.failed(batch.place, batch.id),
                    Fate::Unknown => sequences.expired(batch.place, batch.id),
                }
            }
            if batch.unobserved {
                accumulator.note(error);
            }
            accumulator.release(&mut batch);
        }
        self.shared.metrics.lock().failed(&batch.topic, batch.count, self.shared.now_ms());
        self.tell_interceptors(&batch, |_| Err(error.clone()));
        if let Some(outcome) = &batch.outcome {
            outcome.failed(error.clone());
        }
        self.shared.settled.notify_waiters();
    }

    fn tell_interceptors(&self, batch: &Batch, result: impl Fn(i32) -> Result<RecordMetadata, ClientError>) {
        if self.shared.plugins.interceptors.is_empty() {
            return;
        }
        (0..batch.count).for_each(|index| self.shared.plugins.acknowledged(&batch.topic, &result(index)));
    }

    fn expire(&self, batch: Batch) {
        let leader = self.shared.accumulator.lock().leader_of(batch.place).map(Source::Leader);
        let doing = format!("writing {} records to {}-{}", batch.count, batch.topic, batch.place.1);
        let error = self.shared.late(doing, self.shared.config.delivery_timeout, leader);
        self.fail(batch, &error, Fate::Unknown);
    }

    /// Gives up batches whose answer is overdue; returns when the next one will be.
    fn expire_in_flight(&mut self, now_ms: i64) -> Option<i64> {
        let limit_ms = self.shared.config.delivery_timeout.as_millis() as i64;
        let (mut expired, mut again_ms) = (Vec::new(), None);
        for batches in self.requests.values_mut() {
            expired.extend(batches.extract_if(.., |batch| batch.created_ms + limit_ms <= now_ms));
            again_ms = batches.iter().map(|batch| batch.created_ms + limit_ms).chain(again_ms).min();
        }
        expired.into_iter().for_each(|batch| self.expire(batch));
        again_ms
    }

    fn give_up_all(&mut self, error: &ClientError) {
        let mut all = self.shared.accumulator.lock().take_all();
        all.extend(self.requests.drain().flat_map(|(_, batches)| batches));
        for batch in all {
            self.drop_batch(batch, error, Fate::Unknown);
        }
    }
}

impl Errand {
    fn end(&mut self, now_ms: i64, success: bool) {
        self.running = false;
        self.ended_ms = now_ms.max(1);
        self.failures = if success { 0 } else { self.failures + 1 };
    }
}

fn node_of(
    brokers: &HashMap<i32, BrokerState>,
    cluster: &Cluster,
    (in_flight_max, now_ms): (usize, i64),
    broker: i32,
) -> Node {
    match brokers.get(&broker) {
        Some(state) if state.in_flight >= in_flight_max || state.muted_until_ms > now_ms => Node::Busy,
        _ if cluster.open_to(broker).is_some() => Node::Ready,
        _ => Node::Unconnected,
    }
}

fn earlier(left: Option<i64>, right: Option<i64>) -> Option<i64> {
    left.into_iter().chain(right).min()
}

fn lost(broker: i32) -> ClientError {
    ClientError::Lost { address: format!("broker {broker}"), cause: "it was closed".to_owned() }
}

fn produce_request(
    config: &ProducerConfig,
    entries: Vec<(Arc<str>, Uuid, PartitionProduceData)>,
    by_id: bool,
) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    let mut index: HashMap<Arc<str>, usize> = HashMap::new();
    for (name, id, data) in entries {
        let at = *index.entry(name).or_insert_with_key(|name| {
            let topic = TopicProduceData::default();
            topics.push(if by_id { topic.with_topic_id(id) } else { topic.with_name(topic_name(name)) });
            topics.len() - 1
        });
        topics[at].partition_data.push(data);
    }
    let acks = match config.acks {
        Acks::None => 0,
        Acks::Leader => 1,
        Acks::All => -1,
    };
    let id = config.transactional_id.as_ref().map(|id| TransactionalId(StrBytes::from_string(id.clone())));
    ProduceRequest::default()
        .with_transactional_id(id)
        .with_acks(acks)
        .with_timeout_ms(config.connection.request_timeout.as_millis() as i32)
        .with_topic_data(topics)
}

/// What an answer says of each partition, by the topic's id or, without one, by its name.
fn by_place(response: &ProduceResponse) -> HashMap<(Uuid, &str, i32), &PartitionProduceResponse> {
    let topics = response.responses.iter().flat_map(|topic| {
        let name = if topic.topic_id.is_nil() { &*topic.name.0 } else { "" };
        topic.partition_responses.iter().map(move |own| ((topic.topic_id, name, own.index), own))
    });
    topics.collect()
}

/// Asks any broker for a producer id.
async fn identify_at(cluster: &Cluster) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let connection = cluster.any().await?;
    let reply = connection.call(&request).await?;
    check_of("a new producer", reply.error_code, None).map_err(|error| error.at(connection.address()))?;
    Ok(Identity { id: reply.producer_id.0, epoch: reply.producer_epoch })
}
