//! Keys that Kafka Streams in Rust takes as Apache's does, but that change nothing there, each with the reason.
//!
//! The documentation of such a key ends with the reason; an application warns at its start of those that were set. A test
//! holds the table against the sources of streams: what is not in it is read there, or handed to a client that reads it.

use crate::effect::reason;
use crate::effect_client::why_client_without;
use crate::key::{Key, find};
use crate::table_client::{ADMIN_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};

const SERDES: &str = "types have serdes: StreamsBuilder::default_serde sets that of a type";
const CODE: &str = "classes are not loaded: it is given in code";
const METRICS: &str = "metrics stay with the application";
const RACKS: &str = "tasks are placed without regard to racks";
const CLASSIC: &str = "members join classic groups";

/// Names, or beginnings of names with a star, and why they change nothing.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("default.key.serde", SERDES),
    ("default.value.serde", SERDES),
    ("default.list.*", SERDES),
    ("windowed.inner.class.serde", SERDES),
    ("window.size.ms", SERDES),
    ("processing.exception.handler.global.enabled", "a failure while a global store is filled ends its thread"),
    ("ensure.explicit.internal.resource.naming", "names may be generated"),
    ("task.assignor.class", CODE),
    ("processor.wrapper.class", CODE),
    ("rocksdb.config.setter", "the options of RocksDB follow from one budget of memory"),
    ("dsl.store.format", "rows have no headers"),
    ("rack.aware.assignment.*", RACKS),
    ("group.protocol", CLASSIC),
    ("allow.os.group.write.access", "the state directory has the permissions of the process"),
    ("state.cleanup.dir.max.age.ms", "state is kept by state.cleanup.delay.ms alone"),
    ("log.summary.interval.ms", "there is no summary in the log"),
    ("built.in.metrics.version", METRICS),
    ("enable.metrics.push", METRICS),
    ("metric.reporters", METRICS),
    ("metrics.num.samples", METRICS),
    ("metrics.sample.window.ms", METRICS),
    ("upgrade.from", "instances of older versions are no members of its groups"),
    ("config.providers", "values are taken as they stand"),
];

/// Keys that streams reads and hands on to clients, which do nothing with them.
const READ_HERE: &[&str] = &["metrics.recording.level"];

/// Why a key of streams changes nothing, `None` where it does what it says.
pub fn why_streams_without(name: &str) -> Option<&'static str> {
    if READ_HERE.contains(&name) {
        return None;
    }
    reason(WITHOUT_EFFECT, name).or_else(|| handed_on(name).then(|| why_client_without(name)).flatten())
}

/// Whether a client takes the key too, and so gets it.
fn handed_on(name: &str) -> bool {
    [CONSUMER_KEYS, PRODUCER_KEYS, ADMIN_KEYS].iter().any(|keys| find(keys, name).is_some())
}

impl Key {
    /// What a key of streams does, and if that is nothing, why.
    pub fn streams_documentation(&self) -> String {
        match why_streams_without(self.name) {
            Some(why) => format!("{} No effect: {why}.", self.doc),
            None => self.doc.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_streams::STREAMS_KEYS;

    #[test]
    fn what_is_not_read_is_said_to_be_without_effect() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../streams/src/config.rs");
        let source = std::fs::read_to_string(path).expect("a source");
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let (mut idle, mut used) = (Vec::new(), Vec::new());
        for key in STREAMS_KEYS.iter().filter(|key| !["group.protocol", "enable.metrics.push"].contains(&key.name)) {
            let is_read = source.contains(&format!("\"{}\"", key.name)) || handed_on(key.name);
            match (is_read, why_streams_without(key.name)) {
                (true, Some(_)) if !handed_on(key.name) => used.push(key.name),
                (false, None) => idle.push(key.name),
                _ => {}
            }
        }
        assert!(idle.is_empty(), "read nowhere, and not said to be without effect: {idle:?}");
        assert!(used.is_empty(), "read, and said to be without effect: {used:?}");
    }

    #[test]
    fn every_row_means_a_key() {
        for (pattern, _) in WITHOUT_EFFECT {
            let beginning = pattern.trim_end_matches('*');
            assert!(STREAMS_KEYS.iter().any(|key| key.name.starts_with(beginning)), "{pattern}");
        }
    }
}
