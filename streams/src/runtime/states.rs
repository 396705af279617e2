//! The states of an application and of its threads, and who is told of them.
//!
//! Kept by `app.rs`, written by each thread. The application's state follows from those of its threads, with the names
//! and changes of Java's `KafkaStreams.State`.

use std::collections::BTreeMap;
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
}

impl Inner {
    /// The new state and the one before, if that one leads there.
    fn change(&mut self, next: State) -> Option<(State, State)> {
        let before = self.state.unwrap_or(State::Created);
        if before == next || !leads(before, next) {
            return None;
        }
        self.state = Some(next);
        Some((next, before))
    }

    /// What follows from the states of the threads.
    fn settle(&mut self) -> Option<(State, State)> {
        let mut alive = self.threads.values().filter(|thread| **thread != ThreadState::Dead).peekable();
        let works = alive.peek().is_some() && alive.all(|thread| *thread == ThreadState::Running);
        match self.state {
            Some(State::Rebalancing) if works => self.change(State::Running),
            Some(State::Running) if !works => self.change(State::Rebalancing),
            _ => None,
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
        let changed = {
            let mut inner = self.inner.lock();
            inner.threads.insert(index, thread);
            inner.settle()
        };
        self.tell(changed);
    }

    /// A thread that has ended counts no more.
    pub fn forget_thread(&self, index: usize) {
        let changed = {
            let mut inner = self.inner.lock();
            inner.threads.remove(&index);
            inner.settle()
        };
        self.tell(changed);
    }

    /// The application's new state, unless the old one does not lead there; whether it changed.
    pub fn set(&self, next: State) -> bool {
        let changed = self.inner.lock().change(next);
        self.tell(changed);
        changed.is_some()
    }

    fn tell(&self, changed: Option<(State, State)>) {
        self.changed.notify_all();
        let Some((next, before)) = changed else { return };
        tracing::info!(?before, state = ?next, "the state of the application changed");
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(next, before);
        }
    }

    /// Waits until the state is as wanted; whether it came to that.
    pub fn wait(&self, limit: Duration, wanted: impl Fn(State) -> bool) -> bool {
        let mut inner = self.inner.lock();
        let is_there = |inner: &mut Inner| wanted(inner.state.unwrap_or(State::Created));
        self.changed.wait_while_for(&mut inner, |inner| !is_there(inner), limit);
        is_there(&mut inner)
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
        assert!(
            states.set(State::PendingShutdown)
                && states.set(State::NotRunning)
                && !states.set(State::Running)
        );
        use State::{NotRunning, PendingShutdown, Rebalancing, Running};
        assert_eq!(*seen.lock(), [Rebalancing, Running, Rebalancing, Running, PendingShutdown, NotRunning]);
        assert!(!states.wait_dead(Duration::ZERO));
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
