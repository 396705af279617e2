//! SIGHUP, SIGINT and SIGTERM, for what has something to finish before it ends.
//!
//! Used by the tools that write, read or show until they are told to end. Java's virtual machine closes what is open on
//! all three, and leaves a SIGHUP alone that is ignored from the start, as `nohup` has it; so do we. When the terminal is
//! what was closed, nothing can be told any more: see [`tell`].

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Ended;

/// The signals; from now on they end the process no more.
pub struct Signals {
    /// None where it is ignored.
    hangup: Option<Signal>,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens for them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, Ended> {
        let listen = |kind| signal(kind).map_err(|_| Ended::Failed("cannot wait for signals".to_owned()));
        // A system without this file shows nothing; then it is taken.
        let ignored =
            std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, SignalKind::hangup()));
        Ok(Signals {
            hangup: if ignored { None } else { Some(listen(SignalKind::hangup())?) },
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The number of the next one.
    pub async fn caught(&mut self) -> u8 {
        let Signals { hangup, interrupt, terminate } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let kind = tokio::select! {
            _ = hung_up => SignalKind::hangup(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value() as u8
    }
}

/// Writes a line to standard error, if that is still there: after the terminal was closed, `eprintln!` would panic before
/// everything is finished.
pub fn tell(line: &str) {
    // Nobody is left to hear of it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether the process whose `/proc/self/status` this is ignores the signal.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| (mask >> (kind.as_raw_value() - 1)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_is_seen() {
        let ignored = |status: &str| [SignalKind::hangup(), SignalKind::interrupt()].map(|kind| ignores(status, kind));
        // nohup, and Rust itself: signals 1 and 13.
        assert_eq!(
            ignored("Name:\tm\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n"),
            [true, false]
        );
        assert_eq!(ignored("SigIgn:\t0000000000001002\n"), [false, true]);
        assert_eq!(ignored("SigIgn:\tnonsense\n"), [false, false]);
    }
}
