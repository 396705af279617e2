//! Writes transaction markers where this node leads: for its own coordinator's decisions, and for WriteTxnMarkers
//! of other coordinators. Every path to a marker goes through [`MarkerWriter::write`].
//!
//! A partition of `__consumer_offsets` gets its marker through its group shard, which makes the offsets of the
//! transaction count or forgets them in the same step (GroupCoordinatorService.completeTransaction).
//!
//! Not done: markers to partitions that another node leads (a cluster's issue); until then they are answered
//! NOT_LEADER_OR_FOLLOWER and tried again.

use std::sync::Arc;

use millstream_base_env::{Clock, task};
use millstream_broker_controller::Controller;
use millstream_broker_coordinator::batch::marker_batch;
use millstream_broker_coordinator::txn::markers::{MarkerAnswer, Markers};
use millstream_broker_coordinator::txn::shard::{TxnRequest, TxnShard};
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_broker_log::FlushDue;
use millstream_protocol::error_code::ErrorCode;

use crate::api::error_map;
use crate::coord::answer::Answer;
use crate::coord::groups::{GroupCoordinator, Marker};
use crate::coord::internal_topics;
use crate::coord::shard::Outside;
use crate::replica::partitions::Partitions;

/// The partitions of this node, as far as markers need them.
pub struct MarkerWriter {
    clock: Clock,
    controller: Controller,
    partitions: Arc<Partitions>,
    groups: Arc<GroupCoordinator>,
}

impl MarkerWriter {
    /// Writes to these partitions.
    pub fn new(
        clock: Clock,
        controller: Controller,
        partitions: Arc<Partitions>,
        groups: Arc<GroupCoordinator>,
    ) -> Self {
        MarkerWriter { clock, controller, partitions, groups }
    }

    /// Writes the marker to each of its partitions. One answer for each, in order.
    pub fn write(&self, markers: &Markers) -> Answer<Vec<(TopicPartition, MarkerAnswer)>> {
        let answers = markers
            .partitions
            .iter()
            .map(|partition| {
                let answered = partition.clone();
                self.write_one(markers, partition).map(move |answer| (answered, answer))
            })
            .collect();
        Answer::all(answers)
    }

    fn write_one(&self, markers: &Markers, partition: &TopicPartition) -> Answer<MarkerAnswer> {
        if &*partition.topic == internal_topics::OFFSETS {
            return self.end_in_group(markers, partition.partition);
        }
        let Some(replica) = self.partitions.partition(&partition.topic, partition.partition) else {
            return Answer::Now(self.absent(partition));
        };
        let batch = marker_batch(
            self.clock.now_ms(),
            markers.producer_id,
            markers.producer_epoch,
            markers.coordinator_epoch,
            markers.result,
        );
        match replica.append_marker(&batch, markers.transaction_version.level()) {
            Err(error) => Answer::Now(MarkerAnswer::Failed(error_map::replica(&error))),
            Ok(info) if info.flush == FlushDue::No => Answer::Now(MarkerAnswer::Written),
            Ok(info) => Answer::Later(Box::pin(async move {
                let end = info.last_offset + 1;
                match replica.flushed_to(end).await {
                    Ok(()) => MarkerAnswer::Written,
                    Err(error) => MarkerAnswer::Failed(error_map::storage(&error)),
                }
            })),
        }
    }

    /// A partition that is not on this node: gone for good when the metadata does not know it either. While its
    /// folder is only not opened yet, or offline, the marker must wait.
    fn absent(&self, partition: &TopicPartition) -> MarkerAnswer {
        match self.controller.image().partition(&partition.topic, partition.partition) {
            None => MarkerAnswer::NoPartition,
            Some(_) => MarkerAnswer::Failed(ErrorCode::NotLeaderOrFollower),
        }
    }

    fn end_in_group(&self, markers: &Markers, partition: i32) -> Answer<MarkerAnswer> {
        let marker = Marker {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            coordinator_epoch: markers.coordinator_epoch,
            result: markers.result,
            transaction_version: markers.transaction_version.level(),
        };
        self.groups.end_transaction(partition, marker).map(|ended| match ended {
            Ok(()) => MarkerAnswer::Written,
            Err(error) => MarkerAnswer::Failed(group_error(error)),
        })
    }
}

/// The transaction coordinator knows partitions, not coordinators: a group shard that is not ready is a partition
/// whose leader is not (KafkaApis.handleWriteTxnMarkersRequest).
fn group_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => {
            ErrorCode::NotLeaderOrFollower
        }
        other => other,
    }
}

/// Carries out the commands of transaction shards: writes the markers and tells the shard how it went.
pub fn outside(writer: Arc<MarkerWriter>) -> Outside<TxnShard> {
    Box::new(move |shard, markers| {
        let told = shard.clone();
        let tell = move |markers: Markers, answers| {
            // The shard answers at once that it took note; after a resignation nobody needs to know.
            let _ = told.ask(TxnRequest::MarkersAnswered { markers, answers });
        };
        match writer.write(&markers) {
            Answer::Now(answers) => tell(markers, answers),
            Answer::Later(answers) => {
                task::spawn("transaction markers", async move { tell(markers, answers.await) });
            }
        }
    })
}
