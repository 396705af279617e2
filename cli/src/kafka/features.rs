//! kafka-features: levels of the cluster's features (Java: `FeatureCommand`).

use std::collections::BTreeMap;

use clap::{ArgMatches, Command, value_parser};
use client::admin::{Admin, Change, FeatureUpdate, UpgradeType};
use client::error::ClientError;

use crate::Ended;
use crate::kafka::feature_levels::{self, METADATA_VERSION};
use crate::kafka::subcommands::{self, list, switch, text, value, values};
use crate::kafka::{block_on, output};

/// The flags.
pub fn command() -> Command {
    let release = || value("release-version", "The release whose levels all features take.");
    let metadata = || value("metadata", "(Deprecated) The level of the metadata, by its name.");
    let feature = |help| values("feature", help);
    let dry = || switch("dry-run", "Say what would come of it, and change nothing.");
    let hard = |help| switch("unsafe", help);
    let tool =
        subcommands::with_cluster(subcommands::tool("kafka-features", "This tool manages feature flags in Kafka."));
    tool.subcommand(
        Command::new("describe")
            .about("Describes the current active feature flags.")
            .arg(value("node-id", "The node to ask. [default: any]").value_parser(value_parser!(i32))),
    )
    .subcommand(Command::new("upgrade").about("Upgrade one or more feature flags.").args([
        metadata(),
        release(),
        feature("A feature and its level, feature=level."),
        dry(),
    ]))
    .subcommand(Command::new("downgrade").about("Downgrade one or more feature flags.").args([
        metadata(),
        release(),
        feature("A feature and its level, feature=level."),
        hard("Downgrade even if metadata may be lost by it."),
        dry(),
    ]))
    .subcommand(
        Command::new("disable")
            .about("Disable one or more feature flags. This is the same as downgrading the version to zero.")
            .args([feature("A feature to disable."), hard("Disable even if metadata may be lost by it."), dry()]),
    )
    .subcommand(Command::new("version-mapping").about("Look up the features of a release.").arg(release()))
    .subcommand(
        Command::new("feature-dependencies")
            .about("Look up what a feature's level needs.")
            .arg(feature("A feature and its level, feature=level.").required(true)),
    )
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = subcommands::read(command(), words).and_then(|given| match given.subcommand() {
        Some(("version-mapping", own)) => {
            feature_levels::print_mapping(text(own, "release-version")).map_err(Ended::Failed)
        }
        Some(("feature-dependencies", own)) => list(own, "feature").iter().try_for_each(|feature| {
            let (name, level) = name_and_level(feature)?;
            feature_levels::print_dependencies(&name, level).map_err(Ended::Failed)
        }),
        Some((name, own)) => {
            let admin = subcommands::admin(&given)?;
            block_on(act(&admin, name, own))
        }
        None => Err(Ended::FailedAloud),
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

async fn act(admin: &Admin, name: &str, given: &ArgMatches) -> Result<(), Ended> {
    match name {
        "describe" => describe(admin, given).await,
        "disable" => {
            let mut updates = BTreeMap::new();
            for feature in list(given, "feature") {
                let update = FeatureUpdate { level: 0, kind: downgrade(given) };
                if updates.insert(feature.clone(), update).is_some() {
                    return Err(Ended::Failed(format!("Feature {feature} was specified more than once.")));
                }
            }
            update(admin, name, updates, given).await
        }
        "upgrade" => update(admin, name, updates(given, UpgradeType::Upgrade)?, given).await,
        _downgrade => update(admin, name, updates(given, downgrade(given))?, given).await,
    }
}

fn downgrade(given: &ArgMatches) -> UpgradeType {
    if given.get_flag("unsafe") { UpgradeType::UnsafeDowngrade } else { UpgradeType::SafeDowngrade }
}

fn level_text(feature: &str, level: i16) -> String {
    if feature == METADATA_VERSION {
        return feature_levels::metadata_name(level).map_or_else(|| format!("UNKNOWN {level}"), str::to_owned);
    }
    level.to_string()
}

async fn describe(admin: &Admin, given: &ArgMatches) -> Result<(), Ended> {
    let node = given.get_one::<i32>("node-id").copied();
    if let Some(node) = node.filter(|node| *node < 0) {
        return Err(Ended::Failed(format!("Invalid node id {node}: must be non-negative.")));
    }
    let levels = admin.describe_features(node).await.map_err(|error| Ended::Failed(error.to_string()))?;
    let epoch = levels.finalized_epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    let rows: Vec<Vec<String>> = levels
        .supported
        .iter()
        .map(|(name, range)| {
            let finalized = levels.finalized.get(name).map_or(0, |range| range.max);
            vec![
                name.clone(),
                level_text(name, range.min),
                level_text(name, range.max),
                level_text(name, finalized),
                epoch.clone(),
            ]
        })
        .collect();
    if output::as_json(
        &["feature", "supported min version", "supported max version", "finalized version level", "epoch"],
        &rows,
    ) {
        return Ok(());
    }
    for (name, range) in &levels.supported {
        let finalized = levels.finalized.get(name).map_or(0, |range| range.max);
        println!(
            "Feature: {name:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  FinalizedVersionLevel: {:<15}  Epoch: {epoch}",
            level_text(name, range.min),
            level_text(name, range.max),
            level_text(name, finalized)
        );
    }
    Ok(())
}

fn name_and_level(feature: &str) -> Result<(String, i16), Ended> {
    let wrong = |reason: String| Ended::Failed(format!("Can't parse feature=level string {feature}: {reason}"));
    let (name, level) = feature.split_once('=').ok_or_else(|| wrong("equals sign not found.".to_owned()))?;
    let number = level.trim().parse().map_err(|_| wrong(format!("unable to parse {} as a short.", level.trim())))?;
    Ok((name.trim().to_owned(), number))
}

fn updates(given: &ArgMatches, kind: UpgradeType) -> Result<BTreeMap<String, FeatureUpdate>, Ended> {
    let (release, metadata, features) =
        (text(given, "release-version"), text(given, "metadata"), list(given, "feature"));
    let mut updates = BTreeMap::new();
    if let Some(release) = release {
        if metadata.is_some() || !features.is_empty() {
            return Err(Ended::Failed("Can not specify `release-version` with other feature flags.".to_owned()));
        }
        let level = feature_levels::metadata_level(release).map_err(Ended::Failed)?;
        updates.insert(METADATA_VERSION.to_owned(), FeatureUpdate { level, kind });
        for (name, level) in feature_levels::defaults(level) {
            if kind != UpgradeType::Upgrade || level > 0 {
                updates.insert(name.to_owned(), FeatureUpdate { level, kind });
            }
        }
        return Ok(updates);
    }
    if let Some(metadata) = metadata {
        println!(" `metadata` flag is deprecated and may be removed in a future release.");
        let level = feature_levels::metadata_level(metadata).map_err(Ended::Failed)?;
        updates.insert(METADATA_VERSION.to_owned(), FeatureUpdate { level, kind });
    }
    for feature in &features {
        let (name, level) = name_and_level(feature)?;
        if updates.insert(name.clone(), FeatureUpdate { level, kind }).is_some() {
            return Err(Ended::Failed(format!("Feature {name} was specified more than once.")));
        }
    }
    Ok(updates)
}

async fn update(
    admin: &Admin,
    name: &str,
    updates: BTreeMap<String, FeatureUpdate>,
    given: &ArgMatches,
) -> Result<(), Ended> {
    if updates.is_empty() {
        return Err(Ended::Failed(format!("You must specify at least one feature to {name}")));
    }
    let dry = given.get_flag("dry-run");
    let change = if dry { Change::OnlyValidated } else { Change::Made };
    let results = match admin.update_features(&updates, change).await {
        Ok(results) => results,
        Err(error) => updates.keys().map(|feature| (feature.clone(), Err(error.clone()))).collect(),
    };
    let failures = results.values().filter(|result| result.is_err()).count();
    for (feature, result) in results {
        let level = updates.get(&feature).map_or(0, |update| update.level);
        println!("{}", outcome(name, &feature, level, dry, result.err()));
    }
    if failures > 0 {
        return Err(Ended::Failed(format!("{failures} out of {} operation(s) failed.", updates.len())));
    }
    Ok(())
}

fn outcome(name: &str, feature: &str, level: i16, dry: bool, error: Option<ClientError>) -> String {
    let disabled = name == "disable";
    match error {
        Some(error) => {
            let what = if disabled { format!("disable {feature}") } else { format!("{name} {feature} to {level}") };
            format!("{} {what}. {}", if dry { "Can not" } else { "Could not" }, error.message())
        }
        None => {
            let what = if disabled { "disabled.".to_owned() } else { format!("{name}d to {level}.") };
            format!("{feature}{}{what}", if dry { " can be " } else { " was " })
        }
    }
}
