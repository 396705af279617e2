//! Records and bytes of the topics that a task reads and writes (Java: `TopicMetrics`): those of records that a source's
//! queue let go, and of records that were given to the producer by a sink. Changelogs are none of them, as in Java.
//! Bytes are Java's `ClientUtils.recordSizeInBytes`: key, value, headers, the topic's name, and 20 for time, offset and
//! partition.
//!
//! Not done: dead letters; a record is counted when it is sent, not when it is acknowledged.

use client::metrics::{Metric, Tags, told};

use super::TOPIC;
use crate::task::tally::{TopicTally, Way};

pub(super) struct OfTopic {
    node: String,
    topic: String,
    way: Way,
    records: f64,
    bytes: f64,
}

impl OfTopic {
    pub fn new(tally: &TopicTally) -> OfTopic {
        let (node, topic) = (tally.node.to_string(), tally.topic.to_string());
        OfTopic { node, topic, way: tally.way, records: 0.0, bytes: 0.0 }
    }

    pub fn note(&mut self, tally: &TopicTally) {
        self.records += tally.records.take() as f64;
        self.bytes += tally.bytes.take() as f64;
    }

    pub fn tell(&self, tags: &Tags, all: &mut Vec<Metric>) {
        let mut tags = tags.clone();
        tags.insert("processor-node-id", self.node.clone());
        tags.insert("topic", self.topic.clone());
        let (bytes, records) = match self.way {
            Way::Consumed => ("bytes-consumed-total", "records-consumed-total"),
            Way::Produced => ("bytes-produced-total", "records-produced-total"),
        };
        all.append(&mut told(TOPIC, &tags, &[(bytes, self.bytes), (records, self.records)]));
    }
}
