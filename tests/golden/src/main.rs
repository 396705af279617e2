//! `millstream-golden KIND FILE`: replays a recording, prints what fails and how much passed, and exits 1 if anything failed.
//! `--skip-missing` leaves out what is known not to be built yet, and counts it as skipped.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        #[cfg(feature = "streams")]
        ["streams", file] => streams(Path::new(file), Missing::Counted),
        #[cfg(feature = "streams")]
        ["streams", "--skip-missing", file] => streams(Path::new(file), Missing::Skipped),
        _ => {
            eprintln!("usage: millstream-golden streams [--skip-missing] FILE.jsonl[.zst]");
            ExitCode::from(2)
        }
    }
}

/// What becomes of scenarios that are known not to be built yet.
#[cfg(feature = "streams")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Counted,
    Skipped,
}

#[cfg(feature = "streams")]
fn streams(file: &Path, missing: Missing) -> ExitCode {
    use millstream_golden::streams::{NOT_YET, read, replay};
    let groups = match read(file) {
        Ok(groups) => groups,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(1);
        }
    };
    let mut counts: std::collections::BTreeMap<&str, (usize, usize)> = std::collections::BTreeMap::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for group in &groups {
        let scenario = group.scenario();
        if missing == Missing::Skipped && NOT_YET.contains(&scenario) {
            skipped += group.cases.len();
            continue;
        }
        for (number, case) in group.cases.iter().enumerate() {
            let count = counts.entry(scenario).or_default();
            match replay(group, case) {
                Ok(()) => {
                    passed += 1;
                    count.0 += 1;
                }
                Err(reason) => {
                    failed += 1;
                    count.1 += 1;
                    println!("FAIL {} :: {scenario} :: {number} :: {reason}", file.display());
                }
            }
        }
    }
    for (scenario, (passed, failed)) in &counts {
        println!("{scenario}: {passed} passed, {failed} failed");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
