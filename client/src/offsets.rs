//! Offsets of partitions (first, end, by time) as one leader tells them (Java: `OffsetFetcherUtils`).
//!
//! Called by the consumer and by admin, which find the leaders and try again. Never does either.

use millstream_protocol::messages::ListOffsetsRequest;
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use crate::config::Isolation;
use crate::connection::Connection;
use crate::error::{ClientError, of_partition};
use crate::metadata::topic_name;
use crate::{TopicPartition, by_topic};

/// `ListOffsetsRequest.LATEST_TIMESTAMP`.
pub(crate) const LATEST: i64 = -1;
/// `ListOffsetsRequest.EARLIEST_TIMESTAMP`.
pub(crate) const EARLIEST: i64 = -2;

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// Milliseconds since the Unix epoch, or one of the protocol's negative numbers.
    pub time: i64,
    /// Of the leader as it is known, -1 where it is not.
    pub leader_epoch: i32,
}

/// An answer for a partition; offset -1 where no record is as late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
}

/// What each partition's leader said.
pub(crate) type Answers = Vec<(TopicPartition, Result<Listed, ClientError>)>;

/// Asks the leader at the other end of `connection`, once.
///
/// # Errors
/// When no answer comes. What it says of a partition stands beside it.
pub(crate) async fn list<'a>(
    connection: &Connection,
    wanted: impl IntoIterator<Item = (&'a TopicPartition, At)>,
    isolation: Isolation,
) -> Result<Answers, ClientError> {
    let partition = |place: &TopicPartition, at: At| {
        ListOffsetsPartition::default()
            .with_partition_index(place.partition)
            .with_timestamp(at.time)
            .with_current_leader_epoch(at.leader_epoch)
    };
    let topics = by_topic(wanted.into_iter().map(|(place, at)| (place, partition(place, at))));
    let topic =
        |(name, partitions)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(isolation == Isolation::ReadCommitted))
        .with_topics(topics.into_iter().map(topic).collect());
    let mut answers = Answers::new();
    for topic in connection.call(&request).await?.topics {
        for own in topic.partitions {
            let place = TopicPartition::new(&topic.name.0, own.partition_index);
            let listed = Listed { offset: own.offset, timestamp: own.timestamp, leader_epoch: own.leader_epoch };
            let answer = match own.error_code {
                0 => Ok(listed),
                code => Err(of_partition(&place.topic, place.partition, code, None).at(connection.address())),
            };
            answers.push((place, answer));
        }
    }
    Ok(answers)
}
