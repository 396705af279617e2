//! Whether what was read is still there under a new leader (KIP-320, Java: `OffsetsForLeaderEpochClient`).
//!
//! Called by `positions.rs`. A leader tells where the log ends of the epoch that the last record was read of; when that
//! is before the position, the log was cut back after an unclean election.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::OffsetForLeaderEpochRequest;
use millstream_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};

use crate::error::ClientError;
use crate::metadata::{Cluster, Leader, topic_name};
use crate::{TopicPartition, by_topic};

/// A position and the leader to ask about it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub place: TopicPartition,
    pub leader: Leader,
    /// Of the last record before the position.
    pub epoch: i32,
    pub offset: i64,
}

/// What a leader says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All before it is there.
    Holds,
    /// The log ends earlier; None where the leader knows nothing of the epoch.
    CutBack { end: Option<i64>, epoch: i32 },
    /// No answer, or not the leader: again with fresh metadata.
    Later,
}

/// Asks each leader once.
pub(super) async fn ask(cluster: &Cluster, asks: Vec<Ask>) -> Vec<(Ask, Verdict)> {
    let mut of_leader: BTreeMap<i32, Vec<Ask>> = BTreeMap::new();
    for ask in asks {
        of_leader.entry(ask.leader.broker).or_default().push(ask);
    }
    let answers = of_leader.into_iter().map(|(broker, asks)| async move {
        let ends = ask_one(cluster, broker, &asks).await;
        let verdict = |ask: Ask| {
            let verdict = match &ends {
                Ok(ends) => ends.get(&ask.place).map_or(Verdict::Later, |end| judge(&ask, *end)),
                // A broker that does not serve the request cannot be asked: nothing is known to be wrong.
                Err(ClientError::Unsupported { .. }) => Verdict::Holds,
                Err(_) => Verdict::Later,
            };
            (ask, verdict)
        };
        asks.into_iter().map(verdict).collect::<Vec<_>>()
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// Code, epoch and end of a partition.
type End = (i16, i32, i64);

async fn ask_one(cluster: &Cluster, broker: i32, asks: &[Ask]) -> Result<BTreeMap<TopicPartition, End>, ClientError> {
    let partition = |ask: &Ask| {
        OffsetForLeaderPartition::default()
            .with_partition(ask.place.partition)
            .with_current_leader_epoch(ask.leader.epoch)
            .with_leader_epoch(ask.epoch)
    };
    let topics = by_topic(asks.iter().map(|ask| (&ask.place, partition(ask)))).into_iter().map(|(name, partitions)| {
        OffsetForLeaderTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
    });
    let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
    let reply = cluster.broker(broker).await?.call(&request).await?;
    let mut ends = BTreeMap::new();
    for topic in &reply.topics {
        for end in &topic.partitions {
            let place = TopicPartition::new(&topic.topic.0, end.partition);
            ends.insert(place, (end.error_code, end.leader_epoch, end.end_offset));
        }
    }
    Ok(ends)
}

/// Java: `SubscriptionState.maybeCompleteValidation`.
fn judge(ask: &Ask, (code, epoch, end): End) -> Verdict {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) if end < 0 || epoch < 0 => Verdict::CutBack { end: None, epoch: -1 },
        Some(ErrorCode::None) if end < ask.offset => Verdict::CutBack { end: Some(end), epoch },
        Some(ErrorCode::None) => Verdict::Holds,
        // Who may not describe the topic cannot check; fetching says so.
        Some(ErrorCode::TopicAuthorizationFailed) => Verdict::Holds,
        _ => Verdict::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_before_the_position_was_cut_back() {
        let ask =
            Ask { place: TopicPartition::new("t", 0), leader: Leader { broker: 1, epoch: 5 }, epoch: 4, offset: 10 };
        assert_eq!(judge(&ask, (0, 4, 10)), Verdict::Holds);
        assert_eq!(judge(&ask, (0, 3, 7)), Verdict::CutBack { end: Some(7), epoch: 3 });
        assert_eq!(judge(&ask, (0, -1, -1)), Verdict::CutBack { end: None, epoch: -1 });
        assert_eq!(judge(&ask, (ErrorCode::FencedLeaderEpoch.code(), -1, -1)), Verdict::Later);
        assert_eq!(judge(&ask, (ErrorCode::NotLeaderOrFollower.code(), -1, -1)), Verdict::Later);
    }
}
