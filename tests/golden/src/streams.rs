//! The scenarios of `tests/golden/README.md`, built with our DSL, and the replay of what Kafka Streams did with them.
//! Compared are the text and internal topics of each topology, and for each case the outputs of each step, the rows of
//! the stores, the records that were dropped, and what ended it.

// Functions that scenarios share.
mod functions;
// Scenarios by number: 1 to 12,
mod stateless;
// 13 to 22,
mod aggregates;
// 23 to 43 and 47,
mod windows;
// 44 to 46, 48 and 62 to 70,
mod tables;
// 49 to 61,
mod joins;
// 71 to 80.
mod runtime;
// 81 to 88.
mod further;
// A recording, read.
mod recording;
// A case, run and compared.
mod replay;
// Values as the recording writes them.
mod text;

use std::time::Duration;

use serde_json::Value;
use streams::{JoinWindows, SessionWindows, SlidingWindows, StreamsBuilder, TimeWindows};

pub use recording::{Group, read};
pub use replay::{Opener, describe, replay, replay_on};

/// Scenarios of which a recorded case is not yet as Java has it. The list may only shrink: one that passes must leave it.
pub const NOT_YET: &[&str] = &[];

/// The numbers of one scenario.
pub struct Params<'a>(pub &'a Value);

impl Params<'_> {
    fn time(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("the scenario has a parameter {name}"))
    }

    fn tumbling(&self) -> TimeWindows {
        let windows = TimeWindows::of_size_and_grace(self.time("size_ms"), self.time("grace_ms"));
        match self.0["advance_ms"].as_u64() {
            Some(advance) => windows.advance_by(Duration::from_millis(advance)),
            None => windows,
        }
    }

    fn sliding(&self) -> SlidingWindows {
        SlidingWindows::of_time_difference_and_grace(self.time("difference_ms"), self.time("grace_ms"))
    }

    fn session(&self) -> SessionWindows {
        SessionWindows::of_inactivity_gap_and_grace(self.time("gap_ms"), self.time("grace_ms"))
    }

    fn join(&self) -> JoinWindows {
        JoinWindows::of_time_difference_and_grace(self.time("after_ms"), self.time("grace_ms"))
            .before(self.time("before_ms"))
    }
}

/// The topology of a scenario; None if there is no scenario of that name.
pub fn build(name: &str, params: &Params<'_>) -> Option<StreamsBuilder> {
    let builder = StreamsBuilder::new();
    let known = stateless::build(name, &builder)
        || aggregates::build(name, &builder, params)
        || windows::build(name, &builder, params)
        || windows::build_closed(name, &builder, params)
        || tables::build(name, &builder, params)
        || tables::build_foreign_keys(name, &builder)
        || joins::build(name, &builder, params)
        || runtime::build(name, &builder, params)
        || further::build(name, &builder, params);
    known.then_some(builder)
}
