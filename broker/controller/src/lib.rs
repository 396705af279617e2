//! Cluster metadata: decide -> replicate -> apply -> publish. A request becomes records by a pure decision on
//! the current image, the records enter the metadata log through openraft, are applied to a new image, and the
//! image is published to the broker. openraft enters only here.
//!
//! Called by broker/server's handlers and by the coordinators' runtime. Never opens a topic's partition.

/// Why a request was refused: error code and Apache's message.
pub mod refusal;
/// Metadata records and their bytes.
pub mod record;
/// A map copied in pieces.
mod shards;
/// The immutable image of the cluster.
pub mod image;
/// Image + records -> next image (pure).
pub mod apply;
/// The door: start, image, subscribe, and one method per change.
pub mod controller;
/// What the controller's methods take and answer.
pub mod request;
/// Images and what changed between two of them, to the broker.
pub mod publish;

pub use controller::{Controller, ControllerOptions, StartError};
pub use image::{Broker, ConfigResource, ConfigResourceType, Endpoint, Image, PartitionInfo, Topic};
pub use publish::{Delta, Subscription, TopicChange};
pub use refusal::Refusal;
