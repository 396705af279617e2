//! The runtime of one coordinator partition: replays its log into a pure machine, then steps the machine, appends
//! what it wants appended, and answers.
//!
//! Called by the handlers of groups and transactions (through [`crate::coord::shards::Shards`]), by the timer
//! task and by whoever learns that the partition's leader changed. A request is stepped, appended and answered
//! under one lock, in the caller's own poll: on a single node the append is below the high watermark when it
//! returns, so most answers are ready at once. What waits (for replicas, for an fsync) is committed strictly in the
//! order of the log, because replay knows no other. Never here: a rule of groups or of transactions.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use millstream_base_env::Clock;
use millstream_broker_coordinator::step::{Append, AppendError, AppendToken, Effects, Event, Machine, Now, Token};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::coord::storage::{Appended, Storage, Synced};
use crate::coord::timer::Slot;

/// The answer to a request.
#[derive(Debug)]
pub enum Asked<M: Machine> {
    /// It is there.
    Now(M::Response),
    /// It comes; a closed channel means that the partition moved away (NOT_COORDINATOR).
    Later(oneshot::Receiver<M::Response>),
    /// The shard takes no requests; here is this one back.
    Unavailable(Unavailable, M::Request),
}

/// Why a shard takes no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Another node leads the partition: NOT_COORDINATOR.
    NotCoordinator,
    /// The log is being replayed: COORDINATOR_LOAD_IN_PROGRESS.
    Loading,
}

/// Carries out the commands of a machine; called without a lock held, with the shard's partition.
pub type Outside<M> = Box<dyn Fn(&Arc<Shard<M>>, <M as Machine>::Command) + Send + Sync>;

/// One coordinator partition.
pub struct Shard<M: Machine> {
    partition: i32,
    clock: Clock,
    wakeup: Slot,
    outside: Arc<Outside<M>>,
    state: Mutex<State<M>>,
}

enum State<M: Machine> {
    Unloaded,
    /// Replaying for this leader epoch.
    Loading(i32),
    /// Its log could not be replayed for this leader epoch.
    Failed(i32),
    Active(Active<M>),
}

/// What became of [`Shard::load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It takes requests.
    Done,
    /// The log could not be replayed; to be tried again.
    Failed,
    /// The shard was unloaded or reloaded meanwhile: nothing is left to do.
    Gone,
}

/// Where a shard stands, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// This node does not lead it.
    Away,
    /// Its log is being replayed.
    Loading,
    /// Its log could not be replayed; that is tried again.
    Failed,
    /// It takes requests.
    Active,
}

struct Active<M: Machine> {
    machine: M,
    storage: Storage,
    effects: Effects<M>,
    parked: HashMap<Token, oneshot::Sender<M::Response>>,
    token_next: u64,
    /// Appended, not yet committed, in the order of the log.
    uncommitted: VecDeque<(Appended, AppendToken)>,
    syncing: Syncing,
    /// The time this shard is registered for with the timer, `i64::MAX` for none.
    wakeup_registered: i64,
}

/// Whether an fsync is under way; one at a time, and it covers all that wait when it begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syncing {
    No,
    Yes,
}

/// What a step left to do once the lock is free.
struct Released<M: Machine> {
    answers: SmallVec<[(oneshot::Sender<M::Response>, M::Response); 4]>,
    commands: Vec<M::Command>,
}

impl<M: Machine> Shard<M> {
    /// A shard that is not loaded.
    pub fn new(partition: i32, clock: Clock, wakeup: Slot, outside: Arc<Outside<M>>) -> Self {
        Shard { partition, clock, wakeup, outside, state: Mutex::new(State::Unloaded) }
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Asks the machine.
    pub fn ask(self: &Arc<Self>, request: M::Request) -> Asked<M> {
        let mut guard = self.state.lock();
        let active = match &mut *guard {
            State::Active(active) => active,
            State::Loading(_) => return Asked::Unavailable(Unavailable::Loading, request),
            // Of a failed replay Apache's coordinators say the same.
            State::Unloaded | State::Failed(_) => return Asked::Unavailable(Unavailable::NotCoordinator, request),
        };
        let token = Token(active.token_next);
        active.token_next += 1;
        let mut own = None;
        let mut released = Released::new();
        self.run(active, Event::Ask { token, request }, Some((token, &mut own)), &mut released);
        let later = own.is_none().then(|| {
            let (sender, receiver) = oneshot::channel();
            active.parked.insert(token, sender);
            receiver
        });
        drop(guard);
        self.release(released);
        match (own, later) {
            (Some(response), _) => Asked::Now(response),
            (None, Some(receiver)) => Asked::Later(receiver),
            (None, None) => unreachable!("either the answer or its channel exists"),
        }
    }

    /// Replays `storage` up to its high watermark into `machine` and takes requests from then on. Blocks on
    /// reads: call it where that is allowed. Does nothing when the shard was unloaded or reloaded meanwhile.
    pub fn load(self: &Arc<Self>, mut machine: M, storage: Storage) -> Loaded {
        let epoch = storage.leader_epoch();
        if !matches!(&*self.state.lock(), State::Loading(loading) if *loading == epoch) {
            return Loaded::Gone;
        }
        if let Err(error) = storage.replay(&mut machine) {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(topic = storage.topic(), partition = self.partition, %error, reason, "a coordinator partition could not be replayed, will be tried again");
            return self.load_failed(epoch);
        }
        let mut guard = self.state.lock();
        if !matches!(&*guard, State::Loading(loading) if *loading == epoch) {
            return Loaded::Gone;
        }
        let mut active = Active {
            machine,
            storage,
            effects: Effects::default(),
            parked: HashMap::new(),
            token_next: 1,
            uncommitted: VecDeque::new(),
            syncing: Syncing::No,
            wakeup_registered: i64::MAX,
        };
        let mut released = Released::new();
        let now = self.now();
        active.machine.loaded(now, epoch, &mut active.effects);
        self.carry_out(&mut active, now, None, &mut released);
        *guard = State::Active(active);
        drop(guard);
        self.release(released);
        Loaded::Done
    }

    /// The replay of this epoch came to nothing.
    pub fn load_failed(&self, leader_epoch: i32) -> Loaded {
        let mut state = self.state.lock();
        if !matches!(&*state, State::Loading(loading) if *loading == leader_epoch) {
            return Loaded::Gone;
        }
        *state = State::Failed(leader_epoch);
        Loaded::Failed
    }

    /// Begins the load that failed once more. False when the shard was unloaded or reloaded meanwhile.
    pub fn begin_again(&self, leader_epoch: i32) -> bool {
        let mut state = self.state.lock();
        let is_failed = matches!(&*state, State::Failed(failed) if *failed == leader_epoch);
        if is_failed {
            *state = State::Loading(leader_epoch);
        }
        is_failed
    }

    /// Refuses requests with LOAD_IN_PROGRESS until [`Shard::load`] of the same epoch is done. Whatever was
    /// active is unloaded first. False when that epoch is loading or loaded already.
    pub fn begin_load(self: &Arc<Self>, leader_epoch: i32) -> bool {
        {
            let guard = self.state.lock();
            match &*guard {
                State::Loading(epoch) if *epoch >= leader_epoch => return false,
                State::Active(active) if active.storage.leader_epoch() >= leader_epoch => return false,
                _ => {}
            }
        }
        self.unload();
        *self.state.lock() = State::Loading(leader_epoch);
        true
    }

    /// Answers all that is parked with what the machine says to [`Event::Unload`], and forgets the machine.
    pub fn unload(self: &Arc<Self>) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Unloaded);
        if let State::Active(mut active) = state {
            let mut released = Released::new();
            active.machine.step(self.now(), Event::Unload, &mut active.effects);
            active.answer(&mut None, &mut released);
            self.release(released);
        }
    }

    /// The partition's high watermark moved: what was appended below it is committed.
    pub fn high_watermark_moved(self: &Arc<Self>) {
        let mut guard = self.state.lock();
        let State::Active(active) = &mut *guard else { return };
        let mut released = Released::new();
        self.commit(active, &mut released);
        drop(guard);
        self.release(released);
    }

    /// Looks at the machine (for listings and metrics); `None` unless it is active.
    pub fn view<T>(&self, look: impl FnOnce(&M) -> T) -> Option<T> {
        match &*self.state.lock() {
            State::Active(active) => Some(look(&active.machine)),
            _ => None,
        }
    }

    /// Why the shard takes no requests, `None` when it does.
    pub fn unavailable(&self) -> Option<Unavailable> {
        match &*self.state.lock() {
            State::Active(_) => None,
            State::Loading(_) => Some(Unavailable::Loading),
            State::Unloaded | State::Failed(_) => Some(Unavailable::NotCoordinator),
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match &*self.state.lock() {
            State::Unloaded => Phase::Away,
            State::Loading(_) => Phase::Loading,
            State::Failed(_) => Phase::Failed,
            State::Active(_) => Phase::Active,
        }
    }

    /// The timer's call: the wakeup registered for `at_ms` has come. One that was replaced while it was on its way
    /// here leaves the present one as it is.
    fn tick(self: &Arc<Self>, at_ms: i64) {
        let mut guard = self.state.lock();
        let State::Active(active) = &mut *guard else { return };
        let mut released = Released::new();
        if active.wakeup_registered == at_ms {
            active.wakeup_registered = i64::MAX;
        }
        self.run(active, Event::Tick, None, &mut released);
        drop(guard);
        self.release(released);
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.clock.now_ms(), steady_ms: self.clock.steady_ms() }
    }

    fn run(
        self: &Arc<Self>,
        active: &mut Active<M>,
        event: Event<M::Request>,
        own: Option<(Token, &mut Option<M::Response>)>,
        released: &mut Released<M>,
    ) {
        let now = self.now();
        active.machine.step(now, event, &mut active.effects);
        self.carry_out(active, now, own, released);
    }

    /// Appends, steps the outcome of each append, until nothing is left; then registers the next wakeup.
    fn carry_out(
        self: &Arc<Self>,
        active: &mut Active<M>,
        now: Now,
        mut own: Option<(Token, &mut Option<M::Response>)>,
        released: &mut Released<M>,
    ) {
        loop {
            active.answer(&mut own, released);
            if active.effects.appends.is_empty() {
                break;
            }
            for append in std::mem::take(&mut active.effects.appends) {
                if let Some(event) = self.append(active, append) {
                    active.machine.step(now, event, &mut active.effects);
                }
            }
        }
        if let Some(wakeup) = active.machine.next_wakeup().filter(|wakeup| *wakeup < active.wakeup_registered) {
            active.wakeup_registered = wakeup;
            let shard = Arc::downgrade(self);
            self.wakeup.set(
                wakeup,
                Box::new(move || {
                    if let Some(shard) = shard.upgrade() {
                        shard.tick(wakeup);
                    }
                }),
            );
        }
    }

    /// Appends one batch; the event to step now, or `None` when its outcome comes later.
    fn append(self: &Arc<Self>, active: &mut Active<M>, append: Append) -> Option<Event<M::Request>> {
        let token = append.token;
        let appended = match active.storage.append(&append.batch, append.nature) {
            Ok(appended) => appended,
            Err(error) => return Some(Event::AppendFailed { token, error }),
        };
        let is_committed =
            appended.synced == Synced::NotAsked && appended.end_offset <= active.storage.high_watermark();
        if is_committed && active.uncommitted.is_empty() {
            return Some(Event::Appended { token, base_offset: appended.base_offset });
        }
        active.uncommitted.push_back((appended, token));
        self.sync(active);
        None
    }

    /// Steps the outcome of all that is committed, or never will be, in the order of the log.
    fn commit(self: &Arc<Self>, active: &mut Active<M>, released: &mut Released<M>) {
        while let Some(event) = active.next_outcome() {
            self.run(active, event, None, released);
        }
    }

    /// `flush.messages` asks for an fsync before the answer; that may not block the caller's poll.
    fn sync(self: &Arc<Self>, active: &mut Active<M>) {
        if active.syncing == Syncing::Yes {
            return;
        }
        let last_due = active.uncommitted.iter().rev().find(|(appended, _)| appended.synced == Synced::Due);
        let Some(end_offset) = last_due.map(|(appended, _)| appended.end_offset) else { return };
        active.syncing = Syncing::Yes;
        let (shard, storage) = (Arc::downgrade(self), active.storage.clone());
        millstream_base_env::task::spawn_blocking("coordinator flush", move || {
            let outcome = match storage.flush_to(end_offset) {
                Ok(()) => Synced::Done,
                Err(_) => Synced::Failed,
            };
            if let Some(shard) = shard.upgrade() {
                shard.synced(storage.leader_epoch(), end_offset, outcome);
            }
        });
    }

    /// The fsync of everything below `end_offset` came to its end.
    fn synced(self: &Arc<Self>, leader_epoch: i32, end_offset: i64, outcome: Synced) {
        let mut guard = self.state.lock();
        let active = match &mut *guard {
            State::Active(active) if active.storage.leader_epoch() == leader_epoch => active,
            _ => return,
        };
        active.syncing = Syncing::No;
        for (appended, _) in &mut active.uncommitted {
            if appended.synced == Synced::Due && appended.end_offset <= end_offset {
                appended.synced = outcome;
            }
        }
        let mut released = Released::new();
        self.commit(active, &mut released);
        self.sync(active);
        drop(guard);
        self.release(released);
    }

    fn release(self: &Arc<Self>, released: Released<M>) {
        for (sender, response) in released.answers {
            // The asker may have hung up; then nobody waits for the answer.
            let _ = sender.send(response);
        }
        for command in released.commands {
            (self.outside)(self, command);
        }
    }
}

impl<M: Machine> Active<M> {
    /// Takes the first append out of the queue whose outcome is known, unless an earlier one's is not.
    fn next_outcome(&mut self) -> Option<Event<M::Request>> {
        let (appended, token) = *self.uncommitted.front()?;
        let event = match appended.synced {
            Synced::Due => return None,
            Synced::Failed => Event::AppendFailed { token, error: AppendError::Storage },
            Synced::Done | Synced::NotAsked if appended.end_offset > self.storage.high_watermark() => return None,
            Synced::Done | Synced::NotAsked => Event::Appended { token, base_offset: appended.base_offset },
        };
        self.uncommitted.pop_front();
        Some(event)
    }

    fn answer(&mut self, own: &mut Option<(Token, &mut Option<M::Response>)>, released: &mut Released<M>) {
        for (token, response) in self.effects.replies.drain(..) {
            match own {
                Some((asked, slot)) if *asked == token => **slot = Some(response),
                _ => {
                    if let Some(sender) = self.parked.remove(&token) {
                        released.answers.push((sender, response));
                    }
                }
            }
        }
        released.commands.append(&mut self.effects.commands);
    }
}

impl<M: Machine> Released<M> {
    fn new() -> Self {
        Released { answers: SmallVec::new(), commands: Vec::new() }
    }
}
