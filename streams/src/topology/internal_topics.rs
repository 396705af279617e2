//! The topics that an application makes for itself, with the settings that Kafka Streams gives them.
//! Called by the runtime before the first assignment, and by tests. Never speaks to a broker.

use std::collections::BTreeMap;

use super::Topology;
use super::store::{Changelog, Duplicates, Store, StoreKind};

/// `windowstore.changelog.additional.retention.ms`, and what a versioned store's compaction waits beyond its history.
const DAY_MS: i64 = 86_400_000;

/// A topic to be made, and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalTopic {
    /// The whole name.
    pub name: String,
    /// Its settings by Kafka's names.
    pub config: BTreeMap<String, String>,
    /// A fixed number of partitions, where the user gave one.
    pub partitions: Option<u32>,
}

impl Topology {
    /// The internal topics of the application `id`, by name; a source topic that serves as changelog is not one.
    pub fn internal_topics(&self, id: &str) -> Vec<InternalTopic> {
        let mut topics: Vec<InternalTopic> = Vec::new();
        for topic in self.repartition_topics() {
            let read = self.nodes().iter().any(|node| reads(node, &topic.name));
            if read {
                let name = format!("{id}-{}", topic.name);
                topics.push(InternalTopic { name, config: repartition_config(), partitions: topic.partitions });
            }
        }
        for store in self.stores() {
            if let (Changelog::Own(over), false) = (&store.changelog, store.processors.is_empty()) {
                let mut config = changelog_config(store);
                config.extend(over.clone());
                topics.push(InternalTopic { name: format!("{id}-{}-changelog", store.name), config, partitions: None });
            }
        }
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        topics
    }
}

fn reads(node: &super::Node, topic: &str) -> bool {
    match &node.kind {
        super::NodeKind::Source { topics: super::SourceTopics::Names(names), .. } => {
            names.iter().any(|name| name == topic)
        }
        _ => false,
    }
}

fn settings(pairs: &[(&str, String)]) -> BTreeMap<String, String> {
    let mut config: BTreeMap<String, String> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    config.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
    config
}

/// RepartitionTopicConfig: records stay until the application deletes what it has consumed.
fn repartition_config() -> BTreeMap<String, String> {
    settings(&[
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("segment.bytes", "52428800".to_owned()),
    ])
}

/// UnwindowedUnversionedChangelogTopicConfig, WindowedChangelogTopicConfig and VersionedChangelogTopicConfig.
fn changelog_config(store: &Store) -> BTreeMap<String, String> {
    let windowed = |policy: &str, retention_ms: i64| {
        let kept = retention_ms.saturating_add(DAY_MS).to_string();
        settings(&[("cleanup.policy", policy.to_owned()), ("retention.ms", kept)])
    };
    match &store.kind {
        StoreKind::Window { retention_ms, duplicates: Duplicates::Kept, .. } => windowed("delete", *retention_ms),
        StoreKind::Window { retention_ms, .. } | StoreKind::Session { retention_ms } => {
            windowed("compact,delete", *retention_ms)
        }
        StoreKind::Versioned { history_ms, .. } => {
            let lag = history_ms.saturating_add(DAY_MS).to_string();
            settings(&[("cleanup.policy", "compact".to_owned()), ("min.compaction.lag.ms", lag)])
        }
        StoreKind::KeyValue | StoreKind::Buffer | StoreKind::OuterJoin | StoreKind::Subscriptions => {
            settings(&[("cleanup.policy", "compact".to_owned())])
        }
    }
}
