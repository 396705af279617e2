//! Shell completion, man pages and docs/tools, all made from the flags that the commands themselves read.
//!
//! `millstream completions bash|zsh|fish` and `millstream man FOLDER`; docs/tools is written by
//! `UPDATE=1 cargo test -p millstream-cli`.

use std::path::Path;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use millstream_base_env::Disk;

use crate::Ended;
use crate::kafka::TOOLS;

/// `millstream completions`
pub fn completions_command() -> Command {
    let shell = Arg::new("shell")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("bash, zsh, fish, elvish or powershell");
    Command::new("completions")
        .about("Print a completion script for a shell: millstream and every Kafka tool")
        .arg(shell)
}

/// `millstream man`
pub fn man_command() -> Command {
    let folder = Arg::new("folder").required(true).value_name("FOLDER").help("Where the pages go");
    Command::new("man").about("Write man pages: millstream and every Kafka tool").arg(folder)
}

/// Prints the scripts.
pub fn completions(own: &Command, given: &ArgMatches) -> Ended {
    let Some(shell) = given.get_one::<Shell>("shell").copied() else { return Ended::FailedAloud };
    let mut out = std::io::stdout().lock();
    let whole = TOOLS.iter().fold(own.clone(), |whole, tool| whole.subcommand(plain(tool.name, (tool.flags)())));
    clap_complete::generate(shell, &mut whole.clone(), "millstream", &mut out);
    for tool in TOOLS {
        clap_complete::generate(shell, &mut plain(tool.name, (tool.flags)()), format!("{}.sh", tool.name), &mut out);
    }
    Ended::Well
}

/// A tool's flags under its own name.
fn plain(name: &'static str, command: Command) -> Command {
    command.name(name).bin_name(name)
}

/// Writes the pages.
pub fn man(own: &Command, given: &ArgMatches) -> Ended {
    let folder = Path::new(given.get_one::<String>("folder").map_or(".", String::as_str));
    let tools = TOOLS.iter().map(|tool| plain(tool.name, (tool.flags)()));
    for command in std::iter::once(own.clone()).chain(tools) {
        let path = folder.join(format!("{}.1", command.get_name()));
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page).and_then(|()| std::fs::create_dir_all(folder));
        if let Err(error) = written.and_then(|()| Disk::Real.write(&path, &page)) {
            return Ended::Failed(format!("{}: {error}", path.display()));
        }
    }
    Ended::Well
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The page of a tool.
    fn doc(name: &'static str, command: Command) -> String {
        let mut command = plain(name, command);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let mut text = format!(
            "# {name}\n\nMade from the tool's own flags; do not edit. `UPDATE=1 cargo test -p millstream-cli` writes it anew.\n\n\
             {about}\n\n`bin/{name}.sh` or `millstream {name}`:\n\n```text\n{}```\n",
            lines(&mut command)
        );
        let names: Vec<String> = command.get_subcommands().map(|own| own.get_name().to_owned()).collect();
        for own in names {
            let sub = command.find_subcommand_mut(&own).expect("it was listed above");
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("\n## {own}\n\n{about}\n\n```text\n{}```\n", lines(sub)));
        }
        text
    }

    /// A flag a line, as help prints it but of the same width everywhere.
    fn lines(command: &mut Command) -> String {
        let mut text = String::new();
        for arg in command.get_arguments() {
            let name = arg.get_long().map_or_else(|| format!("<{}>", arg.get_id()), |name| format!("--{name}"));
            let short = arg.get_short().map(|short| format!(", -{short}")).unwrap_or_default();
            let shown = match (arg.get_action().takes_values(), arg.get_value_names()) {
                (true, Some([shown, ..])) if arg.get_long().is_some() => format!(" <{shown}>"),
                _ => String::new(),
            };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("{name}{short}{shown}\n    {help}\n"));
        }
        text
    }

    #[test]
    fn docs_tools_are_current() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/tools");
        let update = std::env::var_os("UPDATE").is_some();
        let mut index = "# The command-line tools\n\nMade from the tools' own flags; do not edit. `UPDATE=1 cargo test -p millstream-cli` writes it anew.\n\n\
                         Every tool that prints data takes `--output json` besides: a list of objects on a line for each table.\n\n".to_owned();
        let mut pages: Vec<(String, String)> = Vec::new();
        for tool in TOOLS {
            let command = (tool.flags)();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            index.push_str(&format!("- [{0}]({0}.md): {about}\n", tool.name));
            pages.push((format!("{}.md", tool.name), doc(tool.name, command)));
        }
        pages.push(("README.md".to_owned(), index));
        for (name, text) in pages {
            let path = folder.join(&name);
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "docs/tools/{name} is not current: UPDATE=1 cargo test -p millstream-cli");
        }
    }

    #[test]
    fn every_tool_has_sound_flags_and_a_link_in_bin() {
        for tool in TOOLS {
            plain(tool.name, (tool.flags)()).debug_assert();
            let link = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../bin/{}.sh", tool.name));
            assert!(link.exists(), "bin/{}.sh is missing: ln -s kafka-tool.sh bin/{}.sh", tool.name, tool.name);
        }
    }
}
