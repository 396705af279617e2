//! A task: the part of a topology that works on one partition, with its queues, stores, timers and commit.
//! Driven by the runtime's threads and by `TopologyTestDriver`, one call after another on one thread. Synchronous: never
//! awaits, locks or speaks to a broker; bytes leave by the `Collector` that it was given.
//!
//! # How an operator with state is written
//! 1. The store comes with its types: `Materialized::store` (or `Stores::key_value` and its like) puts a maker into the
//!    store's definition, and the task makes each of its stores once, before any node is linked.
//! 2. `Operator::link` gets its children and a `Linking`. There it takes `linking.store::<TableStore<K, V>>(name)`, an
//!    `Rc<RefCell<..>>` that joins and value getters of the same task share; `linking.serde`, `linking.topic`,
//!    `linking.sends_old()` give the rest.
//! 3. An operator that keeps a table in a store hands its children to `TableOutput::new`. It answers for the cache: what is
//!    put into a cached store goes on when the cache is flushed or too full, anything else at once.
//! 4. A processor of the operator borrows a store for one call at a time and never while it forwards: what stands below
//!    may look into the same store.

// What a node sees of its task.
pub mod context;
// Where bytes go.
pub mod collector;
// What can go wrong with a record, and who decides.
pub mod errors;
// What closures of the user may answer.
pub mod outcome;
// Closures that decide about records that fail.
pub mod handlers;
// Panics of the user's code.
pub(crate) mod panics;
// Settings of a task.
pub mod settings;
// Timers of processors.
pub mod timers;
// A heap that orders equal elements as Java's does.
mod heap;
// What nodes and stores count.
pub(crate) mod tally;
// Bytes in: one partition's records.
pub mod queue;
// Which partition's record is next.
mod group;
// From a topology to running nodes.
pub mod link;
// The task itself.
pub(crate) mod running;

pub use collector::{Collector, Outgoing, To, TopicId};
pub use context::{Context, Origin, Tallied};
pub use errors::{ErrorContext, Failure, ProcessError, ProductionContext, ProductionFault, Response, TaskError};
pub use handlers::Handlers;
pub use link::{LinkError, Linking, Stores};
pub use queue::Incoming;
pub use running::{Input, Part, Task, TaskParts};
pub use settings::{Settings, TimestampPolicy};
pub use timers::{PunctuationType, Timer};
