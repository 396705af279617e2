//! Lets each event through once an hour: a processor with a store of what it has seen, and a timer that forgets.

use std::time::Duration;

use streams::Timer;
use streams::prelude::*;

const INPUT: &str = "events";
const OUTPUT: &str = "events-once";
/// How long an event is remembered.
const REMEMBERED_MS: i64 = 3_600_000;

/// Hands on the first record of each key.
struct Deduplicate {
    seen: StoreRef<KeyValue<String, i64>>,
}

impl Processor for Deduplicate {
    type In = (String, String);
    type Out = (String, String);

    fn init(&mut self, ctx: &mut Ctx<Self>) -> ProcessResult {
        ctx.schedule(Duration::from_secs(30), PunctuationType::WallClock);
        Ok(())
    }

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Record<String, String>) -> ProcessResult {
        let Some(key) = record.key.clone() else { return Ok(()) };
        let seen = ctx.store(self.seen);
        if seen.put_if_absent(&key, record.timestamp)?.is_none() {
            ctx.forward(record)?;
        }
        Ok(())
    }

    fn punctuate(&mut self, ctx: &mut Ctx<Self>, _timer: Timer, now: i64) -> ProcessResult {
        let seen = ctx.store(self.seen);
        for (key, _) in seen.iter()?.filter(|(_, at)| *at < now - REMEMBERED_MS) {
            seen.delete(&key)?;
        }
        Ok(())
    }
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let seen = builder.add_store(Stores::key_value::<String, i64>("seen"));
    builder.stream::<String, String>(INPUT).process([seen], move || Deduplicate { seen }).to(OUTPUT);
    Ok(builder.build()?)
}

/// Settings of the command line (`key=value`) over those of the example.
fn config() -> anyhow::Result<StreamsConfig> {
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    log.with_writer(std::io::stderr).init();
    let config = StreamsConfig::new("deduplicate", "localhost:9092");
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
    fn an_event_comes_again_once_it_is_forgotten() -> anyhow::Result<()> {
        let mut driver = TopologyTestDriver::new(&topology()?, StreamsConfig::new("test", "localhost:9092"))?;
        let input = driver.input::<String, String>(INPUT);
        let mut output = driver.output::<String, String>(OUTPUT);
        for (key, value) in [("a", "first"), ("b", "other"), ("a", "again")] {
            input.pipe(&mut driver, key, value, 0)?;
        }
        let values = output.read_values(&mut driver);
        assert_eq!(values, [Some("first".to_owned()), Some("other".to_owned())]);
        driver.advance_wall_clock(Duration::from_secs(2 * 3600))?;
        assert!(driver.store::<KeyValue<String, i64>>("seen")?.all()?.is_empty());
        input.pipe(&mut driver, "a", "late", 7_200_000)?;
        assert_eq!(output.read_values(&mut driver), [Some("late".to_owned())]);
        Ok(())
    }
}
