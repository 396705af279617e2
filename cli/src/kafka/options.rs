//! Flags of Kafka's tools: clap, with the habits of the parser that Apache's tools are built on (joptsimple).
//!
//! Called by every tool of `kafka/`. Long names may be shortened as far as they stay unique, a value follows as the
//! next word or after `=`, and a value may begin with a dash. Everything wrong ends with status 1, as Apache's do.

use std::collections::HashMap;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::Ended;

/// The release of Apache Kafka whose tools these are.
pub const KAFKA_RELEASE: &str = "4.3.1";

/// A tool's flags, before they are read.
pub struct Options {
    command: Command,
    values: Vec<&'static str>,
}

/// A tool's flags as they were given.
pub struct Given {
    tool: &'static str,
    matches: ArgMatches,
    values: Vec<&'static str>,
}

impl Options {
    /// A tool without flags yet, but for `--help` and `--version`.
    pub fn new(tool: &'static str, about: &'static str) -> Self {
        let command = Command::new(tool)
            .bin_name(tool)
            .about(about)
            .infer_long_args(true)
            .disable_help_flag(true)
            .disable_version_flag(true);
        Options { command, values: Vec::new() }
            .flag("help", "Print usage information.")
            .flag("version", "Display Kafka version.")
    }

    /// A flag without a value.
    pub fn flag(mut self, name: &'static str, help: &'static str) -> Self {
        let arg = Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).overrides_with(name);
        self.command = self.command.arg(arg);
        self
    }

    /// A flag without a value that may be given again, and whose places count ([`Given::places`]).
    pub fn counted_flag(mut self, name: &'static str, help: &'static str) -> Self {
        let arg = Arg::new(name).long(name).help(help).action(ArgAction::Append);
        self.command = self.command.arg(arg.num_args(0).default_missing_value(""));
        self.values.push(name);
        self
    }

    /// A flag with a value; `shown` stands for it in the help.
    pub fn value(mut self, name: &'static str, shown: &'static str, help: &'static str) -> Self {
        self.command = self.command.arg(Self::valued(name, shown, help).required(false).num_args(1));
        self.values.push(name);
        self
    }

    /// `--bootstrap-server`, without which the tool has nobody to ask; `shown` is what Apache's help calls its value.
    pub fn servers(self, shown: &'static str) -> Self {
        self.value("bootstrap-server", shown, "REQUIRED: The server(s) to connect to.")
    }

    /// `--bootstrap-server` or `--bootstrap-controller`.
    pub fn servers_or_controllers(self, servers: &'static str, controllers: &'static str) -> Self {
        let one = self.value("bootstrap-server", servers, "The brokers to connect to; this or --bootstrap-controller.");
        one.value("bootstrap-controller", controllers, "The controllers to connect to; this or --bootstrap-server.")
    }

    /// `--command-config` of a tool that administers.
    pub fn admin_config(self, shown: &'static str) -> Self {
        self.value("command-config", shown, "Property file with configs of the admin client.")
    }

    /// `--command-config` of a tool that consumes.
    pub fn consumer_config(self, shown: &'static str) -> Self {
        self.value("command-config", shown, "A properties file with configs of the consumer.")
    }

    /// `--command-config` of a tool that produces.
    pub fn producer_config(self, shown: &'static str) -> Self {
        self.value("command-config", shown, "A properties file with configs of the producer.")
    }

    /// A flag whose value may be left out (joptsimple: `withOptionalArg`).
    pub fn optional_value(mut self, name: &'static str, shown: &'static str, help: &'static str) -> Self {
        let arg = Arg::new(name).long(name).value_name(shown).help(help).action(ArgAction::Append);
        self.command = self.command.arg(arg.num_args(0..=1).default_missing_value(""));
        self.values.push(name);
        self
    }

    /// A flag with one value or more behind it (argparse4j: `nargs("+")`).
    pub fn many_values(mut self, name: &'static str, shown: &'static str, help: &'static str) -> Self {
        let arg = Arg::new(name).long(name).value_name(shown).help(help).action(ArgAction::Append);
        self.command = self.command.arg(arg.num_args(1..));
        self.values.push(name);
        self
    }

    fn valued(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
        let arg = Arg::new(name).long(name).value_name(shown).help(help).action(ArgAction::Append);
        arg.allow_hyphen_values(true)
    }

    /// The flags as clap has them.
    pub fn command(self) -> Command {
        self.command
    }

    /// Reads the words behind the tool's name. Help and version are answered here.
    ///
    /// # Errors
    /// How the tool ended already.
    pub fn read(mut self, words: &[String]) -> Result<Given, Ended> {
        let named = std::iter::once(self.command.get_name().to_owned()).chain(words.iter().cloned());
        let tool: String = self.command.get_name().to_owned();
        let matches = match self.command.try_get_matches_from_mut(named) {
            Ok(matches) => matches,
            Err(error) => return Err(Ended::Failed(one_line(&error, &tool))),
        };
        let about = self.command.get_about().map(ToString::to_string).unwrap_or_default();
        if words.is_empty() || matches.get_flag("help") {
            eprintln!("{about}\n{}", self.command.render_help());
            return Err(Ended::FailedAloud);
        }
        if matches.get_flag("version") {
            println!("{KAFKA_RELEASE}");
            return Err(Ended::Well);
        }
        let name = self.command.get_name();
        let tool = crate::kafka::TOOLS.iter().map(|tool| tool.name).find(|known| *known == name).unwrap_or("kafka");
        Ok(Given { tool, matches, values: self.values })
    }
}

/// What was wrong with the words, and the nearest right flag.
pub fn one_line(error: &clap::Error, tool: &str) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let wrong = context(ContextKind::InvalidArg).unwrap_or_default();
    let flag = wrong.split_whitespace().next().unwrap_or_default();
    let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(context);
    let near = near.map_or_else(|| format!("; see {tool} --help"), |near| format!("; did you mean {near}?"));
    let without_value = context(ContextKind::InvalidValue).unwrap_or_default().is_empty();
    match error.kind() {
        ErrorKind::UnknownArgument => format!("{flag} is not a recognized option{near}"),
        ErrorKind::InvalidSubcommand => {
            format!("{} is not a recognized command{near}", context(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::InvalidValue if without_value => format!("option {flag} requires an argument"),
        ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => format!("option {flag} requires an argument"),
        _ => {
            // What clap says before its advice; names that it lists stand on lines of their own.
            let text = error.to_string();
            let said: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
            let values = said.len().saturating_sub(1);
            let said: Vec<&str> = said
                .into_iter()
                .take(if error.kind() == ErrorKind::InvalidValue { values } else { usize::MAX })
                .collect();
            format!("{}{near}", said.join(" ").trim_start_matches("error: "))
        }
    }
}

impl Given {
    /// Whether the flag was given, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        if self.values.contains(&name) {
            self.matches.contains_id(name)
        } else {
            self.matches.try_get_one(name).ok().flatten().copied().unwrap_or(false)
        }
    }

    /// The value of a flag that may be given once.
    ///
    /// # Errors
    /// When it was given more than once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Ended> {
        match self.all(name).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [..] => {
                Err(Ended::Failed(format!("Found multiple arguments for option {name}, but you asked for only one")))
            }
        }
    }

    /// The value of a flag, read as a number or the like.
    ///
    /// # Errors
    /// When it is none, or was given more than once.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Ended> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Ended::Failed(format!("Cannot parse argument '{text}' of option {name}"))),
        }
    }

    /// Every value of a flag, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        // A tool may lack a flag that others have.
        let found = self.matches.try_get_many::<String>(name).ok().flatten();
        found.into_iter().flatten().map(String::as_str).collect()
    }

    /// Where the values of a flag stand among all words, in order.
    pub fn places(&self, name: &str) -> Vec<usize> {
        self.matches.indices_of(name).into_iter().flatten().collect()
    }

    /// `--name` flags that must be there (Java: `CommandLineUtils.checkRequiredArgs`).
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn required(&self, names: &[&str]) -> Result<(), Ended> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => self.misuse(format!("Missing required argument \"[{name}]\"")),
            None => Ok(()),
        }
    }

    /// Flags that exclude `used` (Java: `CommandLineUtils.checkInvalidArgs`).
    ///
    /// # Errors
    /// Names the first that was given beside it.
    pub fn excludes(&self, used: &str, others: &[&str]) -> Result<(), Ended> {
        match others.iter().find(|other| self.has(used) && self.has(other)) {
            Some(other) => self.misuse(format!("Option \"[{used}]\" can't be used with option \"[{other}]\"")),
            None => Ok(()),
        }
    }

    /// Ends with one line on what was used wrongly and where the flags are explained.
    ///
    /// # Errors
    /// Always.
    pub fn misuse<T>(&self, line: String) -> Result<T, Ended> {
        Err(Ended::Failed(format!("{line} (see {} --help)", self.tool)))
    }

    /// The pairs of a flag that takes `key=value` (Java: `CommandLineUtils.parseKeyValueArgs`).
    ///
    /// # Errors
    /// Names a word that is no pair.
    pub fn pairs(&self, name: &str) -> Result<HashMap<String, String>, Ended> {
        let pair = |word: &str| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key.to_owned(), value.to_owned())
        };
        Ok(self.all(name).into_iter().map(pair).collect())
    }

    /// The pairs of a properties file that a flag names; empty without it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn properties(&self, name: &str) -> Result<HashMap<String, String>, Ended> {
        let Some(path) = self.one(name)? else { return Ok(HashMap::new()) };
        crate::kafka::read_properties(path).map_err(|reason| Ended::Failed(format!("--{name} {reason}")))
    }
}
