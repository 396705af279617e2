//! The coordinators of a node: groups and offsets, transactions, and what they share.
//!
//! Part of [`crate::node::Node`]; fed by [`crate::coord::leadership`].

use std::sync::Arc;

use millstream_base_config::BrokerConfig;
use millstream_base_env::Clock;
use millstream_broker_controller::Controller;
use millstream_broker_coordinator::group::ask::GroupConfig;

use crate::coord::groups::GroupCoordinator;
use crate::coord::internal_topics::InternalTopics;
use crate::coord::timer::Timer;
use crate::coord::txn::TxnCoordinator;
use crate::coord::txn::markers::MarkerWriter;
use crate::replica::partitions::Partitions;

/// See the module.
pub struct Coordinators {
    /// Wakes the shards of all coordinators.
    pub timer: Timer,
    /// Groups and offsets.
    pub groups: Arc<GroupCoordinator>,
    /// Transactions.
    pub txns: TxnCoordinator,
    /// Makes the topics that coordinators keep their state in.
    pub internal_topics: InternalTopics,
}

impl Coordinators {
    /// Without partitions yet.
    pub fn new(clock: &Clock, config: &BrokerConfig, controller: &Controller, partitions: &Arc<Partitions>) -> Self {
        let timer = Timer::new(clock.clone());
        let count = config.number("offsets.topic.num.partitions") as i32;
        let groups = Arc::new(GroupCoordinator::new(clock.clone(), timer.clone(), group_config(config), count));
        let writer = MarkerWriter::new(clock.clone(), controller.clone(), partitions.clone(), groups.clone());
        let txns = TxnCoordinator::new(config, controller.clone(), clock.clone(), timer.clone(), Arc::new(writer));
        Coordinators { timer, groups, txns, internal_topics: InternalTopics::default() }
    }
}

fn group_config(config: &BrokerConfig) -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: config.number("group.initial.rebalance.delay.ms") as i32,
        session_timeout_min_ms: config.number("group.min.session.timeout.ms") as i32,
        session_timeout_max_ms: config.number("group.max.session.timeout.ms") as i32,
        size_max: usize::try_from(config.number("group.max.size")).unwrap_or(usize::MAX),
        offset_metadata_max: usize::try_from(config.number("offset.metadata.max.bytes")).unwrap_or(0),
        offsets_retention_ms: config.number("offsets.retention.minutes").saturating_mul(60_000),
        retention_check_interval_ms: config.number("offsets.retention.check.interval.ms"),
    }
}
