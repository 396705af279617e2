//! What the controller's methods take and answer, free of versions and wire formats.

use std::collections::BTreeMap;

use uuid::Uuid;

/// A topic to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; -1 takes `num.partitions`, and is required with `assignments`.
    pub partitions: i32,
    /// Replication factor; -1 takes `default.replication.factor`, and is required with `assignments`.
    pub replication_factor: i16,
    /// Replicas by partition, when the client places them itself.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Topic configuration; a null value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic whose replicas the controller places.
    pub fn new(name: impl Into<String>, partitions: i32, replication_factor: i16) -> Self {
        NewTopic { name: name.into(), partitions, replication_factor, ..NewTopic::default() }
    }

    /// The same with one more configuration.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), Some(value.into())));
        self
    }
}

/// Whether a request is carried out or only checked (`validate_only`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carry it out.
    Execute,
    /// Check it and answer as if.
    ValidateOnly,
}

/// A topic that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// Replication factor.
    pub replication_factor: i16,
}

/// Partitions to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic.
    pub topic: String,
    /// Number of partitions it is to have.
    pub count: i32,
    /// Replicas of each new partition, when the client places them itself.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// A change to one key (IncrementalAlterConfigs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Sets the value; null is refused.
    Set(Option<String>),
    /// Back to the default.
    Delete,
    /// Adds to a list.
    Append(Option<String>),
    /// Takes from a list.
    Subtract(Option<String>),
}

/// Changes to the configuration of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The resource.
    pub resource: crate::image::ConfigResource,
    /// Changes in the order of the request.
    pub ops: Vec<(String, ConfigOp)>,
}

/// The whole configuration of one resource (the older AlterConfigs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReplacement {
    /// The resource.
    pub resource: crate::image::ConfigResource,
    /// What it is to hold afterwards.
    pub configs: BTreeMap<String, Option<String>>,
}

/// A block of producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: i64,
    /// How many.
    pub count: i32,
}

/// What a topic takes where its request says -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`
    pub partitions: i32,
    /// `default.replication.factor`
    pub replication_factor: i16,
}

/// How a leader is elected (ElectLeaders).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica, when there is no leader.
    Unclean,
}

/// A change to the level of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Its name.
    pub feature: String,
    /// The level wanted.
    pub level: i16,
    /// What the client is prepared for.
    pub upgrade_type: UpgradeType,
}

/// See [`FeatureUpdate::upgrade_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// A number that this version does not know.
    Unknown,
    /// The level may only go up.
    Upgrade,
    /// It may go down where nothing is lost.
    SafeDowngrade,
    /// It may go down.
    UnsafeDowngrade,
}
