//! The door: start, image, subscribe, and one method per change.
//!
//! Each change runs decide -> replicate -> apply -> publish and answers once every subscriber acted on it.
//! Changes are decided one after the other, so that each sees the image it will follow.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use millstream_base_env::{Clock, Disk, task};
use millstream_broker_log::LogDir;
use millstream_protocol::error_code::ErrorCode;
use uuid::Uuid;

use crate::adopt;
use crate::decide::rules::Rules;
use crate::decide::{
    configs, create_partitions, create_topic, delete_topic, elect_leader, features, producer_ids, register_broker,
};
use crate::image::{Endpoint, Image};
use crate::publish::{Publisher, Subscription};
use crate::quorum::{Quorum, QuorumState};
use crate::record::{self, MetadataRecord, RegisterBrokerRecord};
use crate::refusal::Refusal;
use crate::request::{
    ConfigChange, ConfigReplacement, CreatedTopic, ElectionType, FeatureUpdate, Mode, NewPartitions, NewTopic,
    ProducerIdBlock, TopicDefaults,
};
use crate::state_file::StateFileError;

/// What a controller needs to start.
#[derive(Clone)]
pub struct ControllerOptions {
    /// The file system.
    pub disk: Disk,
    /// The time.
    pub clock: Clock,
    /// `node.id`
    pub node_id: i32,
    /// `cluster.id` of meta.properties.
    pub cluster_id: String,
    /// The log directories, opened.
    pub log_dirs: Vec<Arc<LogDir>>,
    /// The directory that holds `__cluster_metadata-0` (`metadata.log.dir`): one of `log_dirs`, or another.
    pub metadata_dir: Arc<LogDir>,
    /// Ids of all log directories, in the order of `log_dirs`.
    pub directory_ids: Vec<Uuid>,
    /// Advertised listeners of this node as a broker.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    pub rack: Option<String>,
    /// `num.partitions` and `default.replication.factor`.
    pub topic_defaults: TopicDefaults,
    /// What the configuration file says, by Kafka's keys.
    pub file: BTreeMap<String, String>,
}

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata log does not hang together.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the metadata log could not be used.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// The metadata log could not be opened.
    #[error(transparent)]
    Open(#[from] millstream_broker_log::OpenError),
    /// The folder belongs to another cluster.
    #[error("the metadata log belongs to cluster {found}, but meta.properties names cluster {expected}")]
    OtherCluster {
        /// What the metadata log says.
        found: String,
        /// What meta.properties says.
        expected: String,
    },
    /// A partition folder could not be adopted.
    #[error(transparent)]
    Adopt(#[from] adopt::AdoptError),
    /// openraft refused.
    #[error("the metadata quorum did not start: {0}")]
    Quorum(String),
}

/// The handle on the controller; cheap to clone.
#[derive(Clone)]
pub struct Controller {
    shared: Arc<Shared>,
}

struct Shared {
    quorum: Quorum,
    publisher: Arc<Publisher>,
    node_id: i32,
    topic_defaults: TopicDefaults,
    rules: Rules,
    /// Held from a decision until its records are in the image.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// How long a change waits for the broker to act on it where the request names no limit.
const ACT_TIMEOUT: Duration = Duration::from_secs(30);

/// Records and what to answer once they are committed.
type Decided<T> = Result<(Vec<MetadataRecord>, T), Refusal>;

impl Controller {
    /// Replays the metadata log, takes leadership, registers this node as a broker and, when the metadata log
    /// is new, adopts the partition folders that lie in the log directories.
    ///
    /// # Errors
    /// When the metadata log is damaged, belongs to another cluster or cannot be opened or written.
    pub async fn start(options: ControllerOptions) -> Result<Controller, StartError> {
        let publisher = Arc::new(Publisher::new());
        let quorum = Quorum::start(
            options.disk.clone(),
            options.clock.clone(),
            options.metadata_dir.clone(),
            options.node_id,
            publisher.clone(),
        )
        .await?;
        let shared = Shared {
            quorum,
            publisher,
            node_id: options.node_id,
            topic_defaults: options.topic_defaults,
            rules: Rules { file: options.file.clone() },
            turn: Arc::default(),
        };
        let controller = Controller { shared: Arc::new(shared) };
        controller.first_records(options).await?;
        Ok(controller)
    }

    async fn first_records(&self, options: ControllerOptions) -> Result<(), StartError> {
        let image = self.image();
        let mut records = Vec::new();
        let first_start = image.cluster_id().is_empty();
        if first_start {
            records.extend(register_broker::new_cluster(&options.cluster_id));
        } else if image.cluster_id() != options.cluster_id {
            return Err(StartError::OtherCluster {
                found: image.cluster_id().to_owned(),
                expected: options.cluster_id,
            });
        }
        let broker = RegisterBrokerRecord {
            broker_id: options.node_id,
            broker_epoch: -1,
            incarnation: Uuid::new_v4(),
            endpoints: options.endpoints.clone(),
            rack: options.rack.clone(),
            fenced: false,
            directories: options.directory_ids.clone(),
        };
        records.extend(register_broker::register_broker(&image, broker));
        if first_start {
            let found = tokio::task::spawn_blocking(move || adopt::find(&options))
                .await
                .map_err(|error| StartError::Quorum(error.to_string()))??;
            records.extend(found);
        }
        self.commit(records).await.map(drop).map_err(|refusal| StartError::Quorum(refusal.to_string()))
    }

    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        self.shared.publisher.image()
    }

    /// A stream of what changes; its first item is everything.
    pub fn subscribe(&self) -> Subscription {
        self.shared.publisher.subscribe()
    }

    /// Where the quorum stands (DescribeQuorum).
    pub fn quorum(&self) -> QuorumState {
        self.shared.quorum.state()
    }

    /// This node's id.
    pub fn node_id(&self) -> i32 {
        self.shared.node_id
    }

    /// CreateTopics. One answer per topic, in order.
    ///
    /// # Errors
    /// What refuses the request as a whole; REQUEST_TIMED_OUT when `timeout` passed before the broker had acted.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        mode: Mode,
        timeout: Duration,
    ) -> Result<Vec<Result<CreatedTopic, Refusal>>, Refusal> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let (rules, defaults) = (self.shared.rules.clone(), self.shared.topic_defaults);
        self.change(mode, timeout, move |image| {
            create_topic::create_topics(image, &rules, defaults, &topics, Uuid::new_v4)
        })
        .await
    }

    /// DeleteTopics by id. One answer per topic, in order.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn delete_topics(&self, ids: Vec<Uuid>, timeout: Duration) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.change(Mode::Execute, timeout, move |image| delete_topic::delete_topics(image, &ids)).await
    }

    /// CreatePartitions. One answer per topic, in order.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn create_partitions(
        &self,
        topics: Vec<NewPartitions>,
        mode: Mode,
        timeout: Duration,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        self.change(mode, timeout, move |image| create_partitions::create_partitions(image, &topics)).await
    }

    /// ElectLeaders. One answer per partition, in order.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Vec<(String, i32)>,
        timeout: Duration,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        self.change(Mode::Execute, timeout, move |image| elect_leader::elect_leaders(image, election, &partitions))
            .await
    }

    /// IncrementalAlterConfigs. One answer per resource, in order.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn incremental_alter_configs(
        &self,
        changes: Vec<ConfigChange>,
        mode: Mode,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let rules = self.shared.rules.clone();
        self.change(mode, ACT_TIMEOUT, move |image| configs::alter(image, &rules, &changes)).await
    }

    /// The older AlterConfigs. One answer per resource, in order.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn replace_configs(
        &self,
        replacements: Vec<ConfigReplacement>,
        mode: Mode,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let rules = self.shared.rules.clone();
        self.change(mode, ACT_TIMEOUT, move |image| configs::replace(image, &rules, &replacements)).await
    }

    /// UpdateFeatures. The first update that is refused refuses them all.
    ///
    /// # Errors
    /// As [`Controller::create_topics`].
    pub async fn update_features(
        &self,
        updates: Vec<FeatureUpdate>,
        mode: Mode,
        timeout: Duration,
    ) -> Result<(), Refusal> {
        let node_id = self.shared.node_id;
        self.change(mode, timeout, move |image| Ok((features::update_features(image, node_id, &updates)?, ()))).await
    }

    /// This broker's log directories are these from now on; new partitions are placed in them.
    ///
    /// # Errors
    /// When the metadata log cannot be written.
    pub async fn register_directories(&self, directories: Vec<Uuid>) -> Result<(), Refusal> {
        let node_id = self.shared.node_id;
        self.change(Mode::Execute, ACT_TIMEOUT, move |image| {
            Ok((register_broker::change_directories(image, node_id, directories), ()))
        })
        .await
    }

    /// The next block of 1000 producer ids; never handed out twice, restarts included.
    ///
    /// # Errors
    /// When the metadata log cannot be written.
    pub async fn allocate_producer_ids(&self) -> Result<ProducerIdBlock, Refusal> {
        self.change(Mode::Execute, ACT_TIMEOUT, |image| {
            let (record, block) = producer_ids::allocate(image)?;
            Ok((vec![record], block))
        })
        .await
    }

    /// Completes when the metadata log or the quorum on it failed for good, so that metadata cannot change any more.
    /// Says why.
    pub async fn failed(&self) -> String {
        self.shared.quorum.failed().await
    }

    /// Stops openraft and waits until its task has ended. Subscriptions end.
    pub async fn stop(&self) {
        self.shared.quorum.end_waiting();
        let _turn = self.shared.turn.lock().await;
        self.shared.quorum.stop().await;
        self.shared.publisher.close();
    }

    /// Decides on the newest image, commits the records and waits until every subscriber acted on them. What is
    /// decided is carried out even if the caller goes away.
    async fn change<T: Send + 'static>(
        &self,
        mode: Mode,
        timeout: Duration,
        decide: impl FnOnce(&Image) -> Decided<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        // A request without time is over before it is looked at (Java: KafkaEventQueue's deadlines).
        if timeout.is_zero() {
            return Err(Refusal::without_text(ErrorCode::RequestTimedOut));
        }
        if mode == Mode::ValidateOnly {
            return decide(&self.image()).map(|(_records, answer)| answer);
        }
        let late = || Refusal::without_text(ErrorCode::RequestTimedOut);
        let (offset, answer) = tokio::select! {
            carried_out = self.carry_out(decide) => carried_out?,
            () = self.shared.quorum.lacking_room_for(timeout) => return Err(late()),
        };
        if let Some(offset) = offset {
            let acted = tokio::time::timeout(timeout, self.shared.publisher.acted(offset)).await;
            acted.map_err(|_late| late())?;
        }
        Ok(answer)
    }

    /// In its turn; answers the offset of what was committed, if anything was.
    async fn carry_out<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&Image) -> Decided<T> + Send + 'static,
    ) -> Result<(Option<i64>, T), Refusal> {
        let turn = self.shared.turn.clone().lock_owned().await;
        let controller = self.clone();
        let committed = task::spawn("metadata-change", async move {
            let _turn = turn;
            let (records, answer) = decide(&controller.image())?;
            let offset = match records.is_empty() {
                true => None,
                false => Some(controller.commit(records).await?),
            };
            Ok((offset, answer))
        });
        committed.await.map_err(|error| {
            Refusal::new(ErrorCode::UnknownServerError, format!("a change of metadata failed: {error}"))
        })?
    }

    async fn commit(&self, records: Vec<MetadataRecord>) -> Result<i64, Refusal> {
        let mut bytes = BytesMut::new();
        record::encode_all(&records, &mut bytes);
        let applied = self.shared.quorum.write(bytes.to_vec()).await.map_err(|error| {
            tracing::error!(%error, "metadata log cannot be written");
            Refusal::new(ErrorCode::KafkaStorageError, format!("the metadata log cannot be written: {error}"))
        })?;
        Ok(applied.offset)
    }
}

#[cfg(test)]
mod tests;
