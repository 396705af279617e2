//! The states of an application and of its threads, and who is told of them.
//!
//! Kept by `app.rs`, written by each thread. The application's state follows from those of its threads, with the names
//! and changes of Java's `KafkaStreams.State`.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The state of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was not started.
    Created,
    /// Tasks come or go, or are being restored.
    Rebalancing,
    /// Every thread works.
    Running,
    /// It is being closed.
    PendingShutdown,
    /// It was closed.
    NotRunning,
    /// It is being closed after an error.
    PendingError,
    /// It ended after an error.
    Error,
}

/// The state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    /// It was not started.
    Created,
    /// It joins the group for the first time.
    Starting,
    /// Tasks were taken away.
    PartitionsRevoked,
    /// Tasks were given, and are being restored.
    PartitionsAssigned,
    /// All tasks work.
    Running,
    /// It is being stopped.
    PendingShutdown,
    /// It has ended.
    Dead,
}

/// Told of each change of the application's state: the new one and the one before.
pub type StateListener = Box<dyn Fn(State, State) + Send + Sync>;

#[derive(Default)]
struct Inner {
    state: Option<State>,
    threads: BTreeMap<usize, ThreadState>,
    /// Changes of which nobody was told yet: each new state and the one before.
    untold: VecDeque<(State, State)>,
    /// A thread tells of them, one after the other.
    is_telling: bool,
}

impl Inner {
    /// Changes the state, if the one before leads there; whether it does.
    fn change(&mut self, next: State) -> bool {
        let before = self.state.unwrap_or(State::Created);
        if before == next || !leads(before, next) {
            return false;
        }
        self.state = Some(next);
        self.untold.push_back((next, before));
        true
    }

    /// What follows from the states of the threads.
    fn settle(&mut self) {
        let mut alive = self.threads.values().filter(|thread| **thread != ThreadState::Dead).peekable();
        let works = alive.peek().is_some() && alive.all(|thread| *thread == ThreadState::Running);
        match self.state {
            Some(State::Rebalancing) if works => _ = self.change(State::Running),
            Some(State::Running) if !works => _ = self.change(State::Rebalancing),
            _ => {}
        }
    }
}

/// The states of an application and its threads.
#[derive(Default)]
pub(crate) struct States {
    inner: Mutex<Inner>,
    changed: Condvar,
    listener: Mutex<Option<Arc<StateListener>>>,
}

impl States {
    pub fn set_listener(&self, listener: StateListener) {
        *self.listener.lock() = Some(Arc::new(listener));
    }

    pub fn state(&self) -> State {
        self.inner.lock().state.unwrap_or(State::Created)
    }

    pub fn threads(&self) -> BTreeMap<usize, ThreadState> {
        self.inner.lock().threads.clone()
    }

    /// A thread's new state, and what follows for the application.
    pub fn set_thread(&self, index: usize, thread: ThreadState) {
        // One step: what follows from the states of all threads must not come after what follows from later ones.
        {
            let mut inner = self.inner.lock();
            inner.threads.insert(index, thread);
            inner.settle();
        }
        self.tell();
    }

    /// A thread that has ended counts no more.
    pub fn forget_thread(&self, index: usize) {
        {
            let mut inner = self.inner.lock();
            inner.threads.remove(&index);
            inner.settle();
        }
        self.tell();
    }

    /// The application's new state, unless the old one does not lead there; whether it changed.
    pub fn set(&self, next: State) -> bool {
        let changed = self.inner.lock().change(next);
        self.tell();
        changed
    }

    /// Tells of changes in their order, holding no lock: a listener may change the state again, of which it is told after
    /// this one.
    fn tell(&self) {
        self.changed.notify_all();
        if std::mem::replace(&mut self.inner.lock().is_telling, true) {
            return;
        }
        loop {
            let (next, before) = {
                let mut inner = self.inner.lock();
                let Some(change) = inner.untold.pop_front() else {
                    inner.is_telling = false;
                    return;
                };
                change
            };
            tracing::info!(?before, state = ?next, "the state of the application changed");
            let Some(listener) = self.listener.lock().clone() else { continue };
            if catch_unwind(AssertUnwindSafe(|| listener(next, before))).is_err() {
                tracing::error!(state = ?next, "the listener of the state panicked");
            }
        }
    }

    /// Waits until the state is as wanted; whether it came to that.
    pub fn wait(&self, limit: Duration, wanted: impl Fn(State) -> bool) -> bool {
        let mut inner = self.inner.lock();
        let is_there = |inner: &mut Inner| wanted(inner.state.unwrap_or(State::Created));
        self.changed.wait_while_for(&mut inner, |inner| !is_there(inner), limit);
        is_there(&mut inner)
    }

    /// Waits until that thread is not alive; whether it came to that.
    pub fn wait_thread(&self, index: usize, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        let alive = |inner: &mut Inner| inner.threads.get(&index).is_some_and(|thread| *thread != ThreadState::Dead);
        self.changed.wait_while_for(&mut inner, alive, limit);
        !alive(&mut inner)
    }

    /// Waits until no thread is alive; whether it came to that.
    pub fn wait_dead(&self, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        let alive = |inner: &mut Inner| inner.threads.values().any(|thread| *thread != ThreadState::Dead);
        self.changed.wait_while_for(&mut inner, alive, limit);
        !alive(&mut inner)
    }
}

/// Which state may follow which (`KafkaStreams.State`).
fn leads(before: State, next: State) -> bool {
    match before {
        State::Created => matches!(next, State::Rebalancing | State::PendingShutdown | State::NotRunning),
        State::Rebalancing => matches!(next, State::Running | State::PendingShutdown | State::PendingError),
        State::Running => matches!(next, State::Rebalancing | State::PendingShutdown | State::PendingError),
        State::PendingShutdown => next == State::NotRunning,
        State::PendingError => next == State::Error,
        State::NotRunning | State::Error => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_runs_when_all_its_threads_do() {
        let states = States::default();
        let seen: Arc<Mutex<Vec<State>>> = Arc::default();
        let told = Arc::clone(&seen);
        states.set_listener(Box::new(move |next, _| told.lock().push(next)));
        states.set_thread(1, ThreadState::Created);
        states.set_thread(2, ThreadState::Created);
        assert!(states.set(State::Rebalancing));
        states.set_thread(1, ThreadState::Running);
        assert_eq!(states.state(), State::Rebalancing);
        states.set_thread(2, ThreadState::Running);
        assert_eq!(states.state(), State::Running);
        states.set_thread(1, ThreadState::PartitionsRevoked);
        assert_eq!(states.state(), State::Rebalancing);
        states.set_thread(1, ThreadState::Dead);
        assert_eq!(states.state(), State::Running, "the other thread works on");
        assert!(states.set(State::PendingShutdown) && states.set(State::NotRunning) && !states.set(State::Running));
        use State::{NotRunning, PendingShutdown, Rebalancing, Running};
        assert_eq!(*seen.lock(), [Rebalancing, Running, Rebalancing, Running, PendingShutdown, NotRunning]);
        assert!(!states.wait_dead(Duration::ZERO));
    }

    #[test]
    fn changes_are_told_in_their_order_whoever_makes_them() {
        let states = Arc::new(States::default());
        let (seen, inside) = (Arc::new(Mutex::new(Vec::new())), Arc::downgrade(&states));
        let told = Arc::clone(&seen);
        states.set_listener(Box::new(move |next, _| {
            if next == State::Rebalancing {
                let states = inside.upgrade().expect("it is there");
                // From the listener itself, and from another thread meanwhile.
                assert!(states.set(State::Running));
                std::thread::spawn(move || assert!(states.set(State::PendingShutdown))).join().expect("no panic");
            }
            told.lock().push(next);
            assert_ne!(next, State::PendingShutdown, "a listener that panics is asked again all the same");
        }));
        assert!(states.set(State::Rebalancing) && states.set(State::NotRunning));
        use State::{NotRunning, PendingShutdown, Rebalancing, Running};
        assert_eq!(*seen.lock(), [Rebalancing, Running, PendingShutdown, NotRunning]);
    }

    #[test]
    fn a_thread_that_ends_is_waited_for() {
        let states = States::default();
        states.set_thread(1, ThreadState::Running);
        states.set_thread(2, ThreadState::Running);
        assert!(!states.wait_thread(2, Duration::ZERO));
        states.set_thread(2, ThreadState::Dead);
        assert!(states.wait_thread(2, Duration::ZERO));
        states.forget_thread(2);
        assert!(states.wait_thread(2, Duration::ZERO));
    }

    #[test]
    fn threads_at_work_and_at_rest_leave_the_state_that_follows_from_them() {
        let states = Arc::new(States::default());
        states.set(State::Rebalancing);
        let work = |index: usize| {
            let states = Arc::clone(&states);
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    states.set_thread(index, ThreadState::PartitionsRevoked);
                    states.set_thread(index, ThreadState::Running);
                }
            })
        };
        for thread in [work(1), work(2)] {
            thread.join().expect("no panic");
        }
        assert_eq!(states.state(), State::Running);
        states.set_thread(1, ThreadState::PartitionsAssigned);
        assert_eq!(states.state(), State::Rebalancing);
        states.forget_thread(1);
        assert_eq!((states.state(), states.threads().len()), (State::Running, 1));
    }
}
