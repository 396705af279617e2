//! Sending no faster than asked (Java: `ThroughputThrottler`).

use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_base_env::task;

/// The shortest nap; shorter ones are saved up.
const NAP_MIN: Duration = Duration::from_millis(2);

/// Slows a loop down to a number of turns in a second.
pub struct Throttle {
    per_second: f64,
    started: Moment,
    deficit: Duration,
}

impl Throttle {
    /// At most `per_second` turns in a second; below zero for as many as there are.
    pub fn new(per_second: f64) -> Self {
        Throttle { per_second, started: Moment::now(), deficit: Duration::ZERO }
    }

    /// Waits when `turns` so far are too many.
    pub async fn wait(&mut self, turns: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.per_second < 0.0 || seconds <= 0.0 || turns as f64 / seconds <= self.per_second {
            return;
        }
        if self.per_second == 0.0 {
            // Nothing more is ever sent, as with Apache's tool.
            std::future::pending::<()>().await;
        }
        self.deficit += Duration::from_secs_f64((1.0 / self.per_second).min(3600.0));
        if self.deficit >= NAP_MIN {
            task::sleep(std::mem::take(&mut self.deficit)).await;
        }
    }
}
