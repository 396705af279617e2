//! kafka-broker-api-versions: which requests each broker serves, and in which versions (Java:
//! `BrokerApiVersionsCommand`). "Usable" is what Apache Kafka's client of this release would speak.

use client::admin::{Admin, Fenced};
use client::error::ClientError;
use millstream_protocol::api_key::{APIS, Api, Listener};
use serde_json::{Value, json};

use crate::Ended;
use crate::kafka::options::Options;
use crate::kafka::{admin, block_on, output};

const ABOUT: &str = "This tool helps to retrieve broker version information.";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-broker-api-versions", ABOUT)
        .admin_config("command config property file")
        .servers("server(s) to use for bootstrapping")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        given.required(&["bootstrap-server"])?;
        block_on(print_versions(&admin(&given)?))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

async fn print_versions(admin: &Admin) -> Result<(), Ended> {
    let failed = |error: ClientError| Ended::Failed(error.to_string());
    let mut objects = Vec::new();
    for node in admin.describe_cluster(Fenced::LeftOut).await.map_err(failed)?.nodes {
        if output::is_json() {
            let versions = admin.api_versions(node.id).await.map_err(failed)?;
            objects.extend(versions.into_iter().map(|version| object(node.id, version)));
            continue;
        }
        let name = format!(
            "{}:{} (id: {} rack: {} isFenced: {})",
            node.host,
            node.port,
            node.id,
            node.rack.as_deref().unwrap_or("null"),
            node.fenced
        );
        match admin.api_versions(node.id).await {
            Ok(versions) => println!("{name} -> {}", listed(&versions)),
            Err(error) => println!("{name} -> ERROR: {}", error.message()),
        }
    }
    output::as_objects(|| objects);
    Ok(())
}

fn object(node: i32, (key, low, high): (i16, i16, i16)) -> Value {
    let api = APIS.iter().find(|api| api.key.number() == key);
    let usable =
        api.filter(|api| api.max_version >= low && high >= api.min_version).map(|api| api.max_version.min(high));
    json!({"node": node, "key": key, "api": api.map(|api| api.name), "min_version": low, "max_version": high, "usable": usable})
}

/// Java: `NodeApiVersions.toString(true)`.
fn listed(versions: &[(i16, i16, i16)]) -> String {
    let mut rows: Vec<(i16, String)> = versions.iter().map(|version| (version.0, row(*version))).collect();
    let absent = |api: &&Api| {
        !matches!(api.listener, Listener::Controller) && !versions.iter().any(|(key, _, _)| *key == api.key.number())
    };
    rows.extend(
        APIS.iter()
            .filter(absent)
            .map(|api| (api.key.number(), format!("{}({}): UNSUPPORTED", api.name, api.key.number()))),
    );
    rows.sort();
    let rows: Vec<String> = rows.into_iter().map(|(_, row)| row).collect();
    format!("(\n\t{}\n)", rows.join(",\n\t"))
}

fn row((key, low, high): (i16, i16, i16)) -> String {
    let span = if low == high { low.to_string() } else { format!("{low} to {high}") };
    let Some(api) = APIS.iter().find(|api| api.key.number() == key) else { return format!("UNKNOWN({key}): {span}") };
    let usable = if api.max_version < low {
        "unusable: node too new".to_owned()
    } else if high < api.min_version {
        "unusable: node too old".to_owned()
    } else {
        format!("usable: {}", api.max_version.min(high))
    };
    format!("{}({key}): {span} [{usable}]", api.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_said_with_what_can_be_spoken() {
        assert_eq!(row((0, 3, 99)), "Produce(0): 3 to 99 [usable: 13]");
        assert_eq!(row((0, 98, 99)), "Produce(0): 98 to 99 [unusable: node too new]");
        assert_eq!(row((0, 0, 1)), "Produce(0): 0 to 1 [unusable: node too old]");
        assert_eq!(row((999, 2, 2)), "UNKNOWN(999): 2");
        assert!(listed(&[(0, 3, 13)]).contains("\n\tFetch(1): UNSUPPORTED,\n"));
    }
}
