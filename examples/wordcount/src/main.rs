//! Counts words: lines in from `streams-plaintext-input`, each word's count out to `streams-wordcount-output`.
//!
//! The topics and the application id are those of Apache Kafka's own WordCountDemo. Settings may follow on the command
//! line as `key=value`, such as `processing.guarantee=exactly_once_v2`.

use streams::{KStream, KafkaStreams, StreamsBuilder, StreamsConfig, Topology};

/// Where lines come from.
const INPUT: &str = "streams-plaintext-input";
/// Where counts go.
const OUTPUT: &str = "streams-wordcount-output";

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let config = StreamsConfig::new("streams-wordcount", "localhost:9092")
        // Caches are off, so that each word shows at once.
        .set("statestore.cache.max.bytes", 0)
        .set_all(std::env::args().skip(1))?;
    let app = KafkaStreams::new(topology()?, config)?;
    app.set_state_listener(|state, before| eprintln!("{before:?} -> {state:?}"))?;
    app.run_until_ctrl_c()?;
    Ok(())
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let lines: KStream<String, String> = builder.stream(INPUT);
    lines
        .flat_map_values(|line| words(&line))
        .group_by(|_, word| word.clone())
        .count("counts-store")
        .to_stream()
        .to(OUTPUT);
    Ok(builder.build()?)
}

/// As Java's `line.toLowerCase().split("\\W+")`: an empty first word before a line that begins with anything else, and in an
/// empty line.
fn words(line: &str) -> Vec<String> {
    let is_other = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let line = line.to_lowercase();
    let mut words: Vec<String> = line.split(is_other).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if line.is_empty() || (line.starts_with(is_other) && !words.is_empty()) {
        words.insert(0, String::new());
    }
    words
}

#[cfg(test)]
mod tests {
    use streams::{KeyValue, TopologyTestDriver};

    use super::*;

    #[test]
    fn words_are_counted() -> anyhow::Result<()> {
        let config = StreamsConfig::new("test", "localhost:9092").set("statestore.cache.max.bytes", 0);
        let mut driver = TopologyTestDriver::new(&topology()?, config)?;
        let input = driver.input::<String, String>(INPUT);
        let mut output = driver.output::<String, i64>(OUTPUT);
        input.pipe(&mut driver, None, "all streams lead to kafka, all", 0)?;
        let counts = output.read(&mut driver);
        assert_eq!((counts.len(), counts.last().cloned()), (6, Some((Some("all".to_owned()), Some(2)))));
        assert_eq!(driver.store::<KeyValue<String, i64>>("counts-store")?.get("lead")?, Some(1));
        assert_eq!(words(" A-b"), ["", "a", "b"]);
        assert_eq!((words(""), words("- -")), (vec![String::new()], Vec::new()));
        Ok(())
    }
}
