//! What a node consists of, as its handlers see it.
//!
//! Made by start.rs; shared by every connection. Never here: how it is started or stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream_base_config::BrokerConfig;
use millstream_base_env::Clock;
use millstream_broker_controller::{ConfigResourceType, Controller, Endpoint};

use crate::api::fetch_session::FetchSessions;
use crate::coord::coordinators::Coordinators;
use crate::net::answer_memory::AnswerMemory;
use crate::net::rarely::Rarely;
use crate::net::request_memory::RequestMemory;
use crate::replica::partitions::Partitions;

/// Limits of connections, read once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `socket.request.max.bytes`
    pub socket_request_max_bytes: usize,
    /// `fetch.max.bytes`
    pub fetch_max_bytes: usize,
    /// `connections.max.idle.ms`
    pub connections_max_idle: Duration,
}

impl Limits {
    /// As the configuration says.
    pub fn new(config: &BrokerConfig) -> Self {
        let size = |key| usize::try_from(config.number(key)).unwrap_or(0);
        // A negative idle time closes nothing; a thousand years come to the same.
        let idle_ms = u64::try_from(config.number("connections.max.idle.ms")).unwrap_or(1000 * 365 * 86_400_000);
        Limits {
            socket_request_max_bytes: size("socket.request.max.bytes"),
            fetch_max_bytes: size("fetch.max.bytes"),
            connections_max_idle: Duration::from_millis(idle_ms),
        }
    }
}

/// A node.
pub struct Node {
    /// The time.
    pub clock: Clock,
    /// What the file and the command line said.
    pub config: Arc<BrokerConfig>,
    /// Limits of connections.
    pub limits: Limits,
    /// Cluster metadata.
    pub controller: Controller,
    /// Where it listens for clients of controllers, as advertised.
    pub controller_endpoints: Vec<Endpoint>,
    /// Partitions on this node.
    pub partitions: Arc<Partitions>,
    /// Groups, offsets, transactions.
    pub coordinators: Coordinators,
    /// Incremental fetch sessions.
    pub fetch_sessions: FetchSessions,
    /// Memory of requests that have come in part.
    pub request_memory: Arc<RequestMemory>,
    /// Memory of large answers.
    pub answer_memory: AnswerMemory,
    /// Lines about requests that cannot be read.
    pub turned_away: Rarely,
    /// Counts that /metrics shows.
    pub counts: Counts,
    /// Whether recovery is done and requests are served.
    pub ready: AtomicBool,
}

/// Counts that more than one task keeps.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections open now.
    pub connections: AtomicU64,
}

impl Node {
    /// A node that is not ready yet.
    pub fn new(
        clock: Clock,
        config: Arc<BrokerConfig>,
        controller: Controller,
        controller_endpoints: Vec<Endpoint>,
        partitions: Arc<Partitions>,
    ) -> Self {
        let limits = Limits::new(&config);
        let coordinators = Coordinators::new(&clock, &config, &controller, &partitions);
        let slots = usize::try_from(config.number("max.incremental.fetch.session.cache.slots")).unwrap_or(0);
        let fetch_sessions = FetchSessions::new(slots);
        let queued_bytes_max = config.number("queued.max.request.bytes");
        let request_memory = Arc::new(RequestMemory::new(queued_bytes_max, limits.socket_request_max_bytes));
        Node {
            clock,
            config,
            limits,
            controller,
            controller_endpoints,
            partitions,
            coordinators,
            fetch_sessions,
            request_memory,
            answer_memory: AnswerMemory::default(),
            turned_away: Rarely::default(),
            counts: Counts::default(),
            ready: AtomicBool::new(false),
        }
    }

    /// What a broker key is worth now: as set for this broker, by default for all, in the file, or Kafka's default.
    /// For keys that may change while the broker runs; the others are read from `config`.
    pub fn number(&self, key: &str) -> i64 {
        self.set_now(key).and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| self.config.number(key))
    }

    /// The same of a key of kind DOUBLE.
    pub fn decimal(&self, key: &str) -> f64 {
        self.set_now(key).and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| self.config.decimal(key))
    }

    /// The same of a key that is no number, or of no row of the table.
    pub fn text(&self, key: &str) -> Option<String> {
        self.set_now(key).or_else(|| self.config.text(key))
    }

    fn set_now(&self, key: &str) -> Option<String> {
        let image = self.controller.image();
        let set = |name: &str| image.configs(ConfigResourceType::Broker, name)?.get(key).cloned();
        set(&self.id().to_string()).or_else(|| set(""))
    }

    /// `node.id`
    pub fn id(&self) -> i32 {
        self.config.node_id
    }

    /// Whether requests are served.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}
