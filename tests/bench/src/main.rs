//! Measures this broker, and Apache Kafka in the same run when asked. Never a test: numbers depend on the machine.
//!
//! Called by hand: `cargo run --release -p millstream-bench -- SCENARIO`. Never here: anything the project uses.

/// What was measured, side by side.
mod figures;
/// A broker as a child process.
mod broker;
/// The load on one connection.
mod load;
/// The machine without a broker.
mod floor;
/// One function a scenario.
mod scenarios;
/// What goes into streams applications.
mod input;
/// The streams applications.
mod application;
/// What they cost.
mod cost;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use broker::Kind;
use figures::Run;
use scenarios::SCENARIOS;

const USAGE: &str =
    "usage: millstream-bench SCENARIO... [--against apache] [--json FILE] [--binary PATH] [--set KEY=VALUE]...
  scenarios: all floor start produce-small produce-large fetch latency partitions-5000 idle-connections,
             and of applications, which --set is for: streams-wordcount streams-tumbling streams-hopping streams-ss-join
             streams-st-join streams-restore streams-start";

/// Those of streams applications.
const STREAMS: [&str; 7] = [
    "streams-wordcount",
    "streams-tumbling",
    "streams-hopping",
    "streams-ss-join",
    "streams-st-join",
    "streams-restore",
    "streams-start",
];

const FLOOR: &str = "floor";

struct Options {
    scenarios: Vec<String>,
    subjects: Vec<Kind>,
    json: Option<PathBuf>,
    settings: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("application", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return ended(application::run(rest));
    }
    let options = match parse(arguments.into_iter()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    ended(run(&options))
}

fn ended(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut arguments = arguments;
    let (mut scenarios, mut json, mut binary, mut against) = (Vec::new(), None, None, false);
    let mut settings = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--against" => match value()?.as_str() {
                "apache" => against = true,
                other => bail!("unknown peer {other}"),
            },
            "--json" => json = Some(PathBuf::from(value()?)),
            "--binary" => binary = Some(PathBuf::from(value()?)),
            "--set" => settings.push(value()?),
            "all" => scenarios = all(),
            name if STREAMS.contains(&name) => scenarios.push(name.to_owned()),
            name if all().iter().any(|known| known == name) => scenarios.push(name.to_owned()),
            other => bail!("unknown scenario or flag {other}"),
        }
    }
    if scenarios.is_empty() {
        bail!("no scenario was named");
    }
    let binary = match binary {
        Some(binary) => binary,
        None => built_binary()?,
    };
    let mut subjects = vec![Kind::Millstream(binary)];
    if against {
        subjects.push(Kind::Apache(Path::new(env!("CARGO_MANIFEST_DIR")).join("../apache/apache.sh")));
    }
    Ok(Options { scenarios, subjects, json, settings })
}

fn all() -> Vec<String> {
    std::iter::once(FLOOR).chain(SCENARIOS.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
}

fn run(options: &Options) -> anyhow::Result<()> {
    raise_descriptor_limit();
    let mut runs = Vec::new();
    for name in &options.scenarios {
        if STREAMS.contains(&name.as_str()) {
            let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/java/oracle.sh");
            let against = (options.subjects.len() > 1).then_some(oracle);
            let wanted = cost::Options { broker: &options.subjects[0], against, settings: &options.settings };
            runs.extend(cost::run(name, &wanted)?.iter().map(Run::json));
            continue;
        }
        let mut run = Run { scenario: name.clone(), subjects: Vec::new() };
        if name == FLOOR {
            run.subjects.push(("machine".to_owned(), floor::run()?));
        }
        for (_, scenario) in SCENARIOS.iter().filter(|(known, _)| known == name) {
            for subject in &options.subjects {
                // Written pages of the run before are not this run's cost.
                rustix::fs::sync();
                let folder = tempfile::tempdir()?;
                let figures =
                    scenario(subject, folder.path()).with_context(|| format!("{name} on {}", subject.name()))?;
                run.subjects.push((subject.name().to_owned(), figures));
            }
        }
        run.print();
        runs.push(run.json());
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&runs)?)?;
    }
    Ok(())
}

/// Thousands of connections need as many descriptors; children inherit the limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A refusal shows as a failing idle-connections.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The `millstream` beside this program.
fn built_binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let binary = this.with_file_name("millstream");
    if !binary.is_file() {
        bail!("{} is not built: cargo build --release -p millstream-cli, or give --binary PATH", binary.display());
    }
    Ok(binary)
}
