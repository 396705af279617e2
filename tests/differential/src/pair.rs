//! The two brokers of a run, started on temporary folders unless addresses are given.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use millstream_crash::node::{Kind, Node, built_binary};

use crate::side::Side;

/// Which broker stands on a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// One that runs already.
    At(SocketAddr),
    /// Apache Kafka, started here.
    Apache,
    /// Ours, started here.
    Millstream,
}

/// The same for both: nothing happens by the clock during a run, and starting is quick.
const SETTINGS: &[&str] = &[
    "log.retention.check.interval.ms=1000000000",
    "log.initial.task.delay.ms=1000000000",
    // A compacted batch is compressed anew and holds the time at which it was.
    "log.cleaner.backoff.ms=1000000000",
    "offsets.topic.num.partitions=5",
    "transaction.state.log.num.partitions=5",
    "group.initial.rebalance.delay.ms=0",
    "offsets.topic.replication.factor=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    // What the script that starts Apache Kafka sets, so that both tell the same source of it.
    "process.roles=broker,controller",
    "node.id=1",
    "controller.listener.names=CONTROLLER",
    "inter.broker.listener.name=PLAINTEXT",
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
    "num.partitions=1",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
];

/// Ours finalises no eligible leader replicas (docs/gaps.md); where Apache Kafka does, it sets `min.insync.replicas` for
/// the cluster.
const APACHE_ONLY: &str = "format:--feature eligible.leader.replicas.version=0";

/// A broker and what keeps it alive.
pub struct Running {
    /// The broker as a side of the comparison.
    pub side: Side,
    _node: Option<(tempfile::TempDir, Node)>,
}

/// Starts what is not running yet.
///
/// # Errors
/// When a broker does not start.
pub fn start(broker: &Broker, name: &'static str) -> anyhow::Result<Running> {
    let kind = match broker {
        Broker::At(address) => return Ok(Running { side: Side::new(name, *address), _node: None }),
        Broker::Apache => Kind::Apache(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../apache/apache.sh"))),
        Broker::Millstream => Kind::Millstream(built_binary()?),
    };
    let folder = tempfile::tempdir()?;
    let mut settings = SETTINGS.to_vec();
    if *broker == Broker::Apache {
        settings.push(APACHE_ONLY);
    }
    let node = Node::start(kind, folder.path(), &settings).with_context(|| format!("starting {name}"))?;
    Ok(Running { side: Side::new(name, node.address()), _node: Some((folder, node)) })
}
