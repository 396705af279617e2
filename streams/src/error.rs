//! What can be wrong with a topology, found while it is built.
//! Called by `dsl` (remembered until `build`) and by `graph` and `topology`. Never about records: those have handlers of the runtime.

use thiserror::Error;

/// Why a topology cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// Two nodes have one name.
    #[error("processor {0} is already added")]
    NameTaken(String),
    /// A node names a parent that does not exist.
    #[error("parent node {parent} of {node} is unknown")]
    UnknownParent {
        /// The node that names it.
        node: String,
        /// The name without a node.
        parent: String,
    },
    /// A topic is read by two sources that cannot be merged.
    #[error("topic {0} has already been registered by another source")]
    TopicTaken(String),
    /// Two streams share some of their topics, but not all.
    #[error("two source nodes are subscribed to overlapping but not equal input topics ({0})")]
    OverlappingTopics(String),
    /// A store is connected that was never added.
    #[error("state store {0} is not added yet")]
    UnknownStore(String),
    /// Two different stores have one name.
    #[error("a different state store has already been added with the name {0}")]
    StoreTaken(String),
    /// Topics that are joined have fixed, different numbers of partitions.
    #[error("following topics do not have the same number of partitions: {0}")]
    PartitionCounts(String),
    /// `suppress` below a versioned table.
    #[error("suppress() of {0} is only supported for tables that are not versioned")]
    SuppressOfVersioned(String),
    /// `until_window_closes` where no window stands above.
    #[error("window close time is only defined for windowed computations, got [{0}]")]
    NoWindow(String),
    /// `on_window_close` of windows that never close.
    #[error("ON_WINDOW_CLOSE emit strategy cannot be used for UnlimitedWindows")]
    NeverCloses,
    /// A store that was given for a side of a stream-stream join does not fit it.
    #[error("store suppliers of a stream-stream join do not fit it: {0}")]
    JoinStore(String),
    /// A join with grace needs the history of a versioned table.
    #[error("table must be versioned to use a grace period in the stream-table join {0}")]
    GraceNeedsVersioned(String),
    /// The history is shorter than the grace.
    #[error("history retention of store {0} must be at least the grace period of the join")]
    HistoryTooShort(String),
    /// A name that a topic could not have.
    #[error("name {0:?} is illegal: a name is 1 to 249 of the characters a-z A-Z 0-9 . _ -")]
    IllegalName(String),
    /// A source pattern that is no regular expression.
    #[error("pattern {0:?} is not a regular expression")]
    IllegalPattern(String),
    /// A pattern also matches a topic of another source.
    #[error("pattern {0} will match a topic that has already been registered by another source")]
    PatternOverlap(String),
    /// An unknown value of `topology.optimization`.
    #[error("topology.optimization has no rule {0:?}")]
    UnknownOptimization(String),
    /// Neither the builder nor what it was given knows how a type is written.
    #[error("{0}")]
    NoSerde(String),
    /// The nodes do not fit together.
    #[error("{0}")]
    Unlinked(String),
    /// `build` was called before, and then an operator was added to a merged graph.
    #[error("nodes of the graph form a cycle or wait for a parent that is never written: {0}")]
    NotWritten(String),
}
