//! Why a query has no answer: Java's exceptions of the same names, and what KIP-796 calls a `FailureReason`.
//!
//! Made by the other parts of `query`; shown to whoever asked.

use std::time::Duration;

use thiserror::Error;

use super::Position;
use crate::runtime::states::{State, ThreadState};

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// `start` was not called (Java: `StreamsNotStartedException`).
    #[error("the application was not started")]
    StreamsNotStarted,
    /// The application ends or has ended (Java: `StreamsStoppedException`).
    #[error("the application is {0:?}: it answers no more")]
    StreamsStopped(State),
    /// Tasks come, go or are being restored (Java: `InvalidStateStoreException` of a thread that is not RUNNING).
    #[error("store {store} cannot be read: its thread is {state:?}")]
    StreamsRebalancing {
        /// The store.
        store: String,
        /// What the thread does.
        state: ThreadState,
    },
    /// The topology has no store of that name (Java: `UnknownStateStoreException`).
    #[error("the topology has no store {0}")]
    UnknownStateStore(String),
    /// The store is of another kind or of other types (Java: `InvalidStateStoreException`).
    #[error("store {store} is no {wanted}")]
    InvalidStateStore {
        /// The store.
        store: String,
        /// What it was taken for.
        wanted: &'static str,
    },
    /// No task of the store is here; it may have gone to another instance (Java: `InvalidStateStoreException`).
    #[error("store {0} is not here: it may have migrated to another instance")]
    StateStoreMigrated(String),
    /// That partition of the store is not here (Java: `InvalidStateStorePartitionException`).
    #[error("partition {partition} of store {store} is not here")]
    InvalidStateStorePartition {
        /// The store.
        store: String,
        /// The partition.
        partition: i32,
    },
    /// The store does not contain all that the question asks for (Java: `FailureReason.NOT_UP_TO_BOUND`).
    #[error("partition {partition} of store {store} is at {at:?}, which is not up to the bound")]
    NotUpToBound {
        /// The store.
        store: String,
        /// The partition.
        partition: i32,
        /// How far it is.
        at: Position,
    },
    /// No instance is known yet (Java: `KeyQueryMetadata.NOT_AVAILABLE`).
    #[error("which instance has what is not known yet")]
    MetadataNotAvailable,
    /// The store, a serde or a partitioner failed (Java: `FailureReason.STORE_EXCEPTION`).
    #[error("store {store}: {cause}")]
    Store {
        /// The store.
        store: String,
        /// What it said.
        cause: String,
    },
    /// The cluster did not say where changelogs end.
    #[error("the ends of changelogs are not known: {0}")]
    Cluster(String),
    /// More queries wait for a thread than it will answer soon.
    #[error("too many queries wait")]
    Busy,
    /// The answer did not come within the time that `wait_for` was given.
    #[error("there was no answer within {0:?}")]
    TimedOut(Duration),
    /// A stream thread of the application asks: it would wait for itself.
    #[error("a stream thread of the application cannot query it: ask on another thread")]
    OnStreamThread,
}

impl QueryError {
    /// Whether the same question may have an answer later, here or at another instance.
    pub fn is_retriable(&self) -> bool {
        match self {
            QueryError::StreamsNotStarted
            | QueryError::StreamsRebalancing { .. }
            | QueryError::StateStoreMigrated(_)
            | QueryError::InvalidStateStorePartition { .. }
            | QueryError::NotUpToBound { .. }
            | QueryError::MetadataNotAvailable
            | QueryError::Cluster(_)
            | QueryError::Busy
            | QueryError::TimedOut(_) => true,
            QueryError::StreamsStopped(_)
            | QueryError::UnknownStateStore(_)
            | QueryError::InvalidStateStore { .. }
            | QueryError::Store { .. }
            | QueryError::OnStreamThread => false,
        }
    }
}
