//! Quotas of users, client ids and addresses (KIP-546).
//!
//! Called by `kafka-configs`.

use std::collections::BTreeMap;

use millstream_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use millstream_protocol::messages::describe_client_quotas_request::ComponentData;
use millstream_protocol::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::Admin;
use super::ask::To;
use super::features::Change;
use crate::error::{ClientError, check};
use crate::metadata::text;

/// Whom a quota is for: "user", "client-id", "ip" and the name of each, None for what holds where no name is set.
///
/// ```
/// use client::admin::QuotaEntity;
///
/// // Every user that has no quota of its own.
/// let others = QuotaEntity::from([("user".to_owned(), None)]);
/// assert_eq!(others["user"], None);
/// ```
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// What an entity's part must be (Java: `ClientQuotaFilterComponent`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::{QuotaFilter, QuotaMatch};
///
/// let components = BTreeMap::from([("user".to_owned(), QuotaMatch::Any)]);
/// let of_users = admin.describe_client_quotas(&QuotaFilter { components, only_these: true }).await?;
/// println!("{of_users:?}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// This name.
    Exact(String),
    /// The default.
    Default,
    /// Any name or the default.
    Any,
}

/// Which quotas are meant: a match per entity type.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
///
/// use client::admin::QuotaFilter;
///
/// let all = QuotaFilter { components: BTreeMap::new(), only_these: false };
/// println!("{:?}", admin.describe_client_quotas(&all).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter {
    /// By entity type.
    pub components: BTreeMap<String, QuotaMatch>,
    /// Leave out entities that have other parts as well.
    pub only_these: bool,
}

/// A quota to set, or with None to take back.
///
/// ```
/// use client::admin::QuotaChange;
///
/// let bound: QuotaChange = ("consumer_byte_rate".to_owned(), Some(1_048_576.0));
/// let unbound: QuotaChange = (bound.0.clone(), None);
/// assert!(bound.1 > unbound.1);
/// ```
pub type QuotaChange = (String, Option<f64>);

impl Admin {
    /// The quotas that a filter matches, by entity and key.
    ///
    /// # Errors
    /// The broker's.
    pub async fn describe_client_quotas(
        &self,
        filter: &QuotaFilter,
    ) -> Result<BTreeMap<QuotaEntity, BTreeMap<String, f64>>, ClientError> {
        // DescribeClientQuotasRequest: MATCH_TYPE_EXACT, _DEFAULT and _SPECIFIED.
        let component = |(kind, wanted): (&String, &QuotaMatch)| {
            let component = ComponentData::default().with_entity_type(text(kind));
            match wanted {
                QuotaMatch::Exact(name) => component.with_match_type(0).with_match(Some(text(name))),
                QuotaMatch::Default => component.with_match_type(1).with_match(None),
                QuotaMatch::Any => component.with_match_type(2).with_match(None),
            }
        };
        let request = DescribeClientQuotasRequest::default()
            .with_components(filter.components.iter().map(component).collect())
            .with_strict(filter.only_these);
        let judge =
            |response: &DescribeClientQuotasResponse| check(response.error_code, response.error_message.as_deref());
        let (response, _) = self.ask(To::Any, &request, judge).await?;
        let entries = response.entries.unwrap_or_default().into_iter().map(|entry| {
            let entity = entry.entity.into_iter();
            let entity =
                entity.map(|part| (part.entity_type.to_string(), part.entity_name.map(|name| name.to_string())));
            let values = entry.values.into_iter().map(|value| (value.key.to_string(), value.value));
            (entity.collect(), values.collect())
        });
        Ok(entries.collect())
    }

    /// Sets and takes back quotas; the answer of each entity stands beside it.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn alter_client_quotas(
        &self,
        changes: &BTreeMap<QuotaEntity, Vec<QuotaChange>>,
        change: Change,
    ) -> Result<BTreeMap<QuotaEntity, Result<(), ClientError>>, ClientError> {
        let part = |(kind, name): (&String, &Option<String>)| {
            EntityData::default().with_entity_type(text(kind)).with_entity_name(name.as_deref().map(text))
        };
        let set = |(key, value): &QuotaChange| {
            OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none())
        };
        let entry = |(entity, changes): (&QuotaEntity, &Vec<QuotaChange>)| {
            let entry = EntryData::default().with_entity(entity.iter().map(part).collect());
            entry.with_ops(changes.iter().map(set).collect())
        };
        let request = AlterClientQuotasRequest::default()
            .with_entries(changes.iter().map(entry).collect())
            .with_validate_only(change == Change::OnlyValidated);
        let (response, from) = self.ask(To::Any, &request, |_| Ok(())).await?;
        let entries = response.entries.into_iter().map(|entry| {
            let entity = entry.entity.into_iter();
            let entity =
                entity.map(|part| (part.entity_type.to_string(), part.entity_name.map(|name| name.to_string())));
            let entity: QuotaEntity = entity.collect();
            let verdict = from.says(named(&entity), entry.error_code, entry.error_message.as_deref());
            (entity, verdict)
        });
        Ok(from.each(changes.keys().cloned(), entries, named))
    }
}

fn named(entity: &QuotaEntity) -> String {
    format!("the quota of {entity:?}")
}
