//! SIGINT and SIGTERM, for what has something to finish before it ends.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Ended;

/// Both signals; from now on they end the process no more.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens for them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, Ended> {
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => Ok(Signals { interrupt, terminate }),
            _ => Err(Ended::Failed("cannot wait for signals".to_owned())),
        }
    }

    /// The number of the next one.
    pub async fn caught(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value() as u8
    }
}
