//! UpdateFeatures (Java: `FeatureControlManager`), and the features of a new cluster.
//!
//! Not done: group.version, share.version, streams.version, eligible.leader.replicas.version and kraft.version;
//! this node supports level 0 of them only.

use std::collections::BTreeMap;

use crate::image::Image;
use crate::record::MetadataRecord;
use crate::refusal::Refusal;
use crate::request::{FeatureUpdate, UpgradeType};
use millstream_protocol::error_code::ErrorCode;

/// The feature that names the format of the metadata.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that turns on the second transaction protocol (KIP-890).
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// A feature that this node supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// What ApiVersions lists. metadata.version: 7 is 3.3-IV3, 30 is 4.3-IV0.
pub const SUPPORTED: [SupportedFeature; 2] = [
    SupportedFeature { name: METADATA_VERSION, min: 7, max: 30 },
    SupportedFeature { name: TRANSACTION_VERSION, min: 0, max: 2 },
];

/// The levels that a new cluster starts with.
pub(crate) fn initial() -> impl Iterator<Item = MetadataRecord> {
    SUPPORTED.iter().map(|feature| MetadataRecord::FeatureLevel { name: feature.name.to_owned(), level: feature.max })
}

/// Levels of metadata.version at which the format of records changed (Java: `MetadataVersion.didMetadataChange`).
const METADATA_CHANGED: [i16; 9] = [7, 8, 11, 13, 14, 15, 17, 23, 30];

/// Decides on all updates together: the first that is refused refuses them all.
///
/// # Errors
/// INVALID_UPDATE_VERSION with Apache's message.
pub(crate) fn update_features(
    image: &Image,
    node_id: i32,
    updates: &[FeatureUpdate],
) -> Result<Vec<MetadataRecord>, Refusal> {
    updates.iter().map(|update| update_feature(image.features(), node_id, update)).collect()
}

fn update_feature(
    finalized: &BTreeMap<String, i16>,
    node_id: i32,
    update: &FeatureUpdate,
) -> Result<MetadataRecord, Refusal> {
    let name = update.feature.as_str();
    let level = update.level;
    let invalid = |reason: String| {
        let message = format!("Invalid update version {level} for feature {name}. {reason}");
        Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message))
    };
    let current = finalized.get(name).copied().unwrap_or(0);
    if update.upgrade_type == UpgradeType::Unknown {
        return invalid("The controller does not support the given upgrade type.".to_owned());
    }
    if level < 0 {
        return invalid("A feature version cannot be less than 0.".to_owned());
    }
    if let Some(reason) = reason_unsupported(node_id, name, level) {
        return invalid(reason);
    }
    if level < current && update.upgrade_type == UpgradeType::Upgrade {
        return invalid(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
             unsafe downgrade."
                .to_owned(),
        );
    }
    if level > current && update.upgrade_type != UpgradeType::Upgrade {
        return invalid("Can't downgrade to a newer version.".to_owned());
    }
    let changed = METADATA_CHANGED.iter().any(|at| level < *at && *at <= current);
    if name == METADATA_VERSION && changed {
        let reason = match update.upgrade_type {
            UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
            _ => "Refusing to perform the requested downgrade because it might delete metadata information.",
        };
        let message = format!("Unsupported metadata.version downgrade from {current} to {level}. {reason}");
        return Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message));
    }
    Ok(MetadataRecord::FeatureLevel { name: name.to_owned(), level })
}

fn reason_unsupported(node_id: i32, name: &str, level: i16) -> Option<String> {
    let what = format!("Local controller {node_id}");
    match SUPPORTED.iter().find(|feature| feature.name == name) {
        // Level 0 is what an unknown feature is at; Java finds out only when it looks at dependencies.
        None if level == 0 => Some(format!("Feature {name} not found.")),
        None => Some(format!("{what} does not support this feature.")),
        Some(feature) if (feature.min..=feature.max).contains(&level) => None,
        Some(feature) => Some(format!("{what} only supports versions {}-{}", feature.min, feature.max)),
    }
}

#[cfg(test)]
mod tests;
