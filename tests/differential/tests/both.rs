//! Apache Kafka and ours, asked the same: 20 seconds of the fixed seeds, or with `MILLSTREAM_SOAK=1` (make soak) 50 of
//! them, 400 requests each, and as many fresh ones. Without java it is skipped, and fails when `CI=true`.

use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_differential::advertised;
use millstream_differential::pair::{self, Broker};
use millstream_differential::run::{self, Report};

const REQUESTS_PER_SEED: usize = 400;
const SOAK_SEEDS: u64 = 50;
const SHORT: Duration = Duration::from_secs(20);

fn has_java() -> bool {
    let found = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !must_run, "this test needs java on the path");
    found
}

/// Says that this test is skipped, and why, past the capture of a test that passes: tests/run.sh counts the line.
fn say_skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("skipped: {name}: {why}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("a standard error");
}

/// The fixed seeds, then as many fresh ones: those are for the soak, which someone reads.
fn seeds() -> impl Iterator<Item = u64> {
    let fresh = u64::from(rand::random::<u32>());
    println!("fresh seeds from {fresh} on");
    (0..SOAK_SEEDS).chain(fresh..fresh + SOAK_SEEDS)
}

#[test]
fn both_answer_alike() {
    if !has_java() {
        say_skipped("no java on the path");
        return;
    }
    let mut left = pair::start(&Broker::Apache, "Apache Kafka").expect("Apache Kafka starts");
    let mut right = pair::start(&Broker::Millstream, "ours").expect("ours starts");
    let (seeds, time): (Box<dyn Iterator<Item = u64>>, _) = match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => (Box::new(seeds()), Duration::MAX),
        None => (Box::new(0..SOAK_SEEDS), SHORT),
    };
    let started = Moment::now();
    let mut report = Report::default();
    advertised::check(&mut left.side, &mut right.side, &mut report).expect("both brokers are there");
    for seed in seeds {
        run::seed(seed, REQUESTS_PER_SEED, &mut left.side, &mut right.side, &mut report)
            .expect("both brokers are there");
        // Every version is sent within the first two seeds or so.
        if started.elapsed() >= time && report.missing().is_empty() {
            break;
        }
    }
    println!(
        "{} requests, {} of them wrong in a field, {} more in scenes",
        report.requests,
        report.wrong,
        report.compared - report.requests
    );
    assert!(report.missing().is_empty(), "never sent: {:?}", report.missing());
    assert!(report.wrong * 3 >= report.requests, "too few wrong requests: {}", report.wrong);
    assert!(report.mismatches.is_empty(), "{}", report.mismatches.join("\n"));
}
