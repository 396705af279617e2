//! Keys that the client library takes as Apache Kafka's clients do, but that change nothing there, each with the reason.
//!
//! The documentation of such a key ends with the reason; the library warns of those that were set. A test holds the
//! table against the library's reading of settings: what is not in it is read.

use crate::effect::reason;
use crate::key::Key;

const SYSTEM: &str = "the system sizes the buffers of a connection";
const BYTES: &str = "keys and values are bytes";
const CODE: &str = "classes are not loaded: it is given to the producer or consumer in code";
const METRICS: &str = "metrics are read from the producer or consumer";
const TLS: &str = "rustls chooses";
const TOKENS: &str = "tokens come by client credentials, from a file, of sasl.jaas.config unsecured, or in code";
const SIGNED: &str = "there is no jwt-bearer grant";
const CHECKED: &str = "the broker checks tokens";
const KERBEROS: &str = "there is no GSSAPI";
const SHARE: &str = "there are no share groups";

/// Names, or beginnings of names with a star, and why they change nothing.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("client.dns.lookup", "every address of a name is tried, in the resolver's order"),
    ("send.buffer.bytes", SYSTEM),
    ("receive.buffer.bytes", SYSTEM),
    ("enable.metrics.push", "metrics stay with the client"),
    ("metrics.*", METRICS),
    ("metric.reporters", METRICS),
    ("key.serializer", BYTES),
    ("value.serializer", BYTES),
    ("key.deserializer", BYTES),
    ("value.deserializer", BYTES),
    ("connections.max.idle.ms", "the broker ends connections that stand idle"),
    ("partitioner.class", CODE),
    ("interceptor.classes", CODE),
    ("internal.throw.on.fetch.stable.offset.unsupported", "offsets that are not stable are always waited for"),
    ("group.protocol", "members join classic groups"),
    ("group.remote.assignor", "members join classic groups"),
    ("security.providers", TLS),
    ("ssl.protocol", TLS),
    ("ssl.provider", TLS),
    ("ssl.cipher.suites", TLS),
    ("ssl.enabled.protocols", TLS),
    ("ssl.keymanager.algorithm", TLS),
    ("ssl.trustmanager.algorithm", TLS),
    ("ssl.secure.random.implementation", TLS),
    ("ssl.engine.factory.class", TLS),
    ("sasl.kerberos.*", KERBEROS),
    ("sasl.login.class", TOKENS),
    ("sasl.login.callback.handler.class", TOKENS),
    ("sasl.login.refresh.*", "a token is used for four fifths of its life"),
    ("sasl.client.callback.handler.class", TOKENS),
    ("sasl.oauthbearer.jwt.*", TOKENS),
    ("sasl.oauthbearer.assertion.*", SIGNED),
    ("sasl.oauthbearer.jwks.*", CHECKED),
    ("sasl.oauthbearer.scope.claim.name", CHECKED),
    ("sasl.oauthbearer.sub.claim.name", CHECKED),
    ("sasl.oauthbearer.clock.skew.seconds", CHECKED),
    ("sasl.oauthbearer.expected.*", CHECKED),
    ("transaction.two.phase.commit.enable", "there is no two-phase commit (KIP-939)"),
    (
        "metadata.recovery.rebootstrap.trigger.ms",
        "bootstrap addresses are asked again as soon as no known broker answers",
    ),
    ("share.*", SHARE),
    ("config.providers", "values are taken as they stand"),
];

/// Why a client's key changes nothing, `None` where it does what it says.
pub fn why_client_without(name: &str) -> Option<&'static str> {
    reason(WITHOUT_EFFECT, name)
}

impl Key {
    /// What a client's key does, and if that is nothing, why.
    pub fn client_documentation(&self) -> String {
        match why_client_without(self.name) {
            Some(why) => format!("{} No effect in this client: {why}.", self.doc),
            None => self.doc.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_client::{CONSUMER_KEYS, PRODUCER_KEYS};

    #[test]
    fn what_is_not_read_is_said_to_be_without_effect() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../client/src"));
        let source = ["config.rs", "config/security.rs"]
            .map(|name| std::fs::read_to_string(folder.join(name)).expect("a source"))
            .concat();
        // The levels are read by the codec's name.
        let is_read = |name: &str| source.contains(&format!("\"{name}\"")) || name.ends_with(".level");
        let keys = PRODUCER_KEYS.iter().chain(CONSUMER_KEYS);
        let (mut idle, mut used) = (Vec::new(), Vec::new());
        for key in keys.filter(|key| key.name != "metrics.recording.level") {
            match (is_read(key.name), why_client_without(key.name)) {
                (true, Some(_)) => used.push(key.name),
                (false, None) => idle.push(key.name),
                (true, None) | (false, Some(_)) => {}
            }
        }
        assert!(idle.is_empty(), "read nowhere, and not said to be without effect: {idle:?}");
        assert!(used.is_empty(), "read, and said to be without effect: {used:?}");
    }
}
