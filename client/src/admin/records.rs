//! Records of partitions: delete what lies before an offset.
//!
//! Called by `kafka-delete-records`. Each leader is asked once for its partitions.

use std::collections::BTreeMap;

use millstream_protocol::messages::DeleteRecordsRequest;
use millstream_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::ask::Speaker;
use super::rounds::Answers;
use super::{Admin, TIMEOUT_MS, TopicPartition, by_topic};
use crate::error::ClientError;
use crate::metadata::topic_name;

impl Admin {
    /// Deletes the records before each offset, all of them for -1; the answer of each partition is its new first
    /// offset.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64, ClientError>>, ClientError> {
        let round = |places| {
            self.at_leaders(places, move |connection, places: Vec<TopicPartition>| async move {
                let partition = |at: &TopicPartition| {
                    let offset = before.get(at).copied().unwrap_or_default();
                    DeleteRecordsPartition::default().with_partition_index(at.partition).with_offset(offset)
                };
                let topics = by_topic(places.iter().map(|at| (at, partition(at)))).into_iter();
                let topics = topics
                    .map(|(name, p)| DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(p));
                let request = DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(TIMEOUT_MS);
                let (response, from) = (connection.call(&request).await?, Speaker::of(&connection));
                let mut answers = Answers::new();
                for topic in response.topics {
                    for own in topic.partitions {
                        let at = TopicPartition::new(&topic.name.0, own.partition_index);
                        let answer = from.says_of(&at, own.error_code, None).map(|()| own.low_watermark);
                        answers.push((at, answer.into()));
                    }
                }
                Ok(answers)
            })
        };
        self.settle("deleting records of", before.keys().cloned(), round).await
    }
}
