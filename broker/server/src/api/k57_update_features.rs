//! UpdateFeatures (key 57), v0-v2. Raises or lowers finalised feature levels.
//! Versions: v1 upgrade types and validate-only (KIP-778); v2 no answers per feature (KIP-1022).
//! Authorizes: Alter on Cluster (all allowed).   Waits: until the levels are on disk.

use std::time::Duration;

use millstream_broker_controller::Controller;
use millstream_broker_controller::request::{FeatureUpdate, Mode, UpgradeType};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::update_features_response::UpdatableFeatureResult;
use millstream_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::api::view::text;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 2);

/// The request's timeout is not looked at (Java: `ControllerApis.handleUpdateFeatures`).
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// Handles the request.
pub fn handle(context: &Context, request: UpdateFeaturesRequest) -> Outcome<UpdateFeaturesResponse> {
    let (node, version) = (context.node.clone(), context.version());
    Outcome::later(async move { answer(&node.controller, version, request).await })
}

/// Carries the request out.
pub async fn answer(controller: &Controller, version: i16, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let updates: Vec<FeatureUpdate> = request
        .feature_updates
        .iter()
        .map(|update| FeatureUpdate {
            feature: update.feature.to_string(),
            level: update.max_version_level,
            upgrade_type: upgrade_type(update.upgrade_type),
        })
        .collect();
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Execute };
    match controller.update_features(updates, mode, NO_DEADLINE).await {
        Ok(()) => {
            let shown = request.feature_updates.iter().filter(|_| version <= 1);
            let results = shown.map(|update| {
                UpdatableFeatureResult::default()
                    .with_feature(update.feature.clone())
                    // Java's text of no error.
                    .with_error_message(Some(text(ErrorCode::None.name())))
            });
            UpdateFeaturesResponse::default().with_error_message(None).with_results(results.collect())
        }
        Err(refusal) => {
            let message = format!(
                "The update failed for all features since the following feature had an error: {}",
                refusal.message.unwrap_or_default()
            );
            UpdateFeaturesResponse::default()
                .with_error_code(refusal.code as i16)
                .with_error_message(Some(text(&message)))
        }
    }
}

/// Java: `FeatureUpdate.UpgradeType`. v0 has no such field; its default, an upgrade, holds.
fn upgrade_type(number: i8) -> UpgradeType {
    match number {
        1 => UpgradeType::Upgrade,
        2 => UpgradeType::SafeDowngrade,
        3 => UpgradeType::UnsafeDowngrade,
        _ => UpgradeType::Unknown,
    }
}
