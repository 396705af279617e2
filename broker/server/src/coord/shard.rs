//! The runtime of one coordinator partition: replays its log into a pure machine, then steps the machine, appends
//! what it wants appended, and answers.
//!
//! Called by the handlers of groups and transactions (through [`crate::coord::shards::Shards`]), by the timer
//! task and by whoever learns that the partition's leader changed. A request is stepped, appended and answered
//! under one lock, in the caller's own poll: on a single node the append is below the high watermark when it
//! returns, so most answers are ready at once. Never here: a rule of groups or of transactions.

use std::sync::Arc;

use hashbrown::HashMap;
use millstream_base_env::Clock;
use millstream_broker_coordinator::step::{Append, AppendError, AppendToken, Effects, Event, Machine, Token};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::coord::storage::{AppendState, Appended, Storage};
use crate::coord::timer::Timer;

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
    timer: Timer,
    outside: Arc<Outside<M>>,
    state: Mutex<State<M>>,
}

enum State<M: Machine> {
    Unloaded,
    /// Replaying for this leader epoch.
    Loading(i32),
    Active(Active<M>),
}

struct Active<M: Machine> {
    machine: M,
    storage: Storage,
    effects: Effects<M>,
    parked: HashMap<Token, oneshot::Sender<M::Response>>,
    token_next: u64,
    /// Appended, not yet below the high watermark, in order.
    uncommitted: std::collections::VecDeque<(Appended, AppendToken)>,
    /// The earliest time this shard is registered for with the timer.
    wakeup_registered: i64,
}

/// What a step left to do once the lock is free.
struct Released<M: Machine> {
    answers: SmallVec<[(oneshot::Sender<M::Response>, M::Response); 4]>,
    commands: Vec<M::Command>,
}

impl<M: Machine> Shard<M> {
    /// A shard that is not loaded.
    pub fn new(partition: i32, clock: Clock, timer: Timer, outside: Arc<Outside<M>>) -> Self {
        Shard { partition, clock, timer, outside, state: Mutex::new(State::Unloaded) }
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
            State::Unloaded => return Asked::Unavailable(Unavailable::NotCoordinator, request),
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
    pub fn load(self: &Arc<Self>, mut machine: M, storage: Storage) {
        let epoch = storage.leader_epoch();
        if !matches!(&*self.state.lock(), State::Loading(loading) if *loading == epoch) {
            return;
        }
        if let Err(error) = storage.replay(&mut machine) {
            tracing::error!(topic = storage.topic(), partition = self.partition, %error, "replay of a coordinator partition failed");
            *self.state.lock() = State::Unloaded;
            return;
        }
        let mut guard = self.state.lock();
        if !matches!(&*guard, State::Loading(loading) if *loading == epoch) {
            return;
        }
        let mut active = Active {
            machine,
            storage,
            effects: Effects::default(),
            parked: HashMap::new(),
            token_next: 1,
            uncommitted: std::collections::VecDeque::new(),
            wakeup_registered: i64::MAX,
        };
        let mut released = Released::new();
        let now_ms = self.clock.now_ms();
        active.machine.loaded(now_ms, epoch, &mut active.effects);
        self.carry_out(&mut active, now_ms, None, &mut released);
        *guard = State::Active(active);
        drop(guard);
        self.release(released);
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
            let now_ms = self.clock.now_ms();
            active.machine.step(now_ms, Event::Unload, &mut active.effects);
            active.answer(&mut None, &mut released);
            self.release(released);
        }
    }

    /// The timer's call: the machine's next wakeup has come.
    pub fn tick(self: &Arc<Self>) {
        self.event(Event::Tick);
    }

    /// The partition's high watermark moved: what was appended below it is committed.
    pub fn high_watermark_moved(self: &Arc<Self>, high_watermark: i64) {
        let mut guard = self.state.lock();
        let State::Active(active) = &mut *guard else { return };
        let mut released = Released::new();
        while let Some((appended, token)) =
            active.uncommitted.pop_front_if(|(appended, _)| appended.end_offset <= high_watermark)
        {
            let event = Event::Appended { token, base_offset: appended.base_offset };
            self.run(active, event, None, &mut released);
        }
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
            State::Unloaded => Some(Unavailable::NotCoordinator),
        }
    }

    fn event(self: &Arc<Self>, event: Event<M::Request>) {
        let mut guard = self.state.lock();
        let State::Active(active) = &mut *guard else { return };
        let mut released = Released::new();
        if matches!(event, Event::Tick) {
            active.wakeup_registered = i64::MAX;
        }
        self.run(active, event, None, &mut released);
        drop(guard);
        self.release(released);
    }

    fn run(
        self: &Arc<Self>,
        active: &mut Active<M>,
        event: Event<M::Request>,
        own: Option<(Token, &mut Option<M::Response>)>,
        released: &mut Released<M>,
    ) {
        let now_ms = self.clock.now_ms();
        active.machine.step(now_ms, event, &mut active.effects);
        self.carry_out(active, now_ms, own, released);
    }

    /// Appends, steps the outcome of each append, until nothing is left; then registers the next wakeup.
    fn carry_out(
        self: &Arc<Self>,
        active: &mut Active<M>,
        now_ms: i64,
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
                    active.machine.step(now_ms, event, &mut active.effects);
                }
            }
        }
        if let Some(wakeup) = active.machine.next_wakeup().filter(|wakeup| *wakeup < active.wakeup_registered) {
            active.wakeup_registered = wakeup;
            let shard = Arc::downgrade(self);
            self.timer.register(wakeup, Box::new(move || {
                if let Some(shard) = shard.upgrade() {
                    shard.tick();
                }
            }));
        }
    }

    /// Appends one batch; the event to step now, or `None` when its outcome comes later.
    fn append(self: &Arc<Self>, active: &mut Active<M>, append: Append) -> Option<Event<M::Request>> {
        let token = append.token;
        let appended = match active.storage.append(&append.batch, append.nature) {
            Ok(appended) => appended,
            Err(error) => return Some(Event::AppendFailed { token, error }),
        };
        match appended.state {
            AppendState::Committed => return Some(Event::Appended { token, base_offset: appended.base_offset }),
            AppendState::Replicating => active.uncommitted.push_back((appended, token)),
            AppendState::FlushFirst => self.flush_then_commit(active.storage.clone(), appended, token),
        }
        None
    }

    /// `flush.messages` asks for an fsync before the answer; that may not block the caller's poll.
    fn flush_then_commit(self: &Arc<Self>, storage: Storage, appended: Appended, token: AppendToken) {
        let shard = Arc::downgrade(self);
        millstream_base_env::task::spawn_blocking("coordinator flush", move || {
            let event = match storage.flush_to(appended.end_offset) {
                Ok(()) => Event::Appended { token, base_offset: appended.base_offset },
                Err(_) => Event::AppendFailed { token, error: AppendError::Storage },
            };
            if let Some(shard) = shard.upgrade() {
                shard.event(event);
            }
        });
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
