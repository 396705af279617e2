//! Offsets of partitions: first, end, by time.
//!
//! Called by `kafka-consumer-groups` and `kafka-get-offsets`. Each leader is asked once for its partitions.

use std::collections::BTreeMap;

use super::{Admin, Each, TopicPartition};
use crate::config::Isolation;
use crate::error::ClientError;
use crate::offsets::{self, At, EARLIEST, LATEST};

/// Which offset of a partition (Java: `OffsetSpec`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::TopicPartition;
/// use client::admin::OffsetSpec;
///
/// let places = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
/// println!("ends: {:?}", admin.list_offsets(&places, OffsetSpec::Latest).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that is left.
    Earliest,
    /// The end: one past the last that consumers may read.
    Latest,
    /// The first whose time is not earlier, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The one with the largest time.
    MaxTimestamp,
    /// The first on the broker's own disk (tiered storage).
    EarliestLocal,
    /// The last that was moved to remote storage.
    LatestTiered,
    /// The first that has not been moved there yet.
    EarliestPendingUpload,
}

impl OffsetSpec {
    /// As ListOffsets writes it (Java: `ListOffsetsRequest`).
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => LATEST,
            OffsetSpec::Earliest => EARLIEST,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::EarliestPendingUpload => -6,
            OffsetSpec::Timestamp(ms) => ms,
        }
    }
}

impl Admin {
    /// An offset of each partition; -1 where there is none (a time behind the last record). A partition without a
    /// leader is left out.
    ///
    /// # Errors
    /// The first of a leader's.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = &TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let wanted = partitions.into_iter().map(|at| (at.clone(), spec)).collect();
        let mut offsets = BTreeMap::new();
        for (at, offset) in self.list_each_offset(&wanted, Isolation::ReadUncommitted).await? {
            match offset {
                Ok(offset) => _ = offsets.insert(at, offset),
                Err(ClientError::NoLeader { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(offsets)
    }

    /// An offset of each partition, at what each is asked for; what became of each stands beside it. A leader that moves
    /// is asked again until `default.api.timeout.ms` is over.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_each_offset(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation: Isolation,
    ) -> Result<Each<TopicPartition, i64>, ClientError> {
        let round = |places| {
            self.at_leaders(places, move |connection, places: Vec<TopicPartition>| async move {
                let at = |at: &TopicPartition| At {
                    time: wanted.get(at).map_or(LATEST, |spec| spec.timestamp()),
                    leader_epoch: -1,
                };
                let answers =
                    offsets::list(&connection, places.iter().map(|place| (place, at(place))), isolation).await?;
                Ok(answers.into_iter().map(|(at, listed)| (at, listed.map(|listed| listed.offset).into())).collect())
            })
        };
        self.settle("finding the offset of", wanted.keys().cloned(), round).await
    }
}
