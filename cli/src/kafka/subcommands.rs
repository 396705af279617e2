//! Tools whose first word names what to do, on clap with the habits of argparse4j.

use clap::{Arg, ArgAction, ArgMatches, Command};
use client::admin::Admin;

use crate::Ended;
use crate::kafka::options::one_line;
use crate::kafka::{TIMEOUT, administer, read_properties};

/// A tool of this name that takes subcommands.
pub fn tool(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).infer_long_args(true).disable_help_subcommand(true).subcommand_required(true)
}

/// The flags that say which cluster: `--bootstrap-server` or `--bootstrap-controller`, and `--command-config`.
pub fn with_cluster(command: Command) -> Command {
    let servers = Arg::new("bootstrap-server")
        .long("bootstrap-server")
        .value_name("HOST:PORT,...")
        .help("The brokers to connect to.");
    let controllers = Arg::new("bootstrap-controller").long("bootstrap-controller").value_name("HOST:PORT,...");
    let controllers = controllers.conflicts_with("bootstrap-server").help("The controllers to connect to.");
    let config = Arg::new("command-config")
        .long("command-config")
        .value_name("FILE")
        .help("Property file with configs of the admin client.");
    command.arg(servers).arg(controllers).arg(config)
}

/// A flag without a value.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// A flag with a value.
pub fn value(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

/// A flag with a value that may be given again.
pub fn values(name: &'static str, help: &'static str) -> Arg {
    value(name, help).action(ArgAction::Append)
}

/// Reads the words behind the tool's name; help ends well, wrong usage with one line.
///
/// # Errors
/// How the tool ended already.
pub fn read(command: Command, words: &[String]) -> Result<ArgMatches, Ended> {
    let tool = command.get_name().to_owned();
    let named = std::iter::once(tool.clone()).chain(words.iter().cloned());
    match command.try_get_matches_from(named) {
        Ok(matches) => Ok(matches),
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            Err(Ended::Well)
        }
        Err(error) => Err(Ended::Failed(one_line(&error, &tool))),
    }
}

/// The text of a flag.
pub fn text<'a>(given: &'a ArgMatches, name: &str) -> Option<&'a str> {
    // A tool may lack a flag that others have.
    given.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// The values of a flag.
pub fn list(given: &ArgMatches, name: &str) -> Vec<String> {
    given.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

/// A client of the cluster that the flags of [`with_cluster`] name.
///
/// # Errors
/// When they name none, or the file cannot be read.
pub fn admin(given: &ArgMatches) -> Result<Admin, Ended> {
    let (servers, controllers) = (text(given, "bootstrap-server"), text(given, "bootstrap-controller"));
    if servers.or(controllers).is_none() {
        return Err(Ended::Failed("You must specify either --bootstrap-controller or --bootstrap-server.".to_owned()));
    }
    let properties = text(given, "command-config").map(read_properties).transpose().map_err(Ended::Failed)?;
    administer(properties.unwrap_or_default(), servers, controllers, TIMEOUT)
}
