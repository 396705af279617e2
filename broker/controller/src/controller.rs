//! The door: start, image, subscribe, and one method per change.
//!
//! Each change runs decide -> replicate -> apply -> publish and answers once every subscriber acted on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_broker_log::LogDir;
use uuid::Uuid;

use crate::image::{Endpoint, Image};
use crate::publish::Subscription;
use crate::refusal::Refusal;
use crate::request::{
    ConfigChange, ConfigReplacement, CreatedTopic, Mode, NewPartitions, NewTopic, ProducerIdBlock,
};

/// What a controller needs to start.
#[derive(Clone)]
pub struct ControllerOptions {
    /// `node.id`
    pub node_id: i32,
    /// `cluster.id` of meta.properties.
    pub cluster_id: String,
    /// The log directories, opened; the first holds `__cluster_metadata-0`.
    pub log_dirs: Vec<Arc<LogDir>>,
    /// Ids of all log directories, in the order of `log_dirs`.
    pub directory_ids: Vec<Uuid>,
    /// Advertised listeners of this node as a broker.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    pub rack: Option<String>,
}

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata log or its state file is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The metadata log could not be opened.
    #[error(transparent)]
    Open(#[from] millstream_broker_log::OpenError),
    /// openraft refused.
    #[error("the metadata quorum did not start: {0}")]
    Quorum(String),
}

/// The handle on the controller; cheap to clone.
#[derive(Clone, Debug)]
pub struct Controller {}

impl Controller {
    /// Replays the metadata log, takes leadership, registers this node as a broker and, when the metadata log
    /// is new, adopts the partition folders that lie in the log directories.
    pub async fn start(options: ControllerOptions) -> Result<Controller, StartError> {
        let _ = options;
        unimplemented!()
    }
    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        unimplemented!()
    }
    /// A stream of what changes; its first item is everything.
    pub fn subscribe(&self) -> Subscription {
        unimplemented!()
    }
    /// CreateTopics. One answer per topic, in order.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        mode: Mode,
        timeout: Duration,
    ) -> Result<Vec<Result<CreatedTopic, Refusal>>, Refusal> {
        let _ = (topics, mode, timeout);
        unimplemented!()
    }
    /// DeleteTopics by id. One answer per topic, in order.
    pub async fn delete_topics(
        &self,
        ids: Vec<Uuid>,
        timeout: Duration,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let _ = (ids, timeout);
        unimplemented!()
    }
    /// CreatePartitions. One answer per topic, in order.
    pub async fn create_partitions(
        &self,
        topics: Vec<NewPartitions>,
        mode: Mode,
        timeout: Duration,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let _ = (topics, mode, timeout);
        unimplemented!()
    }
    /// IncrementalAlterConfigs. One answer per resource, in order.
    pub async fn incremental_alter_configs(
        &self,
        changes: Vec<ConfigChange>,
        mode: Mode,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let _ = (changes, mode);
        unimplemented!()
    }
    /// The older AlterConfigs. One answer per resource, in order.
    pub async fn replace_configs(
        &self,
        replacements: Vec<ConfigReplacement>,
        mode: Mode,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let _ = (replacements, mode);
        unimplemented!()
    }
    /// The next block of 1000 producer ids; never handed out twice, restarts included.
    pub async fn allocate_producer_ids(&self) -> Result<ProducerIdBlock, Refusal> {
        unimplemented!()
    }
    /// Stops openraft and waits until its task has ended.
    pub async fn stop(&self) {
        unimplemented!()
    }
}
