//! Raises an alert for a user with three failed logins within five minutes, by the time of the logins.
//!
//! Windows are aligned: one starts each five minutes. A login may come up to a minute late; the alert is raised at the third
//! failure, not at the end of the window. `suppress_until_window_closes` would raise it once the window is closed instead.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streams::prelude::*;

const INPUT: &str = "logins";
const OUTPUT: &str = "alerts";
/// How many failures are one too many.
const THRESHOLD: i64 = 3;

/// Someone tried to log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Login {
    user: String,
    ok: bool,
    /// Milliseconds since 1970.
    at_ms: i64,
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let by_login = Consumed::with(StringSerde, JsonSerde::<Login>::new())
        .timestamps(|record, _| record.value.as_ref().map_or(record.timestamp, |login| login.at_ms));
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    builder
        .stream_with(INPUT, by_login)
        .filter(|_, login| !login.ok)
        .group_by_with(|_, login| login.user.clone(), Grouped::with(StringSerde, JsonSerde::<Login>::new()))
        .windowed_by(TimeWindows::of_size_and_grace(minutes(5), minutes(1)))
        .count("failed-logins")
        .to_stream()
        .filter(|_, count| *count == THRESHOLD)
        .map(|windowed, count| {
            let (user, from) = windowed.map_or((String::new(), 0), |windowed| (windowed.key, windowed.window.start));
            (user, format!("{count} failed logins since {from}"))
        })
        .to(OUTPUT);
    Ok(builder.build()?)
}

/// Settings of the command line (`key=value`) over those of the example.
fn config() -> anyhow::Result<StreamsConfig> {
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    log.with_writer(std::io::stderr).init();
    let config = StreamsConfig::new("windowed-alerts", "localhost:9092")
        // Without a cache each count shows, and so does the third.
        .set("statestore.cache.max.bytes", 0);
    Ok(config.set_all(std::env::args().skip(1))?)
}

fn main() -> anyhow::Result<()> {
    let config = config()?;
    KafkaStreams::new(topology()?, config)?.run_until_ctrl_c()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_within_five_minutes_are_told() -> anyhow::Result<()> {
        let config = StreamsConfig::new("test", "localhost:9092").set("statestore.cache.max.bytes", 0);
        let mut driver = TopologyTestDriver::new(&topology()?, config)?;
        let input = driver.input_with(INPUT, StringSerde, JsonSerde::<Login>::new());
        let mut alerts = driver.output::<String, String>(OUTPUT);
        // The fifth comes late, but not too late; ann's fourth is in a window of its own.
        let logins = [
            ("ann", false, 1),
            ("ann", false, 2),
            ("bob", false, 3),
            ("ann", true, 4),
            ("ann", false, 301),
            ("ann", false, 299),
        ];
        for (user, ok, second) in logins {
            input.pipe(&mut driver, None, Login { user: user.to_owned(), ok, at_ms: second * 1000 }, 0)?;
        }
        let told = alerts.read(&mut driver);
        assert_eq!(told, [(Some("ann".to_owned()), Some("3 failed logins since 0".to_owned()))]);
        Ok(())
    }
}
