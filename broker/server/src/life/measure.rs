//! What is only looked at when somebody asks for /metrics: sizes and offsets of logs, groups and their lag, counts of
//! partitions, connections and cluster metadata.
//!
//! Registered once by start.rs; runs in the scrape.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use millstream_base_metrics::Samples;

use crate::coord::internal_topics;
use crate::coord::shard::Phase;
use crate::node::Node;

/// Measures `node` at each scrape, until it is gone.
pub fn observe(node: &Arc<Node>) {
    let registry = node.partitions.metrics().registry();
    millstream_base_metrics::process::observe(registry);
    let node: Weak<Node> = Arc::downgrade(node);
    registry.collect(move |samples| {
        if let Some(node) = node.upgrade() {
            measure_logs(&node, samples);
            measure_groups(&node, samples);
            measure_coordinators(&node, samples);
            measure_cluster(&node, samples);
        }
    });
}

fn measure_logs(node: &Node, samples: &mut Samples) {
    let (mut led, mut under_replicated, mut under_min_isr, mut offline) = (0, 0, 0, 0);
    let partitions = node.partitions.all();
    let offline_dirs: Vec<_> = node.partitions.dirs().iter().filter(|dir| dir.is_offline()).collect();
    for partition in &partitions {
        let role = partition.role();
        if role.leader == node.id() {
            led += 1;
            under_replicated += usize::from(role.isr.len() < role.replicas.len());
            under_min_isr += usize::from(partition.is_under_min_isr());
        }
        let log = partition.log();
        offline += usize::from(offline_dirs.iter().any(|dir| log.folder().starts_with(dir.path())));
        let offsets = partition.offsets();
        let index = partition.index().to_string();
        let labels = [&**partition.topic(), index.as_str()];
        samples.gauge("broker_log_size_bytes", &labels, log.size_bytes() as f64);
        samples.gauge("broker_log_start_offset", &labels, offsets.log_start as f64);
        samples.gauge("broker_log_end_offset", &labels, offsets.log_end as f64);
        samples.gauge("broker_log_segments", &labels, log.segment_count() as f64);
    }
    samples.gauge("broker_partitions", &[], partitions.len() as f64);
    samples.gauge("broker_partitions_led", &[], f64::from(led));
    samples.gauge("broker_partitions_under_replicated", &[], under_replicated as f64);
    samples.gauge("broker_partitions_under_min_isr", &[], under_min_isr as f64);
    samples.gauge("broker_partitions_offline", &[], offline as f64);
    samples.gauge("broker_log_directories_offline", &[], offline_dirs.len() as f64);
}

fn measure_groups(node: &Node, samples: &mut Samples) {
    let mut states: BTreeMap<&'static str, usize> = BTreeMap::new();
    for shard in node.coordinators.groups.shards().all() {
        // The copy is short; watermarks are read once the shard is free again.
        let offsets = shard.view(|groups| {
            for group in groups.groups() {
                *states.entry(group.state().name()).or_default() += 1;
                samples.gauge("broker_group_members", &[&group.id], group.members.len() as f64);
            }
            let copied = |(group, topic, index, offset): (&str, &str, i32, i64)| {
                (group.to_owned(), topic.to_owned(), index, offset)
            };
            groups.offsets().all().map(copied).collect::<Vec<_>>()
        });
        for (group, topic, index, offset) in offsets.unwrap_or_default() {
            let shown = index.to_string();
            let labels = [group.as_str(), topic.as_str(), shown.as_str()];
            samples.gauge("broker_group_offset", &labels, offset as f64);
            if let Some(partition) = node.partitions.partition(&topic, index) {
                let lag = (partition.offsets().high_watermark - offset).max(0);
                samples.gauge("broker_group_lag_records", &labels, lag as f64);
            }
        }
    }
    for (state, count) in states {
        samples.gauge("broker_groups", &[state], count as f64);
    }
}

fn measure_coordinators(node: &Node, samples: &mut Samples) {
    const STATES: [(&str, Phase); 3] =
        [("loading", Phase::Loading), ("failed", Phase::Failed), ("active", Phase::Active)];
    let phases = STATES.map(|(_, phase)| phase);
    for (topic, counts) in [
        (internal_topics::OFFSETS, node.coordinators.groups.shards().count(phases)),
        (internal_topics::TRANSACTIONS, node.coordinators.txns.shards().count(phases)),
    ] {
        for ((state, _), count) in STATES.iter().zip(counts) {
            samples.gauge("broker_coordinator_partitions", &[topic, state], count as f64);
        }
    }
}

fn measure_cluster(node: &Node, samples: &mut Samples) {
    let image = node.controller.image();
    let partitions: usize = image.topics().map(|topic| topic.partitions.len()).sum();
    let active = image.brokers().values().filter(|broker| !broker.fenced).count();
    samples.gauge("broker_topics", &[], image.topic_count() as f64);
    samples.gauge("broker_cluster_partitions", &[], partitions as f64);
    samples.gauge("broker_active_brokers", &[], active as f64);
    samples.gauge("broker_active_controller", &[], f64::from(u8::from(image.controller_id() == node.id())));
    samples.gauge("broker_connections", &[], node.counts.connections.load(Ordering::Relaxed) as f64);
}
