//! Decisions: image + request -> records and answers, one file each. Pure: no clock, no randomness but the ids
//! handed in, no tokio, no files. What they decide is valid on the image they saw; the caller makes sure that
//! nothing else is logged in between.

/// CreateTopics.
pub mod create_topic;
/// DeleteTopics.
pub mod delete_topic;
/// CreatePartitions.
pub mod create_partitions;
/// ElectLeaders.
pub mod elect_leader;
/// IncrementalAlterConfigs and AlterConfigs.
pub mod configs;
/// What configuration keys mean and which values they take.
pub mod rules;
/// UpdateFeatures.
pub mod features;
/// Blocks of producer ids.
pub mod producer_ids;
/// A broker registers.
pub mod register_broker;
/// Replicas over racks and brokers in turn.
pub mod striped_placer;
/// Which brokers get the replicas of new partitions.
pub mod place_replicas;
/// AlterPartitionReassignments and ListPartitionReassignments.
pub mod reassign;
/// Names that a topic may have.
pub mod topic_name;

use crate::record::MetadataRecord;
use crate::refusal::Refusal;
use millstream_protocol::error_code::ErrorCode;

/// Most records that one request may make (Java: `QuorumController.MAX_RECORDS_PER_USER_OP`).
const RECORDS_MAX: usize = 10_000;

/// Records of a request and one answer per item of it.
pub(crate) type Decision<T> = Result<(Vec<MetadataRecord>, Vec<Result<T, Refusal>>), Refusal>;

/// Refuses a request as a whole when it would make too many records.
fn bounded<T>(records: Vec<MetadataRecord>, answers: Vec<Result<T, Refusal>>) -> Decision<T> {
    if records.len() > RECORDS_MAX {
        let message = "Unable to perform excessively large batch operation.";
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    Ok((records, answers))
}
