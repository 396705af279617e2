//! Kafka Streams in Rust: a typed DSL whose topologies have Java's node names, topics and `describe` text.
//!
//! DSL -> plan -> topology -> tasks. [`KafkaStreams`] runs them against any Kafka-protocol cluster, and
//! [`driver::TopologyTestDriver`] without a broker.
//! Used by applications, examples and the ksql engine. How an operator with state is written stands in [`task`].
//!
//! # Architecture of the record path
//! The budget is 5 to 20 ns of node graph a record (research D.3), so these are fixed before the runtime comes:
//! - **One record at a time, depth first.** Operators with several children, and sub-topologies with several sinks, show
//!   their order in the output; a batch a node would change it. Batches belong to the edges: fetch, decode, commit.
//! - **Push, synchronous.** `Process::process(record, context)` is a plain call: no future, no queue, no lock between nodes.
//! - **Typed edges.** A child is a `Box<dyn Process<K, V>>` of the parent's output types: one indirect call a node, into code
//!   that is compiled for its closure and types. Erased types (`AnyLink`) exist only while a task is linked, once.
//! - **Records move.** A record is handed on by value; only a fan-out clones it, for all children but the last. An empty
//!   header list has no allocation; `Bytes` and `Arc<T>` clone by a count.
//! - **Topology shared, processors not.** `Topology` is `Send + Sync` and holds operators, which make a processor for each
//!   task on the thread that runs it; so a child with several parents is an `Rc<RefCell<..>>`, not a lock.
//! - **Nulls.** `Record.key` and `Record.value` are `Option`; plain closures see values that are there, `_nullable` ones all.

// What an application sets.
pub mod config;
// Which thread of which instance runs which task.
#[doc(hidden)]
pub mod assign;
// What can be wrong with a topology.
#[doc(hidden)]
pub mod error;
// What flows: records, changes, windowed keys.
#[doc(hidden)]
pub mod record;
// Keys and values to bytes and back.
pub mod serde;
// Where stores keep their rows.
#[doc(hidden)]
pub mod state;
// What applications write.
#[doc(hidden)]
pub mod dsl;
// What nodes do.
#[doc(hidden)]
pub mod op;
// The plan, its names and rewrites.
#[doc(hidden)]
pub mod graph;
// The topology, and its text.
#[doc(hidden)]
pub mod topology;
// A part of it at work on one partition.
#[doc(hidden)]
pub mod task;
// Typed stores.
#[doc(hidden)]
pub mod store;
// A topology at work without a broker.
pub mod driver;
// What stores contain, asked from outside.
#[doc(hidden)]
pub mod query;
// Threads, and what they need of a cluster.
#[doc(hidden)]
pub mod runtime;

// Modules without documentation are the inside: they may change at any time. What applications name is here.
pub use bytes::Bytes;
pub use client::metrics::Metric;
pub use config::{ConfigError, StreamsConfig};
pub use driver::{TestInput, TestOutput, TopologyTestDriver};
pub use dsl::branched::{BranchedKStream, Branches};
pub use dsl::builder::{GlobalKTable, StreamsBuilder};
pub use dsl::cogrouped::{CogroupedKStream, WindowedCogroupedKStream};
pub use dsl::grouped::{KGroupedStream, WindowSpec, WindowedKStream};
pub use dsl::materialized::Materialized;
pub use dsl::options::{
    Consumed, Grouped, Joined, KeyPartitioner, Named, Produced, Repartitioned, TableJoined, Topics,
};
pub use dsl::stores::{StoreBuilder, Stores, WindowStoreSupplier};
pub use dsl::stream::KStream;
pub use dsl::suppressed::{Buffer, Suppressed};
pub use dsl::table::{KGroupedTable, KTable};
pub use dsl::windows::{
    EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows, WindowsOfSize,
};
pub use error::TopologyError;
pub use graph::{OffsetReset, Optimization};
pub use op::custom::{Ctx, Pair, Processor};
pub use op::transform::{Transformed, TransformerContext, ValueTransformerWithKey};
pub use query::metadata::{HostInfo, KeyQueryMetadata, LagInfo, StreamsMetadata};
pub use query::{
    Asked, AskedRows, Position, QueryError, Queryable, ReadOnlyKeyValue, ReadOnlySession, ReadOnlyVersioned,
    ReadOnlyWindow, RowsIter, StoreQueryParameters, TimestampedKeyWindow,
};
pub use record::{Change, Data, Header, Record, Window, Windowed};
pub use runtime::app::{CloseOptions, GroupMembership, KafkaStreams, Uncaught};
pub use runtime::error::StreamsError as Error;
pub use runtime::restore::RestoreListener;
pub use runtime::states::{State, ThreadState};
pub use serde::{SerdeError, Str};
pub use state::versioned::VersionedPut;
pub use state::{Order, StateError};
pub use store::Stamped;
pub use store::token::{
    Connect, KeySession, KeyValue, KeyWindow, LentKeyValue, LentSessions, LentTable, LentVersions, LentWindows,
    StoreId, StoreRef, StoreType, TimestampedKeyValue, VersionedKeyValue,
};
pub use store::versioned::VersionedRecord;
pub use task::outcome::{Outcome, Update};
pub use task::{
    ErrorContext, Failure, Handlers, Incoming, LinkError, Origin, ProcessError, ProductionContext, ProductionFault,
    PunctuationType, Response, Settings, TaskError, Timer, TimestampPolicy,
};
pub use topology::Topology;
pub use topology::processor::{Context, ProcessResult};

/// All that most applications name.
pub mod prelude {
    pub use crate::serde::{BytesSerde, DefaultSerde, JsonSerde, NumberSerde, Serde, Str, StringSerde};
    pub use crate::{
        Buffer, Bytes, CloseOptions, Consumed, Ctx, GlobalKTable, Grouped, Handlers, JoinWindows, Joined,
        KGroupedStream, KGroupedTable, KStream, KTable, KafkaStreams, KeySession, KeyValue, KeyWindow, Materialized,
        Named, OffsetReset, Order, ProcessResult, Processor, Produced, PunctuationType, Record, Repartitioned,
        Response, SerdeError, SessionWindows, SlidingWindows, Stamped, State, StoreRef, Stores, StreamsBuilder,
        StreamsConfig, Suppressed, TableJoined, TimeWindows, Timer, TimestampedKeyValue, Topology, TopologyTestDriver,
        Transformed, TransformerContext, Uncaught, UnlimitedWindows, ValueTransformerWithKey, VersionedKeyValue,
        Window, Windowed,
    };
}
