//! kafka-storage: format log directories, say what is in them, make ids (Java: `StorageTool`).
//!
//! Formatting is `broker/controller`'s; this reads the words and prints what Apache prints. Unlike Apache's brokers
//! ours formats an empty folder itself when it starts, so nobody has to call this first.
//!
//! Not done: --add-scram, --initial-controllers, --feature and --release-version other than this release's: they come
//! with SASL and with the cluster.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use millstream_base_config::BrokerConfig;
use millstream_base_env::{Clock, Disk};
use millstream_broker_controller::format::{self, ClusterId, Existing, RELEASE};
use millstream_broker_controller::uuid_text;
use millstream_broker_log::LogDir;
use serde_json::json;

use crate::Ended;
use crate::kafka::{feature_levels, output, subcommands};

/// The features of this release with their levels (Java: `Feature.PRODUCTION_FEATURES`), and of these what this node
/// finalises when it is formatted.
const FEATURES: [(&str, i16); 6] = [
    ("kraft.version", 1),
    ("transaction.version", 2),
    ("group.version", 1),
    ("eligible.leader.replicas.version", 1),
    ("share.version", 1),
    ("streams.version", 1),
];
const FINALISED: [(&str, i16); 2] = [("metadata.version", METADATA_LEVEL), ("transaction.version", 2)];
/// The feature level of [`RELEASE`].
const METADATA_LEVEL: i16 = 30;

/// The flags.
pub fn command() -> Command {
    let config =
        Arg::new("config").long("config").short('c').required(true).help("The Kafka configuration file to use.");
    let release =
        Arg::new("release-version").long("release-version").short('r').help("The release to use the features of.");
    let feature = Arg::new("feature")
        .long("feature")
        .short('f')
        .action(ArgAction::Append)
        .help("A feature and its level, feature=level.");
    let flag = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name).long(name).short(short).action(ArgAction::SetTrue).help(help)
    };
    let format = Command::new("format")
        .about("Format the Kafka log directories on this node.")
        .arg(config.clone())
        .arg(Arg::new("cluster-id").long("cluster-id").short('t').required(true).help("The cluster id to use."))
        .arg(flag("ignore-formatted", 'g', "Skip directories that are formatted already, rather than fail."))
        .arg(release.clone())
        .arg(feature.clone())
        .arg(flag("standalone", 's', "Make this controller a quorum of one.").conflicts_with("no-initial-controllers"))
        .arg(flag("no-initial-controllers", 'N', "Format without naming the quorum."));
    Command::new("kafka-storage")
        .about("The Kafka storage tool.")
        .infer_long_args(true)
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand(
            Command::new("info").about("Get information about the Kafka log directories on this node.").arg(config),
        )
        .subcommand(format)
        .subcommand(Command::new("version-mapping").about("Look up the features of a release.").arg(release))
        .subcommand(
            Command::new("feature-dependencies")
                .about("Look up what a feature's level needs.")
                .arg(feature.required(true)),
        )
        .subcommand(Command::new("random-uuid").about("Print a random UUID."))
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let matches = match subcommands::read(command(), words) {
        Ok(matches) => matches,
        Err(ended) => return ended,
    };
    let ended = match matches.subcommand() {
        Some(("info", given)) => info(given),
        Some(("format", given)) => format_dirs(given),
        Some(("version-mapping", given)) => version_mapping(given),
        Some(("feature-dependencies", given)) => feature_dependencies(given),
        _random_uuid => {
            let id = uuid_text::format(uuid_text::random());
            if !output::as_json(&["uuid"], &[vec![id.clone()]]) {
                println!("{id}");
            }
            Ok(())
        }
    };
    ended.map_or_else(|ended| ended, |()| Ended::Well)
}

fn config(given: &ArgMatches) -> Result<BrokerConfig, Ended> {
    let path = PathBuf::from(given.get_one::<String>("config").cloned().unwrap_or_default());
    let failed = |error: millstream_base_config::ConfigError| Ended::Failed(error.to_string());
    BrokerConfig::new(&BrokerConfig::from_file(&path).map_err(failed)?).map_err(failed)
}

fn log_dirs(config: &BrokerConfig) -> Vec<PathBuf> {
    let mut dirs = config.log_dirs.clone();
    dirs.extend(own_metadata_dir(config));
    dirs.sort();
    dirs.dedup();
    dirs
}

fn info(given: &ArgMatches) -> Result<(), Ended> {
    let (lines, problems) = format::info(&Disk::Real, &log_dirs(&config(given)?));
    if !output::as_objects(|| vec![json!({"lines": lines, "problems": problems})]) {
        lines.iter().for_each(|line| println!("{line}"));
    }
    if problems { Err(Ended::FailedAloud) } else { Ok(()) }
}

fn format_dirs(given: &ArgMatches) -> Result<(), Ended> {
    let config = config(given)?;
    let text = |key: &str| config.text(key).unwrap_or_default().to_owned();
    if text("process.roles").is_empty() {
        return Err(Ended::Failed(
            "The kafka configuration file appears to be for a legacy cluster. Formatting is only supported for clusters in \
             KRaft mode."
                .to_owned(),
        ));
    }
    let (standalone, without) = (given.get_flag("standalone"), given.get_flag("no-initial-controllers"));
    let static_voters = !text("controller.quorum.voters").is_empty();
    if static_voters && standalone {
        return Err(Ended::Failed(
            "You cannot specify controller.quorum.voters and format the node with --initial-controllers or --standalone. If \
             you want to use dynamic quorum, please remove controller.quorum.voters and specify \
             controller.quorum.bootstrap.servers instead."
                .to_owned(),
        ));
    }
    if text("process.roles").contains("controller") && !static_voters && !standalone && !without {
        return Err(Ended::Failed(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: \
             --standalone, --initial-controllers, or --no-initial-controllers."
                .to_owned(),
        ));
    }
    check_release(given)?;
    check_features(given)?;
    let cluster = given.get_one::<String>("cluster-id").cloned().unwrap_or_default();
    let existing = if given.get_flag("ignore-formatted") { Existing::Kept } else { Existing::Refused };
    let failed = |error: &dyn std::fmt::Display| Ended::Failed(error.to_string());
    let paths = log_dirs(&config);
    let formatted_before = paths.iter().all(|path| Disk::Real.exists(&path.join("meta.properties")));
    let mut dirs = Vec::with_capacity(paths.len());
    for path in &paths {
        dirs.push(LogDir::open(Disk::Real, Clock::Real, path).map_err(|error| failed(&error))?);
    }
    let formatted =
        format::format(&dirs, config.node_id, ClusterId::Given(&cluster), existing).map_err(|error| failed(&error))?;
    if !formatted_before {
        println!("{}", bootstrap_line());
    }
    let metadata = metadata_dir(&config, &paths);
    let kind = if static_voters || without { "metadata" } else { "dynamic metadata voter" };
    for line in format::format_report(&formatted, &metadata) {
        println!("{}", line.replace("Formatting metadata directory", &format!("Formatting {kind} directory")));
    }
    Ok(())
}

fn metadata_dir(config: &BrokerConfig, paths: &[PathBuf]) -> PathBuf {
    own_metadata_dir(config).or_else(|| paths.first().cloned()).unwrap_or_default()
}

fn own_metadata_dir(config: &BrokerConfig) -> Option<PathBuf> {
    config.text("metadata.log.dir").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn bootstrap_line() -> String {
    let record = |(name, level): &(&str, i16)| {
        format!("ApiMessageAndVersion(FeatureLevelRecord(name='{name}', featureLevel={level}) at version 0)")
    };
    let records: Vec<String> = FINALISED.iter().map(record).collect();
    format!(
        "Bootstrap metadata: BootstrapMetadata(records=[{}], metadataVersionLevel={METADATA_LEVEL}, source=format command)",
        records.join(", ")
    )
}

/// Only this release's metadata is written.
fn check_release(given: &ArgMatches) -> Result<(), Ended> {
    match given.get_one::<String>("release-version") {
        Some(release) if release != RELEASE && release != "4.3" => Err(Ended::Failed(format!(
            "folders are formatted for release {RELEASE} only, not {release}; leave --release-version out"
        ))),
        _ => Ok(()),
    }
}

fn check_features(given: &ArgMatches) -> Result<(), Ended> {
    for feature in given.get_many::<String>("feature").into_iter().flatten() {
        let (name, level) = level_of(feature)?;
        if !FINALISED.contains(&(name.as_str(), level)) {
            let kept: Vec<String> = FINALISED.iter().map(|(name, level)| format!("{name}={level}")).collect();
            return Err(Ended::Failed(format!(
                "--feature {feature}: this release formats with {} only",
                kept.join(", ")
            )));
        }
    }
    Ok(())
}

fn level_of(feature: &str) -> Result<(String, i16), Ended> {
    let Some((name, level)) = feature.split_once('=') else {
        return Err(Ended::Failed(format!(
            "Invalid feature format: {feature}. Expected format: 'feature=version' (e.g. 'group.version=1')"
        )));
    };
    let (name, level) = (name.trim(), level.trim());
    match level.parse() {
        Ok(number) => Ok((name.to_owned(), number)),
        Err(_) => Err(Ended::Failed(format!("Invalid version format: {level} for feature {name}"))),
    }
}

fn version_mapping(given: &ArgMatches) -> Result<(), Ended> {
    check_release(given)?;
    feature_levels::print_levels(RELEASE, METADATA_LEVEL, FEATURES.iter().copied());
    Ok(())
}

fn feature_dependencies(given: &ArgMatches) -> Result<(), Ended> {
    for feature in given.get_many::<String>("feature").into_iter().flatten() {
        let (name, level) = level_of(feature)?;
        if name == "metadata.version" {
            if level != METADATA_LEVEL {
                return Err(Ended::Failed(format!("Unknown metadata.version {level}")));
            }
            feature_levels::print_need(&name, level, Some(RELEASE), None);
            continue;
        }
        let Some((_, newest)) = FEATURES.iter().find(|(known, _)| *known == name) else {
            return Err(Ended::Failed(format!("Unknown feature: {name}")));
        };
        if !(0..=*newest).contains(&level) {
            return Err(Ended::Failed(format!("Feature level {level} is not supported for feature {name}")));
        }
        feature_levels::print_need(&name, level, None, feature_levels::need_of(&name, level));
    }
    Ok(())
}
