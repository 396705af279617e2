//! What a transactional producer may do, and what it asks of its coordinators next (Java: `TransactionManager`).
//!
//! Pure: stands under the accumulator's lock, is told what callers want and what brokers answered, and says which request
//! leaves; `txn/call.rs` carries it out. One request at a time is on its way. Version 1 names each partition to the
//! coordinator before records go there; version 2 (KIP-890) leaves that to the brokers and gets a new epoch with the end
//! of each transaction. Which one holds is read from the cluster's finalised features before each transaction's end.
//! Never here: sequences; those of a new epoch start at 0 in `idempotent.rs`.
//!
//! Not done: two-phase commit (KIP-939, which needs InitProducerId 6).

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_protocol::error_code::ErrorCode;

use super::batch::Place;
use super::idempotent::Identity;
use crate::TopicPartition;
use crate::consumer::Offsets;
use crate::error::{ClientError, ErrorClass, known, of_partition};
pub(crate) use crate::metadata::Features;

// The words between here and the sender.
mod ask;
// Requests to coordinators.
mod call;

pub use ask::GroupMetadata;
use ask::OffsetsTask;
pub(crate) use ask::{Answer, Ask, Effect, Ending, Heard, Next, Protocol, Verdict};
pub(super) use call::{Coordinators, Sender as Asking};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    AbortableError,
    FatalError,
}

/// A call that moves the whole producer; while one is open, no other is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Init,
    Commit,
    Abort,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Call::Init => "init_transactions",
            Call::Commit => "commit_transaction",
            Call::Abort => "abort_transaction",
        }
    }
}

/// Java: `TransactionManager.ADD_PARTITIONS_RETRY_BACKOFF_MS`
const FIRST_PARTITIONS_BACKOFF_MS: i64 = 20;

/// The transactions of one producer.
pub(crate) struct Transactions {
    state: State,
    error: Option<ClientError>,
    protocol: Protocol,
    features_epoch: i64,
    identity: Option<Identity>,
    /// The coordinator knows of the transaction, or will when the records arrive.
    started: bool,
    /// An epoch is to be asked for when the transaction has ended.
    bump_wanted: bool,
    new: BTreeSet<Place>,
    adding: BTreeSet<Place>,
    added: BTreeSet<Place>,
    queue: Vec<(Ask, Tries)>,
    /// The request on its way.
    out: Option<Ask>,
    open_call: Option<(Call, Verdict)>,
    ending: Option<Verdict>,
    retry_backoff_ms: i64,
    /// Who gave the answer that is being taken.
    heard: Heard,
    /// Somebody who waits was told something.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
enum Tries {
    First,
    Again { wait_ms: i64 },
}

impl Transactions {
    pub fn new(retry_backoff_ms: i64) -> Self {
        Transactions {
            state: State::Uninitialized,
            error: None,
            protocol: Protocol::V1,
            features_epoch: -1,
            identity: None,
            started: false,
            bump_wanted: false,
            new: BTreeSet::new(),
            adding: BTreeSet::new(),
            added: BTreeSet::new(),
            queue: Vec::new(),
            out: None,
            open_call: None,
            ending: None,
            retry_backoff_ms,
            heard: Heard::default(),
            told: false,
        }
    }

    /// Errors of the next answer name who gave it.
    pub fn hear(&mut self, heard: Heard) {
        self.heard = heard;
    }

    /// Whether those who wait are to be woken.
    pub fn takes_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    fn broker(&self, code: i16) -> ClientError {
        self.heard.said(code)
    }

    /// Coordinators before 2.7 say INVALID_PRODUCER_EPOCH where later ones say PRODUCER_FENCED.
    fn fenced(&self) -> ClientError {
        self.broker(ErrorCode::ProducerFenced.code())
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Asks for an identity and ends what an earlier producer of the same id left open.
    pub fn init(&mut self) -> Result<Verdict, ClientError> {
        self.call(Call::Init, |own| {
            own.fail_on_error()?;
            if own.state != State::Uninitialized {
                return Err(ClientError::State("init_transactions is called once"));
            }
            own.state = State::Initializing;
            own.queue.push((Ask::Init, Tries::First));
            Ok(Verdict::default())
        })
    }

    pub fn begin(&mut self) -> Result<(), ClientError> {
        self.fail_on_open_call()?;
        self.fail_on_error()?;
        match self.state {
            State::Ready => {
                self.state = State::InTransaction;
                Ok(())
            }
            State::Uninitialized | State::Initializing => {
                Err(ClientError::State("begin_transaction comes after init_transactions"))
            }
            _ => Err(ClientError::State("a transaction is open already")),
        }
    }

    pub fn commit(&mut self, features: Features) -> Result<Verdict, ClientError> {
        self.call(Call::Commit, |own| {
            own.fail_on_error()?;
            if own.state != State::InTransaction {
                return Err(ClientError::State("there is no transaction to commit"));
            }
            own.state = State::Committing;
            Ok(own.end(Ending::Commit, features))
        })
    }

    pub fn abort(&mut self, features: Features) -> Result<Verdict, ClientError> {
        self.call(Call::Abort, |own| {
            if own.state != State::AbortableError {
                own.fail_on_error()?;
                if own.state != State::InTransaction {
                    return Err(ClientError::State("there is no transaction to abort"));
                }
            }
            own.state = State::Aborting;
            own.error = None;
            own.new.clear();
            Ok(own.end(Ending::Abort, features))
        })
    }

    fn end(&mut self, ending: Ending, features: Features) -> Verdict {
        self.queue_new_partitions();
        self.queue.push((Ask::End(ending, self.protocol), Tries::First));
        // After the request was made: a transaction ends as it was begun.
        self.learn(features, Moment::Later);
        let verdict = Verdict::default();
        if self.bump_wanted {
            self.queue.push((Ask::Bump, Tries::First));
        } else {
            self.ending = Some(verdict.clone());
        }
        verdict
    }

    /// Takes offsets into the transaction.
    pub fn send_offsets(&mut self, offsets: Offsets, group: GroupMetadata) -> Result<Verdict, ClientError> {
        self.fail_on_open_call()?;
        self.fail_on_error()?;
        if self.state != State::InTransaction {
            return Err(ClientError::State("there is no transaction to send offsets to"));
        }
        let verdict = Verdict::default();
        let task = OffsetsTask { group, pending: offsets, verdict: verdict.clone() };
        match self.protocol {
            Protocol::V1 => self.queue.push((Ask::AddOffsets(task), Tries::First)),
            Protocol::V2 => {
                self.started = true;
                self.queue.push((Ask::CommitOffsets(task), Tries::First));
            }
        }
        Ok(verdict)
    }

    /// Whether a record may be appended now (Java: `maybeAddPartition`).
    #[inline]
    pub fn check_append(&self) -> Result<(), ClientError> {
        if self.state == State::InTransaction && self.open_call.is_none() { Ok(()) } else { self.refuse_append() }
    }

    #[cold]
    fn refuse_append(&self) -> Result<(), ClientError> {
        self.fail_on_error()?;
        match self.state {
            State::InTransaction => match &self.open_call {
                Some((call, verdict)) if !verdict.is_heard() => Err(unheard(*call)),
                _ => Ok(()),
            },
            State::Uninitialized | State::Initializing => {
                Err(ClientError::State("records of a transactional producer come after init_transactions"))
            }
            _ => Err(ClientError::State("records of a transactional producer come after begin_transaction")),
        }
    }

    /// A batch for `place` was begun.
    pub fn add(&mut self, place: Place) {
        match self.protocol {
            Protocol::V2 => {
                self.added.insert(place);
                self.started = true;
            }
            Protocol::V1 if !self.added.contains(&place) && !self.adding.contains(&place) => {
                self.new.insert(place);
            }
            Protocol::V1 => {}
        }
    }

    /// Whether batches for `place` may leave.
    pub fn may_drain(&self, place: Place) -> bool {
        self.state != State::FatalError && self.added.contains(&place)
    }

    /// Why batches that were never sent are given up, if they are.
    pub fn undrained_error(&self) -> Option<ClientError> {
        match self.state {
            State::AbortableError => self.error.clone(),
            State::Aborting => Some(ClientError::State("the transaction was aborted before the record was written")),
            _ => None,
        }
    }

    /// Why every batch is given up, if it is.
    pub fn fatal_error(&self) -> Option<ClientError> {
        (self.state == State::FatalError).then(|| self.error.clone()).flatten()
    }

    /// Whether a transaction is open, or one with errors waits to be aborted.
    pub fn is_ongoing(&self) -> bool {
        matches!(self.state, State::InTransaction | State::Committing | State::Aborting | State::AbortableError)
    }

    pub fn is_completing(&self) -> bool {
        matches!(self.state, State::Committing | State::Aborting)
    }

    /// The next request, if one may leave (Java: `nextRequest`).
    pub fn next(&mut self, incomplete: bool) -> Next {
        if self.out.is_some() {
            return Next::Idle;
        }
        self.queue_new_partitions();
        loop {
            let Some(at) = (0..self.queue.len()).min_by_key(|at| self.queue[*at].0.rank()) else { return Next::Idle };
            let is_end = matches!(self.queue[at].0, Ask::End(..));
            if is_end && incomplete {
                return Next::Idle;
            }
            let (ask, tries) = self.queue.remove(at);
            if let (State::AbortableError | State::FatalError, Some(error)) = (self.state, self.error.clone()) {
                self.fail(&ask, error);
                continue;
            }
            if is_end && !self.started {
                // Nothing was written: there is nothing to end.
                self.complete();
                continue;
            }
            self.out = Some(ask.clone());
            let wait_ms = match tries {
                Tries::First => 0,
                Tries::Again { wait_ms } => wait_ms,
            };
            return Next::Send { ask, wait_ms };
        }
    }

    fn queue_new_partitions(&mut self) {
        if self.new.is_empty() {
            return;
        }
        let new = std::mem::take(&mut self.new);
        self.queue.push((Ask::AddPartitions(new.iter().copied().collect()), Tries::First));
        self.adding.extend(new);
    }

    /// Takes the answer to the request that was on its way.
    pub fn answered(&mut self, answer: Answer) -> Effect {
        let Some(ask) = self.out.take() else { return Effect::Nothing };
        match (ask, answer) {
            (ask, Answer::Lost(error)) if error.is_retriable() => self.again(ask),
            (ask, Answer::Lost(error)) => self.fatal(&ask, error),
            (ask, Answer::NotFound(code)) => self.not_found(ask, code),
            (ask @ (Ask::Init | Ask::Bump), Answer::Init { code, identity }) => {
                return self.initialized(ask, code, identity);
            }
            (Ask::AddPartitions(places), Answer::Partitions(codes)) => self.partitions_added(places, &codes),
            (Ask::AddOffsets(task), Answer::Offsets(code)) => self.offsets_added(task, code),
            (Ask::CommitOffsets(task), Answer::Committed(codes)) => self.offsets_committed(task, &codes),
            (ask @ Ask::End(..), Answer::Ended { code, identity }) => return self.ended(ask, code, identity),
            (ask, _) => self.fatal(&ask, ClientError::State("the answer does not belong to the request")),
        }
        Effect::Nothing
    }

    fn not_found(&mut self, ask: Ask, code: i16) {
        let error = self.broker(code);
        match known(code) {
            code if code.is_retriable() => self.again(ask),
            ErrorCode::GroupAuthorizationFailed | ErrorCode::TransactionAbortable => self.abortable(&ask, error),
            _ => self.fatal(&ask, error),
        }
    }

    fn initialized(&mut self, ask: Ask, code: i16, identity: Identity) -> Effect {
        match known(code) {
            ErrorCode::None => {
                self.identity = Some(identity);
                self.state = State::Ready;
                self.error = None;
                self.tell_call(Ok(()));
                return Effect::Identity(identity);
            }
            code if code.is_retriable() => self.again(ask),
            ErrorCode::TransactionalIdAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
                // Sender.shouldHandleAuthorizationError: the producer can be initialised again once it is allowed.
                self.state = State::Uninitialized;
                self.queue.clear();
                self.tell_call(Err(self.broker(code)));
            }
            ErrorCode::TransactionAbortable => self.abortable(&ask, self.broker(code)),
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => self.fatal(&ask, self.fenced()),
            _ => self.fatal(&ask, self.broker(code)),
        }
        Effect::Nothing
    }

    fn partitions_added(&mut self, places: Vec<Place>, codes: &[(Place, i16)]) {
        let ask = Ask::AddPartitions(places);
        let mut refused = None;
        for (place, code) in codes {
            match known(*code) {
                ErrorCode::None => {}
                ErrorCode::ConcurrentTransactions if self.added.is_empty() => {
                    // The transaction before is still being completed, which takes little time.
                    return self.again_in(ask, self.retry_backoff_ms.min(FIRST_PARTITIONS_BACKOFF_MS));
                }
                code if code.is_retriable() => return self.again(ask),
                ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => return self.fatal(&ask, self.fenced()),
                ErrorCode::TransactionalIdAuthorizationFailed
                | ErrorCode::InvalidTxnState
                | ErrorCode::InvalidProducerIdMapping => return self.fatal(&ask, self.heard.said_of(*place, *code)),
                ErrorCode::UnknownProducerId => {
                    return self.abortable_with_bump(&ask, self.heard.said_of(*place, *code));
                }
                ErrorCode::TransactionAbortable => return self.abortable(&ask, self.heard.said_of(*place, *code)),
                ErrorCode::OperationNotAttempted => {
                    // Another partition's code says why.
                    refused.get_or_insert((*place, *code));
                }
                _ => refused = Some((*place, *code)),
            }
        }
        for (place, _) in codes {
            self.adding.remove(place);
        }
        match refused {
            Some((place, code)) => self.abortable(&ask, self.heard.said_of(place, code)),
            None => {
                self.added.extend(codes.iter().map(|(place, _)| *place));
                self.started = true;
            }
        }
    }

    fn offsets_added(&mut self, task: OffsetsTask, code: i16) {
        let error = self.broker(code);
        match known(code) {
            ErrorCode::None => {
                self.started = true;
                self.queue.push((Ask::CommitOffsets(task), Tries::First));
            }
            code if code.is_retriable() => self.again(Ask::AddOffsets(task)),
            ErrorCode::UnknownProducerId => self.abortable_with_bump(&Ask::AddOffsets(task), error),
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
                self.fatal(&Ask::AddOffsets(task), self.fenced())
            }
            ErrorCode::GroupAuthorizationFailed | ErrorCode::TransactionAbortable => {
                self.abortable(&Ask::AddOffsets(task), error);
            }
            _ => self.fatal(&Ask::AddOffsets(task), error),
        }
    }

    fn offsets_committed(&mut self, mut task: OffsetsTask, codes: &[(TopicPartition, i16)]) {
        for (at, code) in codes {
            let error = of_partition(&at.topic, at.partition, *code, None).at(&self.heard.address);
            match known(*code) {
                ErrorCode::None => {
                    task.pending.remove(at);
                }
                code if code.is_retriable() => {}
                ErrorCode::GroupAuthorizationFailed
                | ErrorCode::FencedInstanceId
                | ErrorCode::TransactionAbortable
                | ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::GroupIdNotFound
                | ErrorCode::StaleMemberEpoch => return self.abortable(&Ask::CommitOffsets(task), error),
                ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
                    return self.fatal(&Ask::CommitOffsets(task), self.fenced());
                }
                _ => return self.fatal(&Ask::CommitOffsets(task), error),
            }
        }
        if task.pending.is_empty() {
            task.verdict.tell(Ok(()));
        } else {
            self.again(Ask::CommitOffsets(task));
        }
    }

    fn ended(&mut self, ask: Ask, code: i16, identity: Option<Identity>) -> Effect {
        let is_abort = matches!(ask, Ask::End(Ending::Abort, _));
        match known(code) {
            ErrorCode::None => {
                self.complete();
                if let Some(identity) = identity {
                    self.identity = Some(identity);
                    return Effect::Identity(identity);
                }
            }
            code if code.is_retriable() => self.again(ask),
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => self.fatal(&ask, self.fenced()),
            ErrorCode::UnknownProducerId => self.abortable_with_bump(&ask, self.broker(code)),
            // An abort that has to be aborted would never end.
            ErrorCode::TransactionAbortable if !is_abort => self.abortable(&ask, self.broker(code)),
            _ => self.fatal(&ask, self.broker(code)),
        }
        Effect::Nothing
    }

    /// The transaction has ended (Java: `resetTransactionState`).
    fn complete(&mut self) {
        self.state = if self.bump_wanted { State::Initializing } else { State::Ready };
        self.error = None;
        self.bump_wanted = false;
        self.started = false;
        self.new.clear();
        self.adding.clear();
        self.added.clear();
        if let Some(verdict) = self.ending.take() {
            verdict.tell(Ok(()));
            self.told = true;
        }
    }

    /// A batch was given up: what that means for the transaction (Java: `maybeTransitionToErrorState`).
    pub fn record_failed(&mut self, error: &ClientError) {
        let is_fatal = matches!(
            error.code(),
            Some(
                ErrorCode::ClusterAuthorizationFailed
                    | ErrorCode::TransactionalIdAuthorizationFailed
                    | ErrorCode::ProducerFenced
                    | ErrorCode::UnsupportedVersion
                    | ErrorCode::InvalidProducerIdMapping
            )
        ) || matches!(error, ClientError::Unsupported { .. });
        if is_fatal {
            return self.enter_fatal(error.clone());
        }
        if self.protocol == Protocol::V1 && !self.is_completing() {
            self.bump_wanted = true;
        }
        self.enter_abortable(error.clone());
    }

    /// What the cluster has finalised (Java: `maybeUpdateTransactionV2Enabled`).
    fn learn(&mut self, features: Features, when: Moment) {
        if self.features_epoch >= features.epoch {
            return;
        }
        self.features_epoch = features.epoch;
        let before = self.protocol;
        self.protocol = if features.transaction_version >= 2 { Protocol::V2 } else { Protocol::V1 };
        if when == Moment::Later && before == Protocol::V1 && self.protocol == Protocol::V2 {
            // Partitions of the last transaction must not be taken for partitions of the next.
            self.bump_wanted = true;
        }
    }

    /// As the first initialisation is over.
    pub fn learn_first(&mut self, features: Features) {
        self.learn(features, Moment::First);
    }

    fn again(&mut self, ask: Ask) {
        self.again_in(ask, self.retry_backoff_ms);
    }

    fn again_in(&mut self, ask: Ask, wait_ms: i64) {
        self.queue.push((ask, Tries::Again { wait_ms }));
    }

    fn abortable(&mut self, ask: &Ask, error: ClientError) {
        self.enter_abortable(error);
        let told = self.error.clone().unwrap_or(ClientError::State("the transaction is being aborted"));
        self.fail(ask, told);
    }

    fn abortable_with_bump(&mut self, ask: &Ask, error: ClientError) {
        // InitProducerId 3, which every broker since 2.5 serves, lets a client ask for a new epoch.
        self.bump_wanted |= self.protocol == Protocol::V1;
        self.abortable(ask, error);
    }

    fn fatal(&mut self, ask: &Ask, error: ClientError) {
        self.enter_fatal(error);
        if let Some(error) = self.error.clone() {
            self.fail(ask, error);
        }
    }

    fn enter_abortable(&mut self, error: ClientError) {
        match self.state {
            State::InTransaction | State::Committing | State::Initializing => {
                tracing::info!(%error, "the transaction can only be aborted");
                let error = ClientError::Transaction { class: ErrorClass::Abortable, cause: Arc::new(error) };
                self.state = State::AbortableError;
                let asks: Vec<_> = std::mem::take(&mut self.queue);
                for (ask, _) in asks {
                    self.fail(&ask, error.clone());
                }
                self.error = Some(error);
            }
            // The first error counts; or it is being aborted, or there is nothing that could be.
            _ => {}
        }
    }

    fn enter_fatal(&mut self, error: ClientError) {
        if self.state == State::FatalError {
            return;
        }
        tracing::error!(%error, "the transactional producer cannot go on");
        let class = match error.class() {
            class @ (ErrorClass::ApplicationRecoverable | ErrorClass::InvalidConfiguration) => class,
            _ => ErrorClass::Fatal,
        };
        let error = ClientError::Transaction { class, cause: Arc::new(error) };
        self.state = State::FatalError;
        self.error = Some(error.clone());
        for (ask, _) in std::mem::take(&mut self.queue) {
            self.fail(&ask, error.clone());
        }
        self.tell_call(Err(error));
    }

    /// Tells whoever waits for a request that it failed.
    fn fail(&mut self, ask: &Ask, error: ClientError) {
        self.told = true;
        match ask {
            Ask::AddOffsets(task) | Ask::CommitOffsets(task) => task.verdict.tell(Err(error)),
            Ask::AddPartitions(places) => places.iter().for_each(|place| {
                self.adding.remove(place);
            }),
            Ask::Init | Ask::End(..) | Ask::Bump => self.tell_call(Err(error)),
        }
    }

    fn tell_call(&mut self, result: Result<(), ClientError>) {
        self.told = true;
        self.ending = None;
        if let Some((_, verdict)) = &self.open_call {
            verdict.tell(result);
        }
    }

    /// Gives up what waits, because the producer is closed.
    pub fn close(&mut self) {
        if self.open_call.as_ref().is_some_and(|(_, verdict)| !verdict.is_told()) || self.is_ongoing() {
            self.enter_fatal(ClientError::State("the producer was closed"));
        }
    }

    /// Begins a call, or gives back the verdict of the same call that its caller has not heard of (a timeout).
    fn call(
        &mut self,
        call: Call,
        begin: impl FnOnce(&mut Self) -> Result<Verdict, ClientError>,
    ) -> Result<Verdict, ClientError> {
        match &self.open_call {
            Some((_, verdict)) if verdict.is_heard() => self.open_call = None,
            Some((open, verdict)) if *open == call => return Ok(verdict.clone()),
            Some((open, _)) => return Err(unheard(*open)),
            None => {}
        }
        let verdict = begin(self)?;
        self.open_call = Some((call, verdict.clone()));
        Ok(verdict)
    }

    fn fail_on_open_call(&mut self) -> Result<(), ClientError> {
        match &self.open_call {
            Some((_, verdict)) if verdict.is_heard() => {
                self.open_call = None;
                Ok(())
            }
            Some((open, _)) => Err(unheard(*open)),
            None => Ok(()),
        }
    }

    fn fail_on_error(&self) -> Result<(), ClientError> {
        match (self.state, &self.error) {
            (State::AbortableError | State::FatalError, Some(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    First,
    Later,
}

fn unheard(call: Call) -> ClientError {
    tracing::debug!(call = call.name(), "an earlier call is not over");
    ClientError::State(match call {
        Call::Init => "init_transactions timed out and must be called again first",
        Call::Commit => "commit_transaction timed out and must be called again first",
        Call::Abort => "abort_transaction timed out and must be called again first",
    })
}

#[cfg(test)]
mod tests;
