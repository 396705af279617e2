//! What a group committed, as messages carry it.
//!
//! Shared by members (`consumer/coordinator.rs`), transactional producers and admin. Never sends anything.

use millstream_protocol::messages::GroupId;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;

use crate::consumer::{OffsetAndMetadata, Offsets};
use crate::error::{ClientError, of_partition};
use crate::metadata::{text, topic_name};
use crate::{TopicPartition, by_topic};

/// OffsetCommit and OffsetFetch 10 name topics by id; up to 9 they go by name.
pub(crate) const BY_NAME: i16 = 9;

/// The topics of an OffsetCommit.
pub(crate) fn to_commit(offsets: &Offsets) -> Vec<OffsetCommitRequestTopic> {
    let partition = |(place, offset): (&TopicPartition, &OffsetAndMetadata)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(place.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_committed_metadata(Some(text(&offset.metadata)))
    };
    let topics = by_topic(offsets.iter().map(|own| (own.0, partition(own)))).into_iter();
    topics.map(|(name, p)| OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(p)).collect()
}

/// One group of an OffsetFetch; of all its partitions for None.
pub(crate) fn to_fetch(group: &str, places: Option<&[TopicPartition]>) -> OffsetFetchRequestGroup {
    let topics = places.map(|places| {
        let topics = by_topic(places.iter().map(|place| (place, place.partition))).into_iter();
        topics
            .map(|(name, p)| OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(p))
            .collect()
    });
    OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(topics)
}

/// What is known of each partition; None where nothing was committed.
pub(crate) type Fetched = Vec<(TopicPartition, Result<Option<OffsetAndMetadata>, ClientError>)>;

/// What an OffsetFetch said of one group.
pub(crate) fn fetched(group: OffsetFetchResponseGroup) -> Fetched {
    let mut all = Fetched::new();
    for topic in group.topics {
        for own in topic.partitions {
            let place = TopicPartition::new(&topic.name.0, own.partition_index);
            let committed = || OffsetAndMetadata {
                offset: own.committed_offset,
                leader_epoch: own.committed_leader_epoch,
                metadata: own.metadata.as_deref().unwrap_or_default().to_owned(),
            };
            let answer = match own.error_code {
                0 => Ok((own.committed_offset >= 0).then(committed)),
                code => Err(of_partition(&place.topic, place.partition, code, None)),
            };
            all.push((place, answer));
        }
    }
    all
}
