//! Cluster metadata: decide -> replicate -> apply -> publish. A request becomes records by a pure decision on
//! the current image, the records enter the metadata log through openraft, are applied to a new image, and the
//! image is published to the broker. openraft enters only here.
//!
//! Called by broker/server's handlers and by the coordinators' runtime. Never opens a topic's partition.

/// Storage format: meta.properties, cluster ids (kafka-storage).
pub mod format;
/// Ids as Kafka writes them.
pub mod uuid_text;
/// The door: start, image, subscribe, and one method per change.
pub mod controller;
/// What the controller's methods take and answer.
pub mod request;
/// Request + image -> records (pure).
pub mod decide;
/// Why a request was refused: error code and Apache's message.
pub mod refusal;
/// Metadata records and their bytes.
pub mod record;
/// openraft's wiring.
mod quorum;
/// Types and entries of the quorum.
mod raft_types;
/// The log behind openraft.
mod raft_log;
/// The batch around an entry.
mod batch;
/// No peers yet.
mod raft_net;
/// Small files that are replaced whole.
mod state_file;
/// Waits while the disk is full.
mod room;
/// The state machine and its snapshots.
mod snapshot;
/// Image + records -> next image (pure).
pub mod apply;
/// A map copied in pieces.
mod shards;
/// The immutable image of the cluster.
pub mod image;
/// Images and what changed between two of them, to the broker.
pub mod publish;
/// Apache Kafka's metadata log, as far as it is taken over.
mod apache_metadata;
/// Partition folders of Apache Kafka on the first start.
mod adopt;

pub use adopt::AdoptError;
pub use controller::{Controller, ControllerOptions, StartError};
pub use image::{Broker, ConfigResource, ConfigResourceType, Configs, Endpoint, Image, PartitionInfo, Topic};
pub use publish::{Delta, Subscription, TopicChange};
pub use quorum::QuorumState;
pub use refusal::Refusal;
pub use state_file::StateFileError;
