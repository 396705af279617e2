//! The features of Apache Kafka 4.3 and their levels, for kafka-features and kafka-storage (Java: `MetadataVersion`,
//! `Feature`).

use serde_json::{Value, json};

use crate::kafka::output;

/// Levels of metadata.version with their names.
const METADATA: [(i16, &str); 25] = [
    (7, "3.3-IV3"),
    (8, "3.4-IV0"),
    (9, "3.5-IV0"),
    (10, "3.5-IV1"),
    (11, "3.5-IV2"),
    (12, "3.6-IV0"),
    (13, "3.6-IV1"),
    (14, "3.6-IV2"),
    (15, "3.7-IV0"),
    (16, "3.7-IV1"),
    (17, "3.7-IV2"),
    (18, "3.7-IV3"),
    (19, "3.7-IV4"),
    (20, "3.8-IV0"),
    (21, "3.9-IV0"),
    (22, "4.0-IV0"),
    (23, "4.0-IV1"),
    (24, "4.0-IV2"),
    (25, "4.0-IV3"),
    (26, "4.1-IV0"),
    (27, "4.1-IV1"),
    (28, "4.2-IV0"),
    (29, "4.2-IV1"),
    (30, "4.3-IV0"),
    (31, "4.4-IV0"),
];
/// The level of this release.
pub const METADATA_LEVEL: i16 = 30;
/// The feature that stands for the form of the metadata.
pub const METADATA_VERSION: &str = "metadata.version";

/// The other features, and from which metadata level on each level of theirs above 0 is the default.
const FEATURES: [(&str, &[i16]); 6] = [
    ("kraft.version", &[21]),
    ("transaction.version", &[24, 24]),
    ("group.version", &[22]),
    ("eligible.leader.replicas.version", &[26]),
    ("share.version", &[28]),
    ("streams.version", &[29]),
];

/// The name of a level of metadata.version.
pub fn metadata_name(level: i16) -> Option<&'static str> {
    METADATA.iter().find(|(known, _)| *known == level).map(|(_, name)| *name)
}

/// The level of a release such as `4.3`, `4.3.1` or `4.3-IV0`.
///
/// # Errors
/// Names those there are.
pub fn metadata_level(release: &str) -> Result<i16, String> {
    let segments: Vec<&str> = release.split('.').collect();
    let key = if segments.len() <= 2 { release.to_owned() } else { segments[..2].join(".") };
    let of_release = |name: &str| name == key || name.split_once("-IV").is_some_and(|(release, _)| release == key);
    // Of a release's own levels the last one stands for it.
    let found = METADATA.iter().rev().find(|(_, name)| of_release(name));
    found.map(|(level, _)| *level).ok_or_else(|| {
        let names: Vec<&str> = METADATA.iter().map(|(_, name)| *name).collect();
        format!("Unknown metadata.version '{release}'. Supported metadata.version are: {}", names.join(", "))
    })
}

/// Every other feature with the level that belongs to a metadata level.
pub fn defaults(metadata: i16) -> impl Iterator<Item = (&'static str, i16)> {
    FEATURES.iter().map(move |(name, from)| (*name, from.iter().filter(|least| **least <= metadata).count() as i16))
}

/// Prints the levels that belong to a release, this one for none (`version-mapping`).
///
/// # Errors
/// A release that is not known.
pub fn print_mapping(release: Option<&str>) -> Result<(), String> {
    let release = release.or(metadata_name(METADATA_LEVEL)).unwrap_or_default();
    let metadata = metadata_level(release)?;
    print_levels(release, metadata, defaults(metadata));
    Ok(())
}

/// The level of another feature that a level needs.
pub fn need_of(name: &str, level: i16) -> Option<(&'static str, i16, &'static str)> {
    ((name, level) == ("eligible.leader.replicas.version", 1)).then_some((METADATA_VERSION, 23, "4.0-IV1"))
}

/// Prints the level of the metadata and those that belong to it.
pub fn print_levels<'a>(release: &str, metadata: i16, others: impl Iterator<Item = (&'a str, i16)>) {
    let rows: Vec<(&str, i16)> = std::iter::once((METADATA_VERSION, metadata)).chain(others).collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|(name, level)| vec![(*name).to_owned(), level.to_string()]).collect();
    if output::as_json(&["feature", "level"], &cells) {
        return;
    }
    for (name, level) in rows {
        println!("{name}={level}{}", if name == METADATA_VERSION { format!(" ({release})") } else { String::new() });
    }
}

/// Prints what one level of a feature needs of another.
pub fn print_need(name: &str, level: i16, known_as: Option<&str>, needed: Option<(&str, i16, &str)>) {
    let needs: Vec<Value> = needed.iter().map(|(other, level, _)| json!({"feature": other, "level": level})).collect();
    if output::as_objects(|| vec![json!({"feature": name, "level": level, "requires": needs})]) {
        return;
    }
    let known_as = known_as.map(|known| format!(" ({known})")).unwrap_or_default();
    match needed {
        Some((other, least, release)) => {
            println!("{name}={level}{known_as} requires:\n    {other}={least} ({release})")
        }
        None => println!("{name}={level}{known_as} has no dependencies."),
    }
}

/// Prints what a level needs (`feature-dependencies`).
///
/// # Errors
/// A feature or level that is not known.
pub fn print_dependencies(name: &str, level: i16) -> Result<(), String> {
    if name == METADATA_VERSION {
        let known = metadata_name(level).ok_or_else(|| format!("Unknown metadata.version {level}"))?;
        print_need(name, level, Some(known), None);
        return Ok(());
    }
    let (_, levels) =
        FEATURES.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("Unknown feature: {name}"))?;
    if !(0..=levels.len() as i16).contains(&level) {
        return Err(format!("No feature:{name} with feature level {level}"));
    }
    print_need(name, level, None, need_of(name, level));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_its_parts() {
        assert_eq!(
            ["3.7", "3.7.2", "3.7-IV1", "4.3.1"].map(|release| metadata_level(release).ok()),
            [Some(19), Some(19), Some(16), Some(30)]
        );
        assert!(
            metadata_level("2.8")
                .unwrap_err()
                .starts_with("Unknown metadata.version '2.8'. Supported metadata.version are: 3.3-IV3, ")
        );
    }

    #[test]
    fn levels_grow_with_the_metadata() {
        let at = |level| defaults(level).map(|(_, level)| level).collect::<Vec<_>>();
        assert_eq!(at(20), [0, 0, 0, 0, 0, 0]);
        assert_eq!(at(24), [1, 2, 1, 0, 0, 0]);
        assert_eq!(at(METADATA_LEVEL), [1, 2, 1, 1, 1, 1]);
    }
}
