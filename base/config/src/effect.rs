//! Keys that this broker takes and shows as Apache Kafka does, but that change nothing here, each with the reason.
//!
//! The documentation of such a key ends with the reason; a start names those that were set. A test holds the table
//! against the sources: what is not in it is read somewhere in the broker.

use crate::key::{Fallback, Key};
use crate::valid::parse;

const TIERED: &str = "there is no tiered storage (KIP-405)";
const PLAINTEXT: &str = "every listener is plaintext and open, without TLS, SASL and ACLs";
const ALONE: &str = "a node alone has no other to speak with";
const VOTER: &str = "the metadata quorum is this node alone";
const THREADS: &str = "requests run on the threads of the runtime, one for each processor";
const NEXT_GROUPS: &str = "groups of the consumer, share and streams protocols are not served";
const QUOTAS: &str = "there are no quotas";
const JAVA: &str = "Java classes are not loaded";
const METRICS: &str = "metrics are read at /metrics, not through Java";
const WAITING: &str = "a request that was answered leaves no trace among the waiting ones";
const METADATA: &str = "the metadata log keeps its own rhythm";
const OTHERWISE: &str = "this broker does it its own way, as the text says";

/// Names, or beginnings of names with a star, and why they change nothing.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("remote.*", TIERED),
    ("log.local.retention.*", TIERED),
    ("local.retention.*", TIERED),
    ("follower.fetch.last.tiered.offset.enable", TIERED),
    ("num.io.threads", THREADS),
    ("num.network.threads", THREADS),
    ("background.threads", THREADS),
    ("num.replica.alter.log.dirs.threads", ALONE),
    ("queued.max.requests", OTHERWISE),
    ("socket.send.buffer.bytes", "the system sizes the buffers of sockets as they are used"),
    ("socket.receive.buffer.bytes", "the system sizes the buffers of sockets as they are used"),
    ("socket.listen.backlog.size", "connections are accepted as they come, up to the system's own limit"),
    ("socket.connection.setup.timeout.*", ALONE),
    ("config.providers", JAVA),
    ("authorizer.class.name", JAVA),
    ("early.start.listeners", PLAINTEXT),
    ("controlled.shutdown.enable", ALONE),
    ("unstable.*", "nothing is under development"),
    ("initial.broker.registration.timeout.ms", ALONE),
    ("broker.heartbeat.interval.ms", ALONE),
    ("broker.session.timeout.ms", ALONE),
    ("controller.performance.*", METRICS),
    ("server.max.startup.time.ms", "a start takes well under a second, and recovery is waited for"),
    ("metadata.log.max.*", METADATA),
    ("metadata.log.segment.*", METADATA),
    ("metadata.max.*", METADATA),
    ("internal.metadata.*", METADATA),
    ("connection.failed.authentication.delay.ms", PLAINTEXT),
    ("controller.socket.timeout.ms", ALONE),
    ("replica.lag.time.max.ms", ALONE),
    ("replica.socket.*", ALONE),
    ("replica.fetch.*", ALONE),
    ("num.replica.fetchers", ALONE),
    ("replica.high.watermark.checkpoint.interval.ms", OTHERWISE),
    ("fetch.purgatory.purge.interval.requests", WAITING),
    ("producer.purgatory.purge.interval.requests", WAITING),
    ("delete.records.purgatory.purge.interval.requests", WAITING),
    ("auto.leader.rebalance.enable", ALONE),
    ("leader.imbalance.check.interval.seconds", ALONE),
    ("unclean.leader.election.*", ALONE),
    ("replica.selector.class", ALONE),
    ("leader.replication.throttled.replicas", ALONE),
    ("follower.replication.throttled.replicas", ALONE),
    ("group.coordinator.rebalance.protocols", NEXT_GROUPS),
    ("group.coordinator.threads", OTHERWISE),
    ("group.coordinator.background.threads", NEXT_GROUPS),
    ("group.coordinator.append.linger.ms", OTHERWISE),
    ("group.coordinator.cached.buffer.max.bytes", OTHERWISE),
    ("offsets.commit.timeout.ms", ALONE),
    ("offsets.load.buffer.size", OTHERWISE),
    ("offsets.topic.compression.codec", "the coordinator appends uncompressed batches"),
    ("group.consumer.*", NEXT_GROUPS),
    ("group.share.*", NEXT_GROUPS),
    ("group.streams.*", NEXT_GROUPS),
    ("share.*", NEXT_GROUPS),
    ("log.cleaner.io.buffer.size", OTHERWISE),
    ("log.cleaner.io.buffer.load.factor", OTHERWISE),
    ("cordoned.log.dirs", "it is checked and shown, but new partitions go wherever fewest are"),
    ("log.flush.start.offset.checkpoint.interval.ms", OTHERWISE),
    ("create.topic.policy.class.name", JAVA),
    ("alter.config.policy.class.name", JAVA),
    ("log.dir.failure.timeout.ms", ALONE),
    ("log.initial.task.delay.ms", OTHERWISE),
    ("transaction.state.log.load.buffer.size", OTHERWISE),
    ("transaction.two.phase.commit.enable", "two-phase commit (KIP-939) is not served"),
    ("controller.quorum.*", VOTER),
    ("metrics.*", METRICS),
    ("metric.reporters", METRICS),
    ("kafka.metrics.*", METRICS),
    ("telemetry.max.bytes", "clients cannot push metrics (KIP-714)"),
    ("quota.window.*", QUOTAS),
    ("replication.quota.window.*", QUOTAS),
    ("alter.log.dirs.replication.quota.window.*", QUOTAS),
    ("controller.quota.window.*", QUOTAS),
    ("client.quota.callback.class", QUOTAS),
    ("connections.max.reauth.ms", PLAINTEXT),
    ("sasl.*", PLAINTEXT),
    ("ssl.*", PLAINTEXT),
    ("security.providers", PLAINTEXT),
    ("principal.builder.class", PLAINTEXT),
    ("delegation.token.*", PLAINTEXT),
];

/// What Apache's shipped `server.properties` sets without effect here. Nobody chose these values, so nobody is told.
const SHIPPED: &[(&str, &str)] = &[
    ("controller.quorum.bootstrap.servers", "localhost:9093"),
    ("socket.send.buffer.bytes", "102400"),
    ("socket.receive.buffer.bytes", "102400"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];

/// Why a broker or topic key changes nothing here, `None` where it does what it says.
pub fn why_without(name: &str) -> Option<&'static str> {
    reason(WITHOUT_EFFECT, name)
}

/// What the first row says that means the key `name`; a name that ends with `*` means all that begin so.
pub(crate) fn reason(rows: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    rows.iter().find(|(pattern, _)| fits(pattern)).map(|(_, why)| *why)
}

/// Whether whoever wrote `text` expects something of `key` that this broker does not do.
pub fn is_in_vain(key: &Key, text: &str) -> bool {
    let default = match key.fallback {
        Fallback::Value(default) => Some(default),
        Fallback::Null | Fallback::Required => None,
    };
    let same = |other: &str| parse(key, other).ok() == parse(key, text).ok();
    let shipped = SHIPPED.iter().any(|(name, value)| *name == key.name && same(value));
    why_without(key.name).is_some() && !shipped && !default.is_some_and(same)
}

impl Key {
    /// What the key does, and if that is nothing here, why.
    pub fn documentation(&self) -> String {
        match why_without(self.name) {
            Some(why) => format!("{} No effect in this broker: {why}.", self.doc),
            None => self.doc.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_broker::BROKER_KEYS;
    use crate::table_topic::TOPIC_KEYS;

    #[test]
    fn every_row_means_a_key() {
        for (pattern, _) in WITHOUT_EFFECT {
            let beginning = pattern.trim_end_matches('*');
            let known = BROKER_KEYS.iter().chain(TOPIC_KEYS).any(|key| key.name.starts_with(beginning));
            assert!(known, "{pattern}");
        }
    }

    /// Keys that are not said to be without effect are read by the broker, and the others are not.
    #[test]
    fn the_sources_agree() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut sources = String::new();
        for folder in ["broker/server/src", "broker/controller/src", "broker/log/src"] {
            gather(&root.join(folder), &mut sources);
        }
        let source = std::fs::read_to_string(root.join("base/config/src/broker.rs")).expect("a source");
        sources.push_str(source.split("#[cfg(test)]").next().unwrap_or_default());
        let is_read = |name: &str| sources.contains(&format!("\"{name}\""));
        let synonym = |name: &str| {
            let mut keys = TOPIC_KEYS.iter().filter(|key| key.synonyms.iter().any(|synonym| synonym.name == name));
            keys.any(|key| is_read(key.name))
        };
        let (mut idle, mut used) = (Vec::new(), Vec::new());
        for key in BROKER_KEYS.iter().chain(TOPIC_KEYS) {
            // Nothing asks for the roles: a node alone has both.
            let works = key.name == "process.roles" || is_read(key.name) || synonym(key.name);
            // Internal topics are made with it, as Apache makes them.
            let works = works && key.name != "unclean.leader.election.enable";
            match (works, why_without(key.name)) {
                (true, Some(_)) => used.push(key.name),
                (false, None) => idle.push(key.name),
                (true, None) | (false, Some(_)) => {}
            }
        }
        assert!(idle.is_empty(), "read nowhere, and not said to be without effect: {idle:?}");
        assert!(used.is_empty(), "read in the broker, and said to be without effect: {used:?}");
    }

    fn gather(folder: &std::path::Path, sources: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                gather(&path, sources);
            } else if !["tests.rs", "decide/rules.rs", "start/unbuilt.rs"].iter().any(|name| path.ends_with(name)) {
                // The rules between keys name many that do nothing else, and the start those that it refuses.
                let source = std::fs::read_to_string(&path).expect("a source");
                sources.push_str(source.split("#[cfg(test)]").next().unwrap_or_default());
            }
        }
    }
}
