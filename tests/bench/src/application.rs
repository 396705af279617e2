//! The streams applications that are measured, each run by this program in a process of its own, so that what /proc says
//! of that process is the application's alone. `clients/Streams.java` has the same ones for Kafka Streams.
//!
//! Called by `cost.rs` as `millstream-bench application SCENARIO BROKER ID OUTPUT [KEY=VALUE]...`: prints `running MS`
//! with the time from start to RUNNING, and closes at the end of its input.

use std::io::Read;
use std::time::Duration;

use anyhow::{bail, ensure};
use millstream_base_env::clock::Moment;
use streams::dsl::materialized::Materialized;
use streams::dsl::options::Produced;
use streams::dsl::windows::{JoinWindows, TimeWindows};
use streams::serde::{DefaultSerde, NumberSerde, TimeWindowedSerde};
use streams::{KStream, KTable, KafkaStreams, StreamsBuilder, StreamsConfig, Topology};

/// How long a start and a close may take.
const PATIENCE: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(5);

/// Runs one until its standard input ends.
///
/// # Errors
/// When it does not start, or does not close.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [scenario, broker, id, output, settings @ ..] = arguments else {
        bail!("application SCENARIO BROKER ID OUTPUT [KEY=VALUE]...")
    };
    let config = StreamsConfig::new(id.as_str(), broker.as_str()).set_all(settings)?;
    let app = KafkaStreams::new(topology(scenario, output)?, config)?;
    let started = Moment::now();
    app.start()?;
    ensure!(app.wait_running(PATIENCE), "it does not run: {:?}", app.threads());
    println!("running {:.3}", started.elapsed().as_secs_f64());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    ensure!(app.close(PATIENCE), "it does not close");
    Ok(())
}

fn topology(scenario: &str, output: &str) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    match scenario {
        "streams-wordcount" => {
            let lines: KStream<String, String> = builder.stream("lines");
            let words = |line: String| line.to_lowercase().split(' ').map(str::to_owned).collect::<Vec<_>>();
            let words = lines.flat_map_values(words).group_by(|_, word| word.clone());
            words.count("counts").to_stream().to(output);
        }
        "streams-tumbling" => {
            count(&builder, TimeWindows::of_size_and_grace(Duration::from_secs(10), GRACE), 10, output);
        }
        "streams-hopping" => {
            let windows = TimeWindows::of_size_and_grace(Duration::from_secs(60), GRACE);
            count(&builder, windows.advance_by(Duration::from_secs(5)), 60, output);
        }
        "streams-ss-join" => {
            let (left, right): (KStream<String, String>, KStream<String, String>) =
                (builder.stream("left"), builder.stream("right"));
            let windows = JoinWindows::of_time_difference_and_grace(Duration::from_secs(10), GRACE);
            left.join(&right, |left, right| format!("{left} {right}"), windows, ()).to(output);
        }
        "streams-st-join" => {
            let orders: KStream<String, String> = builder.stream("orders");
            let users: KTable<String, String> = builder.table("users", Materialized::named("users"));
            orders.join_table(&users, |order: &String, user: &String| format!("{order} {user}"), ()).to(output);
        }
        "streams-restore" | "streams-start" => {
            let rows: KTable<String, String> = builder.table("rows", Materialized::named("rows"));
            rows.to_stream().to(output);
        }
        other => bail!("no application is called {other}"),
    }
    Ok(builder.build()?)
}

fn count(builder: &StreamsBuilder, windows: TimeWindows, seconds: u64, output: &str) {
    let events: KStream<String, String> = builder.stream("events");
    let counts = events.group_by_key().windowed_by(windows).count("counts");
    let key = TimeWindowedSerde::new(String::serde(), Duration::from_secs(seconds));
    counts.to_stream().to_with(output, Produced::with(key, NumberSerde));
}
