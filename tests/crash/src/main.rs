//! One crash check by hand, at any length; `cargo test -p millstream-crash` and `make soak` run them all.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_crash::node::{Kind, Node, built_binary};
use millstream_crash::numbers::Cleanup;
use millstream_crash::{compacted, money, numbers, restart, states};

const USAGE: &str =
    "usage: millstream-crash [numbers|compacted|money|states|restart]... [--kills N] [--rounds N] [--bytes N] \
                     [--seed N] [--binary PATH | --apache]
  numbers  idempotent acks=all load, killed N times with flush.messages=1 and N times without: nothing lost or twice
  compacted  the same on a compacted topic whose cleaner never rests: the last value of each key stays
  money    transactions that move money, killed N times: the sum stays
  states   a kill in each state of a transaction, N rounds
  restart  a log of N bytes (2 GB) answers within 2 s after a kill
  without a name: all of them";

struct Options {
    checks: Vec<String>,
    kills: usize,
    rounds: usize,
    bytes: u64,
    seed: u64,
    kind: Kind,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|options| run_all(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(options: &Options) -> anyhow::Result<()> {
    for check in &options.checks {
        run(check, options).with_context(|| format!("FAILED {check} --seed {}", options.seed))?;
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options = Options {
        checks: Vec::new(),
        kills: 20,
        rounds: 5,
        bytes: 2 << 30,
        seed: 1,
        kind: Kind::Millstream(PathBuf::new()),
    };
    let mut binary = None;
    let mut apache = false;
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "numbers" | "compacted" | "money" | "states" | "restart" => options.checks.push(arg),
            "--kills" => options.kills = value()?.parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--bytes" => options.bytes = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--binary" => binary = Some(PathBuf::from(value()?)),
            "--apache" => apache = true,
            _ => bail!("{arg} is not known\n{USAGE}"),
        }
    }
    if options.checks.is_empty() {
        options.checks = ["numbers", "compacted", "money", "states", "restart"].map(str::to_owned).to_vec();
    }
    options.kind = match (apache, binary) {
        (true, _) => Kind::Apache(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../apache/apache.sh"))),
        (false, Some(binary)) => Kind::Millstream(binary),
        (false, None) => Kind::Millstream(built_binary()?),
    };
    Ok(options)
}

fn run(check: &str, options: &Options) -> anyhow::Result<()> {
    let life = Duration::from_millis(400);
    let folder = tempfile::tempdir()?;
    let settings: &[&str] = if matches!(check, "states" | "money") { &states::SETTINGS } else { &[] };
    match check {
        "numbers" => {
            for flush_messages in [Some(1), None] {
                let folder = tempfile::tempdir()?;
                let mut node = Node::start(options.kind.clone(), folder.path(), settings)?;
                let plan = numbers::Plan {
                    cleanup: Cleanup::None,
                    kills: options.kills,
                    partitions: 3,
                    life,
                    flush_messages,
                    seed: options.seed,
                };
                println!("numbers, flush.messages={flush_messages:?}: {:?}", numbers::run(&mut node, plan)?);
            }
        }
        "compacted" => {
            let mut node = Node::start(options.kind.clone(), folder.path(), &compacted::SETTINGS)?;
            let plan = numbers::Plan {
                cleanup: Cleanup::Compact,
                kills: options.kills,
                partitions: 3,
                life,
                flush_messages: None,
                seed: options.seed,
            };
            println!("compacted: {:?}", numbers::run(&mut node, plan)?);
        }
        "money" => {
            let mut node = Node::start(options.kind.clone(), folder.path(), settings)?;
            let plan = money::Plan { kills: options.kills, workers: 4, life, seed: options.seed };
            println!("money: {:?}", money::run(&mut node, plan)?);
        }
        "states" => {
            let mut node = Node::start(options.kind.clone(), folder.path(), settings)?;
            println!("states: {} kills", states::run(&mut node, options.rounds, options.seed)?);
        }
        "restart" => {
            let mut node = Node::start(options.kind.clone(), folder.path(), settings)?;
            let report = restart::run(&mut node, options.bytes, options.kills)?;
            println!("restart: {report:?}");
            if report.longest > Duration::from_secs(2) {
                bail!("a restart took {:?}", report.longest);
            }
        }
        _ => bail!("{check} is not known\n{USAGE}"),
    }
    Ok(())
}
