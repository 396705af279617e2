//! Tasks with names, so that a stack dump and a log line say which one it was.

use std::future::Future;
use tokio::runtime::{Handle, RuntimeFlavor};
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

/// Runs `work`, which takes long, right here, while another thread takes over whatever else this one would run. A
/// runtime of one thread has no other: everything waits.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let has_others = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others { tokio::task::block_in_place(work) } else { work() }
}

/// Sleeps for `by` on the runtime's clock.
pub fn sleep(by: std::time::Duration) -> tokio::time::Sleep {
    tokio::time::sleep(by)
}
