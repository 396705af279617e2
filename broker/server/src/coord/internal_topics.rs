//! The topics that coordinators keep their state in, and how they come to be: a client that asks for a coordinator
//! makes its topic, as Apache's `DefaultAutoTopicCreationManager` does.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use millstream_base_config::BrokerConfig;
use millstream_base_env::task;
use millstream_broker_controller::request::{Mode, NewTopic};
use parking_lot::Mutex;

use crate::node::Node;

/// Offsets and groups.
pub const OFFSETS: &str = "__consumer_offsets";
/// Transactions.
pub const TRANSACTIONS: &str = "__transaction_state";
/// Share groups (the topic is protected even where they are not served).
pub const SHARE_STATE: &str = "__share_group_state";

/// Whether clients may not write to the topic (Java: `Topic.isInternal`).
pub fn is_internal(topic: &str) -> bool {
    matches!(topic, OFFSETS | TRANSACTIONS | SHARE_STATE)
}

/// Which of the topics are being made right now.
#[derive(Default)]
pub struct InternalTopics {
    under_way: Mutex<HashSet<&'static str>>,
}

impl InternalTopics {
    /// Has `topic` made, unless that is under way. Whoever asked is told to come back.
    pub fn make(&self, node: &Arc<Node>, topic: &'static str) {
        if !self.under_way.lock().insert(topic) {
            return;
        }
        let node = node.clone();
        task::spawn("make internal topic", async move {
            let new = new_topic(topic, &node.config);
            let timeout = Duration::from_millis(node.config.number("request.timeout.ms").max(0) as u64);
            let outcome = node.controller.create_topics(vec![new], Mode::Execute, timeout).await;
            let refusal = match outcome {
                Ok(topics) => topics.into_iter().find_map(Result::err),
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                tracing::warn!(topic, ?refusal, "an internal topic could not be made");
            }
            node.coordinators.internal_topics.under_way.lock().remove(topic);
        });
    }
}

/// The topic with the configuration that Apache gives it.
pub fn new_topic(topic: &'static str, config: &BrokerConfig) -> NewTopic {
    let number = |key| config.number(key);
    match topic {
        TRANSACTIONS => NewTopic::new(
            topic,
            number("transaction.state.log.num.partitions") as i32,
            number("transaction.state.log.replication.factor") as i16,
        )
        .config("unclean.leader.election.enable", "false")
        .config("compression.type", "uncompressed")
        .config("cleanup.policy", "compact")
        .config("min.insync.replicas", number("transaction.state.log.min.isr").to_string())
        .config("segment.bytes", number("transaction.state.log.segment.bytes").to_string()),
        _ => NewTopic::new(
            topic,
            number("offsets.topic.num.partitions") as i32,
            number("offsets.topic.replication.factor") as i16,
        )
        .config("cleanup.policy", "compact")
        .config("compression.type", "producer")
        .config("segment.bytes", number("offsets.topic.segment.bytes").to_string()),
    }
}
