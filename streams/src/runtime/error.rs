//! Why a thread or an application ends.
//!
//! Made by the runtime; shown to the handler of uncaught errors, which decides what follows (KIP-671).

use std::sync::Arc;

use client::error::{ClientError, ErrorClass};
use millstream_protocol::error_code::ErrorCode;
use thiserror::Error;

use super::states::State;
use super::topics::TopicsError;
use crate::assign::TaskId;
use crate::config::ConfigError;
use crate::error::TopologyError;
use crate::state::StateError;
use crate::task::errors::Place;
use crate::task::{LinkError, TaskError};

/// Why a thread or an application ends.
#[derive(Debug, Error)]
pub enum StreamsError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A topology under test cannot be linked.
    #[error(transparent)]
    Unlinked(#[from] LinkError),
    /// The topology is wrong.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The cluster refused something, or could not be reached for too long.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Tasks cannot be made of the topics that there are.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The leader of the group, another member, found that source topics are missing (Java: `MissingSourceTopicException`):
    /// what it said, which names them.
    #[error("the leader of the group found: {}", told(.0))]
    MissingSourceTopics(String),
    /// The leader of the group, another member, could not give out tasks (Java: `TaskAssignmentException`): what it said.
    #[error("tasks could not be given out; the leader of the group found: {}", told(.0))]
    NoAssignment(String),
    /// The tasks have another owner; the thread joins the group again, so that nobody is told.
    #[error("{0}")]
    Migrated(&'static str),
    /// Another process has the same `group.instance.id`: joining again would throw it out in its turn.
    #[error("another member of the group has taken the place of {0:?}, its group.instance.id")]
    Replaced(String),
    /// Another instance wants the whole application to end.
    #[error("another instance of the application shut it down")]
    ApplicationShutdown,
    /// A task failed on a record.
    #[error("task {id}{}: {error}", place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default())]
    Task {
        /// Which task.
        id: TaskId,
        /// Which record, if it is known and the error does not say it itself.
        place: Option<Box<Place>>,
        /// Why.
        error: TaskError,
    },
    /// A task could not be made.
    #[error("task {id}: {error}")]
    Link {
        /// Which task.
        id: TaskId,
        /// Why.
        error: LinkError,
    },
    /// The cluster did not answer what a task has to know before it runs, until `task.timeout.ms` was over.
    #[error("task {id}: {error}, tried again until task.timeout.ms")]
    Late {
        /// Which task.
        id: TaskId,
        /// What was not answered.
        error: ClientError,
    },
    /// A store failed outside of a record.
    #[error("task {id}: {error}")]
    State {
        /// Which task.
        id: TaskId,
        /// Why.
        error: StateError,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(StateError),
    /// The application ended after this error.
    #[error("the application ended: {0}")]
    Ended(Arc<StreamsError>),
    /// What was asked for is not possible now.
    #[error("{what} is not possible while the application is {state:?}")]
    NotNow {
        /// What.
        what: &'static str,
        /// Its state.
        state: State,
    },
    /// The runtime or a thread could not be started.
    #[error("cannot start: {0}")]
    Start(String),
    /// The thread panicked outside of a record.
    #[error("thread panicked: {0}")]
    Panic(String),
}

/// What the leader said; those of the version before did not.
fn told(cause: &str) -> &str {
    if cause.is_empty() { "what its log names" } else { cause }
}

/// Whether an error of the clients says that the tasks of this thread have another owner by now (TaskMigratedException):
/// the thread drops them and joins the group again. A static member that was replaced has no place to come back to
/// (Java: FencedInstanceIdException is no TaskMigratedException).
pub(crate) fn is_migrated(error: &ClientError) -> bool {
    if is_replaced(error) {
        return false;
    }
    let codes = [
        ErrorCode::ProducerFenced,
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::IllegalGeneration,
        ErrorCode::UnknownMemberId,
        ErrorCode::InvalidProducerIdMapping,
    ];
    error.class() == ErrorClass::ApplicationRecoverable || error.code().is_some_and(|code| codes.contains(&code))
}

/// Whether another member of the group has the `group.instance.id` of this one.
pub(crate) fn is_replaced(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::FencedInstanceId)
}
