//! What a streams application costs: the same input through ours and, when asked, through Kafka Streams' on the same
//! broker, one after the other; CPU and memory are those of the application's process, outputs are compared.
//!
//! Called by `main`. The applications are `application.rs` and `clients/Streams.java`; what goes in is `input.rs`.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use client::TopicPartition;
use client::config::{ConsumerConfig, Isolation};
use client::consumer::Consumer;
use client::metadata::Cluster;
use millstream_base_env::clock::Moment;
use tokio::runtime::Runtime;

use crate::broker::{Broker, Kind};
use crate::figures::{Figure, Run};
use crate::input::{self, Goal, Input};

/// How long one application may take.
const PATIENCE: Duration = Duration::from_secs(900);
const GUARANTEES: [&str; 2] = ["at_least_once", "exactly_once_v2"];
/// Clock ticks of /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whose application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Ours,
    Java,
}

/// What is wanted besides the scenario.
pub struct Options<'a> {
    /// Our broker.
    pub broker: &'a Kind,
    /// `tests/golden/java/oracle.sh`, if Kafka Streams is to run too: it knows the jars.
    pub against: Option<PathBuf>,
    /// KEY=VALUE for both applications.
    pub settings: &'a [String],
}

/// Runs a scenario with each guarantee.
///
/// # Errors
/// When something does not start or end, or the outputs differ.
pub fn run(scenario: &str, options: &Options<'_>) -> anyhow::Result<Vec<Run>> {
    let folder = tempfile::tempdir()?;
    let classes = options.against.as_deref().map(|oracle| compile(oracle, folder.path())).transpose()?;
    let runtime = Runtime::new()?;
    let broker = Broker::start(options.broker, folder.path())?;
    let input = runtime.block_on(input::make(scenario, broker.address()))?;
    let engines: &[Engine] = if classes.is_some() { &[Engine::Ours, Engine::Java] } else { &[Engine::Ours] };
    let mut runs = Vec::new();
    for guarantee in
        GUARANTEES.into_iter().filter(|guarantee| scenario != "streams-restore" || *guarantee == GUARANTEES[0])
    {
        let mut run = Run { scenario: format!("{scenario} {guarantee}"), subjects: Vec::new() };
        let mut digests = Vec::new();
        for engine in engines {
            let name = format!("{engine:?}-{guarantee}").to_lowercase();
            let output = format!("out-{name}");
            let application = Application {
                scenario,
                broker: &broker,
                id: input.application_id(&name),
                output: &output,
                guarantee,
                folder: folder.path(),
                settings: options.settings,
            };
            runtime.block_on(input::create(broker.address(), &output))?;
            let (figures, digest) = runtime.block_on(application.measure(*engine, classes.as_deref(), &input))?;
            run.subjects.push((if *engine == Engine::Ours { "ours" } else { "java" }.to_owned(), figures));
            digests.push(digest);
        }
        run.print();
        ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{scenario} {guarantee}: the outputs differ");
        runs.push(run);
    }
    Ok(runs)
}

/// Class path of the Java applications.
fn compile(oracle: &Path, folder: &Path) -> anyhow::Result<String> {
    let libs = Command::new(oracle).arg("libs").output()?;
    let libs = String::from_utf8(libs.stdout)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/Streams.java");
    let jars = format!("{}/*", libs.trim());
    let done = Command::new("javac").arg("-d").arg(folder).arg("-cp").arg(&jars).arg(source).status()?;
    ensure!(done.success(), "javac: {done}");
    Ok(format!("{}:{jars}", folder.display()))
}

struct Application<'a> {
    scenario: &'a str,
    broker: &'a Broker,
    id: String,
    output: &'a str,
    guarantee: &'a str,
    folder: &'a Path,
    settings: &'a [String],
}

impl Application<'_> {
    async fn measure(
        &self,
        engine: Engine,
        classes: Option<&str>,
        input: &Input,
    ) -> anyhow::Result<(Vec<Figure>, u64)> {
        let started = Moment::now();
        let (mut process, running) = self.start(engine, classes)?;
        let told = match input.goal {
            Goal::Running => Told { records: 0, last: 0, all: 0 },
            goal => self.watch(goal, &mut process).await?,
        };
        let figures = self.figures(&process, input, &told, (running, started.elapsed().as_secs_f64()))?;
        process.close()?;
        if self.scenario != "streams-start" {
            return Ok((figures, if input.every_record { told.all } else { told.last }));
        }
        // Once more, on what was kept.
        let (mut process, running) = self.start(engine, classes)?;
        let figures = self.figures(&process, input, &told, (running, running))?;
        process.close()?;
        Ok((figures, 0))
    }

    fn figures(&self, process: &Process, input: &Input, told: &Told, took: (f64, f64)) -> anyhow::Result<Vec<Figure>> {
        let cpu = process.cpu_seconds()?;
        Ok(vec![
            Figure::new("application CPU", "s", cpu),
            Figure::new(input.unit, "us", cpu * 1e6 / input.records as f64),
            Figure::new("peak resident", "MB", process.status("VmHWM:")?),
            Figure::new("start to RUNNING", "s", took.0),
            Figure::new("all of it", "s", took.1),
            Figure::new("records out", "", told.records as f64),
        ])
    }

    fn start(&self, engine: Engine, classes: Option<&str>) -> anyhow::Result<(Process, f64)> {
        let mut command = match (engine, classes) {
            (Engine::Java, Some(classes)) => {
                let mut command = Command::new("java");
                command.args(["-Xmx1g", "-cp", classes, "Streams"]);
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("application");
                command
            }
        };
        command.args([self.scenario, &self.broker.address().to_string(), &self.id, self.output]);
        command.args(["num.stream.threads=2".to_owned(), format!("processing.guarantee={}", self.guarantee)]);
        let state = self.folder.join(format!("state-{engine:?}-{}", self.guarantee));
        command.arg(format!("state.dir={}", state.display())).args(self.settings);
        if self.scenario == "streams-start" {
            // A member of no name of its own that comes back is another one, and waits for the session of the first to end.
            command.arg(format!("group.instance.id={engine:?}"));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("application.log"))?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut process = Process { child };
        let out = process.child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let Some(seconds) = line.strip_prefix("running ").and_then(|text| text.trim().parse().ok()) else {
            bail!("{engine:?} does not run: {}", fs::read_to_string(self.folder.join("application.log"))?)
        };
        Ok((process, seconds))
    }

    /// Reads what comes out until the goal is reached.
    async fn watch(&self, goal: Goal, process: &mut Process) -> anyhow::Result<Told> {
        let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
        let mut consumer = Consumer::new(Cluster::new(&self.broker.address().to_string()), config);
        let places: Vec<_> = (0..input::PARTITIONS).map(|at| TopicPartition::new(self.output, at)).collect();
        consumer.assign(&places)?;
        consumer.seek_to_beginning(&[])?;
        let (mut last, mut sum, started) = (HashMap::<Vec<u8>, Vec<u8>>::new(), 0, Moment::now());
        let mut told = Told { records: 0, last: 0, all: 0 };
        while !goal.is_reached(told.records, sum) {
            ensure!(started.elapsed() < PATIENCE, "{goal:?} is not reached: {} records, sum {sum}", told.records);
            if let Some(status) = process.child.try_wait()? {
                bail!("it ended with {status}: {}", fs::read_to_string(self.folder.join("application.log"))?);
            }
            for record in consumer.poll(Duration::from_millis(500)).await?.iter() {
                told.records += 1;
                let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                told.all = told.all.wrapping_add(digest(key, value));
                let Goal::Sum(_) = goal else { continue };
                let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
                sum += number(value);
                match last.get_mut(key) {
                    Some(before) => {
                        sum -= number(before);
                        value.clone_into(before);
                    }
                    None => drop(last.insert(key.to_vec(), value.to_vec())),
                }
            }
        }
        told.last = last.iter().fold(0, |sum: u64, (key, value)| sum.wrapping_add(digest(key, value)));
        Ok(told)
    }
}

fn digest(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// What came out: how many records, a digest of the last value of each key and one of all records, without their order.
struct Told {
    records: usize,
    last: u64,
    all: u64,
}

/// An application's process, killed when dropped.
struct Process {
    child: Child,
}

impl Process {
    /// User and system time of all its threads, those that have ended included.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("ticks");
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// A line of /proc/PID/status, in MB.
    fn status(&self, name: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name)).context("its memory")?;
        let kib: f64 = line.split_whitespace().nth(1).context("a size")?.parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to do about a child that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
