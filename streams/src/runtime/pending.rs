//! A question to the cluster for whose answer a thread does not stand still: its tasks that run have their turn meanwhile.
//!
//! Asked by `rebalance.rs` and `restore.rs`, which look for the answer once a round. Never tries again by itself: the client
//! does that until its own limit.

use std::future::Future;
use std::time::Duration;

use client::error::ClientError;
use millstream_base_env::task;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The answer to come; who drops it does not want it any more.
pub(super) struct Pending<T>(JoinHandle<Result<T, ClientError>>);

impl<T: Send + 'static> Pending<T> {
    /// Asks. Must be called inside a tokio runtime.
    pub fn ask(
        name: &'static str,
        question: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    ) -> Pending<T> {
        Pending(task::spawn(name, question))
    }

    /// The answer if it comes within `limit`; it is given once.
    pub fn answer(&mut self, handle: &Handle, limit: Duration) -> Option<Result<T, ClientError>> {
        let answered = handle.block_on(async { tokio::time::timeout(limit, &mut self.0).await }).ok()?;
        Some(answered.unwrap_or(Err(ClientError::State("a question to the cluster was given up"))))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn nobody_stands_still_for_an_answer() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _inside = runtime.enter();
        let (answer, asked) = oneshot::channel::<i32>();
        let question = async move { asked.await.map_err(|_| ClientError::State("gone")) };
        let mut pending = Pending::ask("test", question);
        assert!(pending.answer(runtime.handle(), Duration::ZERO).is_none());
        answer.send(7).expect("it is waited for");
        let answered = pending.answer(runtime.handle(), Duration::from_secs(60));
        assert!(matches!(answered, Some(Ok(7))), "{answered:?}");
    }

    #[test]
    fn what_nobody_wants_any_more_is_asked_no_longer() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _inside = runtime.enter();
        let (mut answer, asked) = oneshot::channel::<i32>();
        let question = async move { asked.await.map_err(|_| ClientError::State("gone")) };
        drop(Pending::ask("test", question));
        runtime.block_on(answer.closed());
    }
}
