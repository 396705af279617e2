//! kafka-groups: the groups of every type (Java: `GroupsCommand`).

use client::admin::{Admin, GroupListing};
use client::error::ClientError;

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, output};

const ABOUT: &str = "This tool helps to list groups of all types.";
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];
/// Least width of a column.
const WIDTH: usize = 20;

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-groups", ABOUT)
        .servers("server to connect to")
        .admin_config("command config property file")
        .flag("list", "List the groups.")
        .value("group-type", "type", "Only groups of this type: classic, consumer, share or streams.")
        .value("protocol", "protocol", "Only groups of this protocol type.")
        .flag("consumer", "Only consumer groups of either type, simple ones too.")
        .flag("share", "Only share groups.")
        .flag("streams", "Only streams groups.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        if !given.has("list") {
            return given.misuse("Command must include exactly one action: --list.".to_owned());
        }
        if !given.has("bootstrap-server") {
            return given.misuse("Missing required option(s) [bootstrap-server]".to_owned());
        }
        if given.one("group-type")?.is_some_and(|kind| !TYPES.contains(&kind.to_ascii_lowercase().as_str())) {
            return Err(Ended::Failed("--group-type must be a valid group type.".to_owned()));
        }
        given.excludes("consumer", &["group-type", "protocol", "share", "streams"])?;
        given.excludes("share", &["consumer", "group-type", "protocol", "streams"])?;
        given.excludes("streams", &["consumer", "group-type", "protocol", "share"])?;
        block_on(list(&admin(&given)?, &given))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

async fn list(admin: &Admin, given: &Given) -> Result<(), Ended> {
    let failed = |error: ClientError| {
        println!("Error while executing groups command : {}", error.message());
        Ended::FailedAloud
    };
    let mut groups = admin.list_groups(&[], &[]).await.map_err(failed)?;
    let filter = Filter::of(given)?;
    groups.retain(|group| filter.allows(group));
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| vec![group.group_id.clone(), capital(&group.group_type), group.protocol_type.clone()])
        .collect();
    if output::as_json(&["GROUP", "TYPE", "PROTOCOL"], &rows) {
        return Ok(());
    }
    let cells =
        groups.iter().flat_map(|group| [group.group_id.len(), group.group_type.len(), group.protocol_type.len()]);
    let width = cells.max().unwrap_or(0).max(WIDTH);
    println!("{:<width$} {:<width$} {:<width$}", "GROUP", "TYPE", "PROTOCOL");
    for group in groups {
        println!("{:<width$} {:<width$} {:<width$} ", group.group_id, capital(&group.group_type), group.protocol_type);
    }
    Ok(())
}

/// `GroupType.toString`.
fn capital(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Which groups are wanted.
enum Filter {
    Any,
    /// Of a type, and of a protocol where it is given.
    Typed(String, Option<String>),
    Protocol(String),
    Consumer,
}

impl Filter {
    fn of(given: &Given) -> Result<Self, Ended> {
        let protocol = given.one("protocol")?.map(str::to_owned);
        Ok(match (given.one("group-type")?, protocol) {
            (Some(kind), protocol) => Filter::Typed(kind.to_owned(), protocol),
            (None, Some(protocol)) => Filter::Protocol(protocol),
            (None, None) if given.has("consumer") => Filter::Consumer,
            (None, None) if given.has("share") => Filter::Typed("share".to_owned(), None),
            (None, None) if given.has("streams") => Filter::Typed("streams".to_owned(), None),
            (None, None) => Filter::Any,
        })
    }

    fn allows(&self, group: &GroupListing) -> bool {
        match self {
            Filter::Any => true,
            Filter::Typed(kind, protocol) => {
                group.group_type.eq_ignore_ascii_case(kind)
                    && protocol.as_ref().is_none_or(|protocol| group.protocol_type == *protocol)
            }
            Filter::Protocol(protocol) => group.protocol_type == *protocol,
            Filter::Consumer => {
                ["consumer", ""].contains(&group.protocol_type.as_str())
                    || group.group_type.eq_ignore_ascii_case("consumer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumer_groups_are_those_of_either_type() {
        let group = |kind: &str, protocol: &str| GroupListing {
            group_id: "g".to_owned(),
            protocol_type: protocol.to_owned(),
            state: String::new(),
            group_type: kind.to_owned(),
        };
        let listed = [
            group("classic", "consumer"),
            group("classic", ""),
            group("classic", "connect"),
            group("consumer", "x"),
            group("share", "share"),
        ];
        assert_eq!(listed.each_ref().map(|group| Filter::Consumer.allows(group)), [true, true, false, true, false]);
        let typed = Filter::Typed("CLASSIC".to_owned(), Some("connect".to_owned()));
        assert_eq!(listed.each_ref().map(|group| typed.allows(group)), [false, false, true, false, false]);
    }
}
