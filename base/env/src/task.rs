//! Tasks with names, so that a stack dump and a log line say which one it was.

use std::future::Future;
use tokio::task::JoinHandle;

/// Starts `future` on the current runtime under `name`. A panic in it is logged with the name by whoever
/// awaits the handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(task = name, "spawn");
    #[expect(clippy::disallowed_methods, reason = "this is the spawn the rest of the project is sent to")]
    tokio::spawn(future)
}

/// Runs `work`, which may block on files, on the runtime's pool for such work.
pub fn spawn_blocking<F, T>(name: &'static str, work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tracing::trace!(task = name, "spawn blocking");
    tokio::task::spawn_blocking(work)
}

/// Sleeps for `by` on the runtime's clock.
pub fn sleep(by: std::time::Duration) -> tokio::time::Sleep {
    tokio::time::sleep(by)
}
