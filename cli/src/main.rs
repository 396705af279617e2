//! The binary `millstream`: every service and every command-line tool of the stack.
//!
//! Exit status: 0 clean stop, 1 failure, 2 wrong usage. An error is one line on standard error that says what was
//! wrong and what to do.

/// The services: `up`, `broker` and those to come.
mod serve;
/// The flags that every service takes.
mod flags;
/// The broker's configuration from file and flags.
mod properties;
/// Apache Kafka's command-line tools.
mod kafka;
/// A live view of a cluster.
mod top;
/// What ends them from outside.
mod signals;
/// Shell completion and man pages.
mod pages;

use std::process::ExitCode;

use clap::Command;
use clap::error::ErrorKind;
use kafka::options::one_line;

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    /// It did what it was asked.
    Well,
    /// It failed; the line says why.
    Failed(String),
    /// It failed and has said why.
    FailedAloud,
    /// A signal of this number ended it.
    Signalled(u8),
    /// It was called wrongly; the line says how.
    Misused(String),
}

fn command() -> Command {
    let service = |name: &'static str, about: &'static str| flags::add(Command::new(name).about(about));
    Command::new("millstream")
        .about("The whole Kafka stack in one binary")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(service("up", "Run every service in one process"))
        .subcommand(service("broker", "Run the broker"))
        .subcommand(service("registry", "Run the schema registry (not built yet)"))
        .subcommand(service("rest-proxy", "Run the REST proxy (not built yet)"))
        .subcommand(service("connect", "Run Connect (not built yet)"))
        .subcommand(service("ksql-server", "Run the ksql server (not built yet)"))
        .subcommand(service("console", "Run the web console (not built yet)"))
        .subcommand(top::command())
        .subcommand(pages::completions_command())
        .subcommand(pages::man_command())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((tool, rest)) = words.split_first()
        && let Some(ended) = kafka::run(tool, rest)
    {
        return report(tool, ended);
    }
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misused(&error, words.first().map_or("", String::as_str)),
    };
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::from(2) };
    let ended = match name {
        "top" => top::run(matches),
        "completions" => pages::completions(&command(), matches),
        "man" => pages::man(&command(), matches),
        service => match flags::read(matches) {
            Ok(flags) => serve::run(service, flags),
            Err(line) => Ended::Misused(line),
        },
    };
    report(name, ended)
}

/// Help where it was asked for or nothing was, else one line.
fn misused(error: &clap::Error, name: &str) -> ExitCode {
    let nothing_said = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if nothing_said || !error.use_stderr() {
        // Printing can only fail when the terminal is gone; there is nobody to tell then.
        let _ = error.print();
        return if nothing_said { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let tool = if error.kind() == ErrorKind::InvalidSubcommand {
        "millstream".to_owned()
    } else {
        format!("millstream {name}")
    };
    eprintln!("{tool}: {}", one_line(error, &tool));
    ExitCode::from(2)
}

fn report(name: &str, ended: Ended) -> ExitCode {
    match ended {
        Ended::Well => ExitCode::SUCCESS,
        // As a shell reports it.
        Ended::Signalled(signal) => ExitCode::from(128 + signal),
        Ended::FailedAloud => ExitCode::from(1),
        Ended::Failed(line) => {
            eprintln!("{name}: {line}");
            ExitCode::from(1)
        }
        Ended::Misused(line) => {
            eprintln!("millstream {name}: {line}");
            ExitCode::from(2)
        }
    }
}
