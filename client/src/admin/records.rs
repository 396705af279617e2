//! Records of partitions: delete what lies before an offset.
//!
//! Called by `kafka-delete-records`. Each leader is asked once for its partitions.

use std::collections::BTreeMap;

use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::DeleteRecordsRequest;
use millstream_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::ask::To;
use super::{Admin, TIMEOUT_MS, TopicPartition};
use crate::error::{ClientError, check};
use crate::metadata::topic_name;

impl Admin {
    /// Deletes the records before each offset, all of them for -1; the answer of each partition is its new first
    /// offset.
    ///
    /// # Errors
    /// When a leader cannot be reached.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64, ClientError>>, ClientError> {
        let mut names: Vec<String> = before.keys().map(|at| at.topic.clone()).collect();
        names.dedup();
        self.metadata(Some(&names)).await?;
        let mut results = BTreeMap::new();
        let mut asked: BTreeMap<i32, BTreeMap<&str, Vec<DeleteRecordsPartition>>> = BTreeMap::new();
        for (at, offset) in before {
            let Some(leader) = self.cluster.known_topic(&at.topic).and_then(|view| view.leader(at.partition)) else {
                results.insert(at.clone(), check(ErrorCode::UnknownTopicOrPartition.code(), None).map(|()| -1));
                continue;
            };
            let partition = DeleteRecordsPartition::default().with_partition_index(at.partition).with_offset(*offset);
            asked.entry(leader.broker).or_default().entry(&at.topic).or_default().push(partition);
        }
        for (leader, topics) in asked {
            let topics = topics.into_iter();
            let topics = topics.map(|(name, p)| DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(p));
            let request = DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(TIMEOUT_MS);
            let response = self.ask(To::Known(leader), &request, |_| Ok(())).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let at = TopicPartition::new(&topic.name.0, partition.partition_index);
                    results.insert(at, check(partition.error_code, None).map(|()| partition.low_watermark));
                }
            }
        }
        Ok(results)
    }
}
