//! WriteTxnMarkers (key 27), v1-v2. Another broker's transaction coordinator, or an administrator who ends a hanging
//! transaction, has markers written to partitions that this broker leads.
//! Versions: v1 flexible; v2 transaction version of the marker (KIP-1228).
//! Authorizes: ClusterAction or Alter on Cluster.   Waits: with flush.messages, until the markers are on disk.

use millstream_broker_coordinator::txn::markers::{MarkerAnswer, Markers};
use millstream_broker_coordinator::txn::state::TransactionVersion;
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use millstream_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use millstream_protocol::messages::{ProducerId, TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::coord::answer::Answer;
use crate::coord::txn::result_of;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 2);

/// Handles the request.
pub fn handle(context: &Context, request: WriteTxnMarkersRequest) -> Outcome<WriteTxnMarkersResponse> {
    let answers = request.markers.into_iter().map(|marker| one(context, &marker)).collect();
    Answer::all(answers).map(|results| WriteTxnMarkersResponse::default().with_markers(merged(results))).into()
}

/// The transaction version of who does not know it; Java refuses to write with it.
const VERSION_UNKNOWN: i8 = -1;
/// Nor does it write a marker of no producer, or of none of its epochs (`MemoryRecordsBuilder.validateProducerState`).
const NO_PRODUCER: i64 = -1;
const NO_EPOCH: i16 = -1;

fn one(context: &Context, marker: &WritableTxnMarker) -> Answer<WritableTxnMarkerResult> {
    let partitions = marker
        .topics
        .iter()
        .flat_map(|topic| topic.partition_indexes.iter().map(|partition| TopicPartition::new(&topic.name, *partition)));
    let is_writable = marker.transaction_version != VERSION_UNKNOWN
        && marker.producer_id.0 != NO_PRODUCER
        && marker.producer_epoch != NO_EPOCH;
    if !is_writable {
        let refused = partitions.map(|partition| {
            let answer = match context.node.partitions.partition(&partition.topic, partition.partition) {
                Some(_) => MarkerAnswer::Failed(ErrorCode::UnknownServerError),
                None => MarkerAnswer::NoPartition,
            };
            (partition, answer)
        });
        return Answer::Now(result(marker.producer_id, &refused.collect::<Vec<_>>()));
    }
    let markers = Markers {
        // The answer goes to the sender, who knows whose transaction it is.
        transactional_id: "".into(),
        producer_id: marker.producer_id.0,
        producer_epoch: marker.producer_epoch,
        coordinator_epoch: marker.coordinator_epoch,
        result: result_of(marker.transaction_result),
        transaction_version: TransactionVersion::from_level(i16::from(marker.transaction_version)),
        partitions: partitions.collect(),
    };
    let producer_id = marker.producer_id;
    context.node.coordinators.txns.writer().write(&markers).map(move |answers| result(producer_id, &answers))
}

fn result(producer_id: ProducerId, answers: &[(TopicPartition, MarkerAnswer)]) -> WritableTxnMarkerResult {
    let mut topics: Vec<WritableTxnMarkerTopicResult> = Vec::new();
    for (partition, answer) in answers {
        let error = match answer {
            MarkerAnswer::Written => ErrorCode::None,
            MarkerAnswer::NoPartition => ErrorCode::UnknownTopicOrPartition,
            MarkerAnswer::Failed(error) => *error,
        };
        let one = WritableTxnMarkerPartitionResult::default()
            .with_partition_index(partition.partition)
            .with_error_code(error.code());
        match topics.iter_mut().find(|topic| **topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(one),
            None => {
                let name =
                    TopicName::from(millstream_protocol::messages::StrBytes::from_string(partition.topic.to_string()));
                topics.push(WritableTxnMarkerTopicResult::default().with_name(name).with_partitions(vec![one]));
            }
        }
    }
    WritableTxnMarkerResult::default().with_producer_id(producer_id).with_topics(topics)
}

/// One entry for each producer id, as Apache answers from a map by producer id.
fn merged(results: Vec<WritableTxnMarkerResult>) -> Vec<WritableTxnMarkerResult> {
    let mut merged: Vec<WritableTxnMarkerResult> = Vec::new();
    for result in results {
        match merged.iter_mut().find(|known| known.producer_id == result.producer_id) {
            Some(known) => known.topics.extend(result.topics),
            None => merged.push(result),
        }
    }
    merged
}
