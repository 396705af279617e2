//! How far a long run is: a line on standard error that is written over and over, while that is a terminal and standard
//! output is not. On one terminal for both the tool's own output shows how far it is.
//!
//! Called by the tools that may run for minutes. Never on standard output, so that scripts see what they always saw.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use millstream_base_env::clock::Moment;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);

/// A run of a known length.
pub struct Progress {
    what: &'static str,
    of: u64,
    /// None where nobody looks.
    last: Option<Moment>,
    written: bool,
}

impl Progress {
    /// Of `of` records, bytes or the like.
    pub fn new(what: &'static str, of: u64) -> Self {
        let watched = stderr().is_terminal() && !stdout().is_terminal();
        Progress { what, of, last: watched.then(Moment::now), written: false }
    }

    /// Says how far it is, unless that was said just now.
    pub fn at(&mut self, done: u64) {
        if self.last.is_none_or(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Moment::now());
        self.written = true;
        // Nobody needs to hear that the terminal is gone.
        let _ = write!(stderr(), "\r\x1b[K{}", line(self.what, done, self.of));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.written {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: u64, of: u64) -> String {
    let share = done.saturating_mul(100).checked_div(of).unwrap_or(100).min(100);
    format!("{done} of {of} {what} ({share} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_something() {
        assert_eq!(line("records", 5, 20), "5 of 20 records (25 %)");
        assert_eq!(line("bytes", 30, 20), "30 of 20 bytes (100 %)");
        assert_eq!(line("bytes", 0, 0), "0 of 0 bytes (100 %)");
    }
}
