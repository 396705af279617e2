//! The command: see the library's first lines for its flags.

use std::process::ExitCode;

use anyhow::{Context, bail};
use millstream_differential::advertised;
use millstream_differential::pair::{self, Broker};
use millstream_differential::run::{self, Report};

struct Flags {
    seeds: std::ops::Range<u64>,
    requests: usize,
    left: Broker,
    right: Broker,
    shown: usize,
    trace: bool,
}

fn broker(text: &str) -> anyhow::Result<Broker> {
    Ok(match text {
        "apache" => Broker::Apache,
        "millstream" => Broker::Millstream,
        address => Broker::At(address.parse().with_context(|| format!("{address} is no address"))?),
    })
}

fn flags() -> anyhow::Result<Flags> {
    let mut flags =
        Flags { seeds: 0..50, requests: 400, left: Broker::Apache, right: Broker::Millstream, shown: 40, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--seeds" => {
                flags.seeds = match value.split_once("..") {
                    Some((first, end)) => first.parse()?..end.parse()?,
                    None => value.parse()?..value.parse::<u64>()? + 1,
                }
            }
            "--requests" => flags.requests = value.parse()?,
            "--left" => flags.left = broker(&value)?,
            "--right" => flags.right = broker(&value)?,
            "--shown" => flags.shown = value.parse()?,
            "--trace" => flags.trace = value.parse()?,
            other => bail!("unknown flag {other}; known: --seeds --requests --left --right --shown --trace"),
        }
    }
    Ok(flags)
}

fn main() -> anyhow::Result<ExitCode> {
    let flags = flags()?;
    let mut left = pair::start(&flags.left, "left")?;
    let mut right = pair::start(&flags.right, "right")?;
    let mut report = Report { trace: flags.trace, ..Report::default() };
    if flags.right != Broker::Apache {
        advertised::check(&mut left.side, &mut right.side, &mut report)?;
    }
    for seed in flags.seeds.clone() {
        run::seed(seed, flags.requests, &mut left.side, &mut right.side, &mut report)?;
    }
    for mismatch in report.mismatches.iter().take(flags.shown) {
        println!("{mismatch}");
    }
    let missing = report.missing();
    println!(
        "{} requests over {} seeds, {} of them wrong in a field, {} more in scenes; {} of {} versions sent; {} mismatches",
        report.requests,
        flags.seeds.end - flags.seeds.start,
        report.wrong,
        report.compared - report.requests,
        run::all_versions().len() - missing.len(),
        run::all_versions().len(),
        report.mismatches.len()
    );
    if !missing.is_empty() {
        println!("never sent: {missing:?}");
    }
    let is_fine = missing.is_empty() && report.mismatches.is_empty();
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
