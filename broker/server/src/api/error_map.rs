//! Domain errors to error codes, every variant by name: a new variant does not compile before it is mapped.

use millstream_broker_log::{AppendError, ReadError, StorageError};
use millstream_protocol::error_code::ErrorCode;

use crate::replica::partition::ReplicaError;
use crate::replica::partitions::Absent;

/// The code of a replica's refusal.
pub fn replica(error: &ReplicaError) -> ErrorCode {
    match error {
        ReplicaError::NotLeader => ErrorCode::NotLeaderOrFollower,
        ReplicaError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        ReplicaError::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        ReplicaError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        ReplicaError::InconsistentTopicId => ErrorCode::InconsistentTopicId,
        ReplicaError::NegativeLimit(_) => ErrorCode::UnknownServerError,
        ReplicaError::Append(error) => append(error),
        ReplicaError::Read(error) => read(error),
    }
}

/// The code of a partition that is not found (Java: `ReplicaManager.getPartitionOrError`).
pub fn absent(absent: Absent) -> ErrorCode {
    match absent {
        Absent::Elsewhere => ErrorCode::UnknownTopicOrPartition,
        Absent::NotOpen => ErrorCode::KafkaStorageError,
    }
}

/// The code of an append that was refused.
pub fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::InvalidRecord { .. } => ErrorCode::InvalidRecord,
        AppendError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        AppendError::CorruptMessage(_) => ErrorCode::CorruptMessage,
        AppendError::Undecodable(_) => ErrorCode::UnknownServerError,
        AppendError::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
        AppendError::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendError::OutOfOrderSequence(_) => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch(_) => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTxnState(_) => ErrorCode::InvalidTxnState,
        AppendError::TransactionCoordinatorFenced(_) => ErrorCode::TransactionCoordinatorFenced,
        AppendError::UnexpectedOffset { .. } | AppendError::OffsetsOutOfOrder(_) => ErrorCode::UnknownServerError,
        AppendError::Storage(error) => storage(error),
    }
}

/// The code of a read that failed.
pub fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // Those who ask for it look again.
        ReadError::Cold(_) => ErrorCode::UnknownServerError,
        ReadError::Corrupt(_) => ErrorCode::CorruptMessage,
        ReadError::Storage(error) => storage(error),
    }
}

/// The code of a failing disk.
pub fn storage(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::Io { .. } | StorageError::Offline(_) => ErrorCode::KafkaStorageError,
        StorageError::Closed(_) => ErrorCode::NotLeaderOrFollower,
    }
}
