//! KIP-890 on the side of the partition's leader: before the first write of a transaction to a partition, its
//! coordinator is asked whether the partition is in the transaction (older clients), or is told that it joins
//! (clients of version 2). AddPartitionsToTxnManager.java and ReplicaManager.handleProduceAppend.
//!
//! Called by Produce and TxnOffsetCommit for the partitions for which `PartitionLog::begin_verification` made a
//! guard. The guard stays with the caller and goes into the append.
//!
//! Not done: asking a coordinator on another node (a cluster's issue); it is answered as not available.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use millstream_base_config::BrokerConfig;
use millstream_base_env::clock::Moment;
use millstream_broker_coordinator::txn::shard::AddPartitions;
use millstream_broker_coordinator::txn::state::TransactionVersion;
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_protocol::error_code::ErrorCode;

use crate::coord::answer::Answer;
use crate::coord::txn::TxnCoordinator;

/// What the version of a request allows the leader to do and to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Verify; the client does not know TRANSACTION_ABORTABLE.
    VerifyForOldClient,
    /// Verify.
    Verify,
    /// Add the partition to the transaction.
    Add,
}

impl Operation {
    /// Of a Produce request.
    pub fn of_produce(version: i16) -> Self {
        match version {
            ..=10 => Operation::VerifyForOldClient,
            11 => Operation::Verify,
            12.. => Operation::Add,
        }
    }

    /// Of a TxnOffsetCommit request.
    pub fn of_txn_offset_commit(version: i16) -> Self {
        match version {
            ..=3 => Operation::VerifyForOldClient,
            4 => Operation::Verify,
            5.. => Operation::Add,
        }
    }
}

/// Whose transaction, and the partitions that are written to for the first time.
#[derive(Clone, Debug)]
pub struct Question {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer id of the batches.
    pub producer_id: i64,
    /// Their epoch.
    pub producer_epoch: i16,
    /// The partitions with a guard.
    pub partitions: BTreeSet<TopicPartition>,
    /// What to do.
    pub operation: Operation,
}

/// The partitions that may not be written to, with the code to answer. Empty: all may.
pub type Refused = Vec<(TopicPartition, ErrorCode)>;

/// How long a leader repeats an add for a client whose transaction before is still being ended
/// (`add.partitions.to.txn.retry.backoff.ms` and `.max.ms`).
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    backoff: Duration,
    longest: Duration,
    verification: Verification,
}

/// `transaction.partition.verification.enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verification {
    On,
    Off,
}

impl Retry {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let millis = |name| Duration::from_millis(u64::try_from(config.number(name)).unwrap_or(0));
        Retry {
            backoff: millis("add.partitions.to.txn.retry.backoff.ms"),
            longest: millis("add.partitions.to.txn.retry.backoff.max.ms").min(millis("request.timeout.ms")),
            verification: match config.flag("transaction.partition.verification.enable") {
                true => Verification::On,
                false => Verification::Off,
            },
        }
    }
}

impl TxnCoordinator {
    /// Whether a request of this kind is verified at all; when not, no guard is needed.
    pub fn verifies(&self, operation: Operation) -> bool {
        operation == Operation::Add || self.retry.verification == Verification::On
    }

    /// Adds or verifies, with the codes of the coordinator made fit for the answer to a client. For Produce they go
    /// through [`produce_error`] besides.
    pub fn add_or_verify(&self, question: Question) -> Answer<Refused> {
        if question.partitions.is_empty() {
            return Answer::Now(Vec::new());
        }
        if question.operation != Operation::Add {
            return Answer::Now(self.verify(&question));
        }
        let started = Moment::now();
        match self.add(&question) {
            Answer::Now(ErrorCode::ConcurrentTransactions) => {}
            added => return added.map(move |error| refused(&question, error)),
        }
        // The client's transaction before is still being ended, which takes a moment; refusing would cost the
        // client its own, longer backoff and the batch a second way over the wire.
        let this = self.clone();
        Answer::Later(
            async move {
                loop {
                    if started.elapsed() >= this.retry.longest {
                        return refused(&question, ErrorCode::ConcurrentTransactions);
                    }
                    tokio::time::sleep(this.retry.backoff).await;
                    match this.add(&question).wait().await {
                        ErrorCode::ConcurrentTransactions => {}
                        error => return refused(&question, error),
                    }
                }
            }
            .boxed(),
        )
    }

    fn add(&self, question: &Question) -> Answer<ErrorCode> {
        self.add_partitions(AddPartitions {
            transactional_id: question.transactional_id.as_str().into(),
            producer_id: question.producer_id,
            producer_epoch: question.producer_epoch,
            partitions: question.partitions.clone(),
            client_version: TransactionVersion::Tv2,
        })
    }

    fn verify(&self, question: &Question) -> Refused {
        let partitions: Vec<TopicPartition> = question.partitions.iter().cloned().collect();
        let (id, epoch) = (question.producer_id, question.producer_epoch);
        let verified = self.verify_partitions(&question.transactional_id, id, epoch, &partitions);
        match verified {
            Err(error) => refused(question, error),
            Ok(errors) => partitions
                .into_iter()
                .zip(errors)
                .filter(|(_, error)| *error != ErrorCode::None)
                .map(|(partition, error)| (partition, client_error(error, question.operation)))
                .collect(),
        }
    }
}

fn refused(question: &Question, error: ErrorCode) -> Refused {
    if error == ErrorCode::None {
        return Vec::new();
    }
    let error = client_error(error, question.operation);
    question.partitions.iter().map(|partition| (partition.clone(), error)).collect()
}

/// Producers expect INVALID_PRODUCER_EPOCH where the coordinator says fenced, and old ones do not know
/// TRANSACTION_ABORTABLE (AddPartitionsToTxnManager).
fn client_error(error: ErrorCode, operation: Operation) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if operation == Operation::VerifyForOldClient => ErrorCode::InvalidTxnState,
        other => other,
    }
}

/// The code and text with which Produce answers a refusal (ReplicaManager.handleProduceAppend): clients before
/// version 2 do not retry what a coordinator says, so they are told something that they do retry.
pub fn produce_error(error: ErrorCode, operation: Operation) -> (ErrorCode, Option<String>) {
    match error {
        ErrorCode::InvalidTxnState => (error, Some("Partition was not added to the transaction".to_owned())),
        ErrorCode::ConcurrentTransactions if operation == Operation::Add => (error, None),
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::ConcurrentTransactions => {
            let name = error.name();
            let text =
                format!("Unable to verify the partition has been added to the transaction. Underlying error: {name}");
            (ErrorCode::NotEnoughReplicas, Some(text))
        }
        other => (other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_decide_what_a_leader_does() {
        let produce: Vec<_> = [3, 10, 11, 12, 13].map(Operation::of_produce).into();
        use Operation::{Add, Verify, VerifyForOldClient};
        assert_eq!(produce, [VerifyForOldClient, VerifyForOldClient, Verify, Add, Add]);
        let commit: Vec<_> = [0, 3, 4, 5].map(Operation::of_txn_offset_commit).into();
        assert_eq!(commit, [VerifyForOldClient, VerifyForOldClient, Verify, Add]);
    }

    #[test]
    fn codes_are_those_that_the_client_can_handle() {
        use ErrorCode::*;
        for operation in [Operation::VerifyForOldClient, Operation::Verify, Operation::Add] {
            assert_eq!(client_error(ProducerFenced, operation), InvalidProducerEpoch);
            for error in [NetworkException, CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator] {
                assert_eq!(produce_error(error, operation).0, NotEnoughReplicas);
            }
            assert_eq!(produce_error(InvalidProducerIdMapping, operation), (InvalidProducerIdMapping, Option::None));
        }
        assert_eq!(client_error(TransactionAbortable, Operation::VerifyForOldClient), InvalidTxnState);
        assert_eq!(client_error(TransactionAbortable, Operation::Verify), TransactionAbortable);
        assert_eq!(produce_error(ConcurrentTransactions, Operation::Add), (ConcurrentTransactions, Option::None));
        assert_eq!(produce_error(ConcurrentTransactions, Operation::Verify).0, NotEnoughReplicas);
    }
}
