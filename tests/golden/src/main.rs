//! `millstream-golden KIND FILE`: replays a recording, prints what fails and how much passed, and exits 1 if anything failed.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        #[cfg(feature = "streams")]
        ["streams", file] => streams(Path::new(file)),
        _ => {
            eprintln!("usage: millstream-golden streams FILE.jsonl[.zst]");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "streams")]
fn streams(file: &Path) -> ExitCode {
    use millstream_golden::streams::{read, replay};
    let groups = match read(file) {
        Ok(groups) => groups,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(1);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    let mut counts: std::collections::BTreeMap<String, (usize, usize)> = std::collections::BTreeMap::new();
    for group in &groups {
        for (number, case) in group.cases.iter().enumerate() {
            let count = counts.entry(group.scenario().to_owned()).or_default();
            match replay(group, case) {
                Ok(()) => {
                    passed += 1;
                    count.0 += 1;
                }
                Err(reason) => {
                    failed += 1;
                    count.1 += 1;
                    println!("FAIL {} :: {} :: {number} :: {reason}", file.display(), group.scenario());
                }
            }
        }
    }
    for (scenario, (passed, failed)) in &counts {
        println!("{scenario}: {passed} passed, {failed} failed");
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
