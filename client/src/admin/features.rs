//! Feature levels: what brokers support and what the cluster has finalised (KIP-584, KIP-1022).
//!
//! Called by `kafka-features`.

use std::collections::BTreeMap;

use millstream_protocol::messages::update_features_request::FeatureUpdateKey;
use millstream_protocol::messages::{ApiVersionsRequest, StrBytes, UpdateFeaturesRequest};

use super::ask::To;
use super::{Admin, TIMEOUT_MS};
use crate::error::{ClientError, check};
use crate::metadata::text;

/// Lowest and highest level of a feature.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::FeatureRange;
///
///
/// let supported = admin.describe_features(None).await?.supported;
/// if let Some(FeatureRange { min, max }) = supported.get("transaction.version") {
///     println!("transaction.version from {min} to {max}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// The lowest.
    pub min: i16,
    /// The highest; of what is finalised, the level that holds.
    pub max: i16,
}

/// Levels by feature (Java: `FeatureMetadata`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::FeatureLevels;
///
///
/// let FeatureLevels { finalized, finalized_epoch, .. } = admin.describe_features(None).await?;
/// println!("{finalized:?} since epoch {finalized_epoch:?}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureLevels {
    /// What the broker that answered supports.
    pub supported: BTreeMap<String, FeatureRange>,
    /// What the cluster has agreed on.
    pub finalized: BTreeMap<String, FeatureRange>,
    /// Grows with every change; None before the first.
    pub finalized_epoch: Option<i64>,
}

/// Which way a level may move (Java: `FeatureUpdate.UpgradeType`); the number is the protocol's.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::{Change, FeatureUpdate, UpgradeType};
///
/// let back = FeatureUpdate { level: 1, kind: UpgradeType::SafeDowngrade };
/// let updates = BTreeMap::from([("transaction.version".to_owned(), back)]);
/// println!("{:?}", admin.update_features(&updates, Change::OnlyValidated).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum UpgradeType {
    /// Up.
    Upgrade = 1,
    /// Down, where nothing is lost by it.
    SafeDowngrade = 2,
    /// Down, whatever is lost.
    UnsafeDowngrade = 3,
}

/// A level to set; 0 takes the feature back.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::{Change, FeatureUpdate, UpgradeType};
///
/// let newer = FeatureUpdate { level: 2, kind: UpgradeType::Upgrade };
/// let updates = BTreeMap::from([("transaction.version".to_owned(), newer)]);
/// println!("{:?}", admin.update_features(&updates, Change::Made).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The level.
    pub level: i16,
    /// Which way it may move.
    pub kind: UpgradeType,
}

/// Whether a change is made or only judged.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::{Change, QuotaEntity};
///
/// let alice = QuotaEntity::from([("user".to_owned(), Some("alice".to_owned()))]);
/// let slower = BTreeMap::from([(alice, vec![("producer_byte_rate".to_owned(), Some(1e6))])]);
/// for change in [Change::OnlyValidated, Change::Made] {
///     println!("{:?}", admin.alter_client_quotas(&slower, change).await?);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Made,
    /// It is judged as if it were (`--dry-run`, `validateOnly`).
    OnlyValidated,
}

impl Admin {
    /// Feature levels as `broker`, or any broker for None, knows them.
    ///
    /// # Errors
    /// The broker's.
    pub async fn describe_features(&self, broker: Option<i32>) -> Result<FeatureLevels, ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("millstream"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let to = broker.map_or(To::Any, To::Broker);
        let (response, _) = self.ask(to, &request, |response| check(response.error_code, None)).await?;
        let supported = response.supported_features.iter();
        let finalized = response.finalized_features.iter();
        Ok(FeatureLevels {
            supported: supported
                .map(|key| (key.name.to_string(), FeatureRange { min: key.min_version, max: key.max_version }))
                .collect(),
            finalized: finalized
                .map(|key| {
                    (key.name.to_string(), FeatureRange { min: key.min_version_level, max: key.max_version_level })
                })
                .collect(),
            finalized_epoch: Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0),
        })
    }

    /// Sets feature levels; the answer of each stands beside its name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn update_features(
        &self,
        updates: &BTreeMap<String, FeatureUpdate>,
        change: Change,
    ) -> Result<BTreeMap<String, Result<(), ClientError>>, ClientError> {
        let wanted = updates.iter().map(|(name, update)| {
            FeatureUpdateKey::default()
                .with_feature(text(name))
                .with_max_version_level(update.level)
                .with_upgrade_type(update.kind as i8)
        });
        let request = UpdateFeaturesRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_feature_updates(wanted.collect())
            .with_validate_only(change == Change::OnlyValidated);
        let retriable = |response: &millstream_protocol::messages::UpdateFeaturesResponse| {
            check(response.error_code, response.error_message.as_deref()).or_else(super::only_retriable)
        };
        let (response, from) = self.ask(To::Any, &request, retriable).await?;
        // From version 2 on only the whole is judged: either all were changed or none.
        let whole = |name: &String| {
            from.says(format_args!("feature {name}"), response.error_code, response.error_message.as_deref())
        };
        let mut results: BTreeMap<_, _> = updates.keys().map(|name| (name.clone(), whole(name))).collect();
        if response.error_code == 0 {
            for own in &response.results {
                let about = format_args!("feature {}", &*own.feature);
                results.insert(own.feature.to_string(), from.says(about, own.error_code, own.error_message.as_deref()));
            }
        }
        Ok(results)
    }
}
