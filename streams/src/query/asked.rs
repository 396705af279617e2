//! An answer to come: a future for programs that are asynchronous, a call that waits for the others.
//!
//! Made by every read of `query`. The question is on its way when this is made, whether or not somebody waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_base_env::clock::Moment;

use super::QueryError;

/// An answer to come: `asked.await` in an asynchronous program, `asked.wait()` or `wait_for` in any other.
#[must_use = "the answer comes by `.await` or `.wait()`"]
pub struct Asked<T>(BoxFuture<'static, Result<T, QueryError>>);

impl<T: Send + 'static> Asked<T> {
    pub(crate) fn new(answer: impl Future<Output = Result<T, QueryError>> + Send + 'static) -> Asked<T> {
        Asked(answer.boxed())
    }

    pub(crate) fn known(answer: Result<T, QueryError>) -> Asked<T> {
        Asked::new(std::future::ready(answer))
    }

    pub(crate) fn map<U: Send + 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Asked<U> {
        Asked::new(self.0.map(|answer| answer.map(change)))
    }

    /// Waits for the answer. Of an asynchronous program this holds the whole thread up: there it is awaited.
    ///
    /// A stream thread answers between two records: a closure that takes its time, or a cluster that a thread waits for, holds
    /// the answer up.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn wait(self) -> Result<T, QueryError> {
        self.wait_with(|| {
            std::thread::park();
            Ok(())
        })
    }

    /// The same, for no longer than that.
    ///
    /// # Errors
    /// Why there is no answer, or none yet.
    pub fn wait_for(self, limit: Duration) -> Result<T, QueryError> {
        let started = Moment::now();
        self.wait_with(|| {
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(QueryError::TimedOut(limit));
            }
            std::thread::park_timeout(left);
            Ok(())
        })
    }

    fn wait_with(mut self, mut park: impl FnMut() -> Result<(), QueryError>) -> Result<T, QueryError> {
        let waker = parked();
        let mut context = Context::from_waker(&waker);
        loop {
            match self.0.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => park()?,
            }
        }
    }
}

/// Wakes this thread where it parks.
pub(super) fn parked() -> Waker {
    Waker::from(Arc::new(Parked(std::thread::current())))
}

impl<T> Future for Asked<T> {
    type Output = Result<T, QueryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

/// Wakes a thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
