//! Apache Kafka and ours, asked the same: 20 seconds of it, or 20,000 requests over 50 seeds with `MILLSTREAM_SOAK=1`
//! (make soak). Without java it is skipped, and fails when `CI=true`.

use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_base_env::clock::Moment;
use millstream_differential::pair::{self, Broker};
use millstream_differential::run::{self, Report};

fn has_java() -> bool {
    let found = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !must_run, "this test needs java on the path");
    found
}

#[test]
fn both_answer_alike() {
    if !has_java() {
        eprintln!("skipped: no java on the path");
        return;
    }
    let mut left = pair::start(&Broker::Apache, "Apache Kafka").expect("Apache Kafka starts");
    let mut right = pair::start(&Broker::Millstream, "ours").expect("ours starts");
    let (seeds, time) = match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => (0..50, Duration::MAX),
        None => (0..50, Duration::from_secs(20)),
    };
    let started = Moment::now();
    let mut report = Report::default();
    for seed in seeds {
        run::seed(seed, 400, &mut left.side, &mut right.side, &mut report).expect("both brokers are there");
        if started.elapsed() >= time {
            break;
        }
    }
    println!("{} requests, {} of them wrong in a field", report.requests(), report.wrong);
    assert!(report.missing().is_empty(), "never sent: {:?}", report.missing());
    assert!(report.wrong * 4 > report.requests(), "too few wrong requests: {}", report.wrong);
    assert!(report.mismatches.is_empty(), "{}", report.mismatches.join("\n"));
}
