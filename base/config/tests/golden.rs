//! Our tables against Apache Kafka 4.3.1's own, row by row.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use millstream_base_config::key::find;
use millstream_base_config::table_broker::BROKER_KEYS;
use millstream_base_config::table_client::{ADMIN_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};
use millstream_base_config::table_group::{CLIENT_METRICS_KEYS, GROUP_KEYS, QUOTA_KEYS};
use millstream_base_config::table_streams::STREAMS_KEYS;
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_base_config::valid::check;
use millstream_base_config::{Fallback, Key, Kind, Update};

const EVERY_TABLE: [&[Key]; 9] = [
    BROKER_KEYS,
    TOPIC_KEYS,
    PRODUCER_KEYS,
    CONSUMER_KEYS,
    ADMIN_KEYS,
    GROUP_KEYS,
    CLIENT_METRICS_KEYS,
    QUOTA_KEYS,
    STREAMS_KEYS,
];

const APACHE: &str = include_str!("../golden/keys.tsv");

#[test]
fn names_types_defaults_and_importance_are_apaches() {
    let mut seen = 0;
    for (scope, keys) in [
        ("broker", BROKER_KEYS),
        ("topic", TOPIC_KEYS),
        ("producer", PRODUCER_KEYS),
        ("consumer", CONSUMER_KEYS),
        ("admin", ADMIN_KEYS),
        ("group", GROUP_KEYS),
        ("client-metrics", CLIENT_METRICS_KEYS),
        ("quota", QUOTA_KEYS),
        ("streams", STREAMS_KEYS),
    ] {
        let rows = APACHE.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| row[0] == scope);
        let ours: Vec<[String; 5]> = keys.iter().map(shown).collect();
        let theirs: Vec<[String; 5]> =
            rows.map(|row| [row[1], row[2], row[3], row[5], row[6]].map(str::to_owned)).collect();
        assert_eq!(ours, theirs, "{scope}");
        seen += theirs.len();
    }
    assert_eq!(seen, APACHE.lines().count());
}

fn shown(key: &Key) -> [String; 5] {
    let fallback = match key.fallback {
        Fallback::Required => "<none>",
        Fallback::Null => "<null>",
        Fallback::Value(text) => text,
    };
    [
        key.name.to_owned(),
        key.kind.to_string(),
        fallback.to_owned(),
        format!("{:?}", key.importance).to_uppercase(),
        key.internal.to_string(),
    ]
}

#[test]
fn broker_keys_change_as_apaches_do() {
    let rows = APACHE.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| row[0] == "broker");
    for (row, key) in rows.zip(BROKER_KEYS) {
        let ours = match key.update {
            Update::ReadOnly => "read-only",
            Update::PerBroker => "per-broker",
            Update::ClusterWide => "cluster-wide",
        };
        assert_eq!((key.name, ours), (row[1], row[7]));
    }
}

/// The samples that golden/DumpValues.java chose for each key, and what Apache Kafka makes of each.
fn samples() -> String {
    let mut text = String::new();
    let packed: &[u8] = include_bytes!("../golden/values.tsv.gz");
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("a golden file that unpacks");
    text
}

#[test]
fn values_are_taken_and_refused_as_apache_does() {
    let text = samples();
    let mut different = Vec::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let [scope, name, sample, rest] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else {
            panic!("a row has four fields: {line}");
        };
        let keys = match scope {
            "broker" => BROKER_KEYS,
            "topic" => TOPIC_KEYS,
            "group" => GROUP_KEYS,
            _ => QUOTA_KEYS,
        };
        let key = find(keys, name).expect("a key of Apache's is one of ours");
        seen.insert((scope, name));
        let ours = match check(key, sample) {
            Ok(value) => format!("ok {value}"),
            Err(message) => format!("no {message}"),
        };
        // Where Java trips over a value, being refused is enough.
        let is_same = if rest.starts_with("no java.") { ours.starts_with("no ") } else { ours == rest };
        if !is_same {
            different.push(format!("{scope} {name} <{sample}>\n  Apache: {rest}\n  ours:   {ours}"));
        }
    }
    let tables = [BROKER_KEYS, TOPIC_KEYS, GROUP_KEYS, QUOTA_KEYS];
    let count = tables.iter().flat_map(|keys| keys.iter()).filter(|key| key.kind != Kind::Class).count();
    assert_eq!(seen.len(), count);
    let shown: Vec<&str> = different.iter().map(String::as_str).take(40).collect();
    assert!(different.is_empty(), "{} differ, the first of them:\n{}", different.len(), shown.join("\n"));
}

/// `make soak` asks Apache's jars again; `UPDATE=1` writes what they say.
#[test]
fn golden_values_are_current() {
    let update = std::env::var_os("UPDATE").is_some();
    if !update && std::env::var_os("MILLSTREAM_SOAK").is_none() {
        return;
    }
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let apache = golden.join("../../../tests/apache/apache.sh");
    let run = std::process::Command::new(apache).arg("java").arg(golden.join("DumpValues.java")).output();
    let run = run.expect("apache.sh runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    if update {
        #[expect(clippy::disallowed_methods, reason = "a golden file of the sources, no data")]
        let file = std::fs::File::create(golden.join("values.tsv.gz")).expect("a golden file can be written");
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        packed.write_all(&run.stdout).and_then(|()| packed.finish().map(drop)).expect("a golden file can be written");
        return;
    }
    assert!(run.stdout == samples().as_bytes(), "Apache's jars say something else than golden/values.tsv.gz");
}

#[test]
fn every_default_is_legal() {
    for keys in EVERY_TABLE {
        for key in keys {
            if let Some(text) = key.default_value() {
                assert!(check(key, text).is_ok(), "{}: {:?}", key.name, check(key, text));
            }
        }
    }
}

#[test]
fn every_key_is_documented() {
    for keys in EVERY_TABLE {
        for key in keys {
            assert!(key.doc.len() > 10 && key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
        }
    }
}

#[test]
fn pages_are_current() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, title, keys) in [
        ("broker", "Broker configuration", BROKER_KEYS),
        ("topic", "Topic configuration", TOPIC_KEYS),
        ("producer", "Producer configuration", PRODUCER_KEYS),
        ("consumer", "Consumer configuration", CONSUMER_KEYS),
        ("admin", "Admin client configuration", ADMIN_KEYS),
        ("streams", "Streams configuration", STREAMS_KEYS),
    ] {
        let path = docs.join(format!("{name}-configs.md"));
        let write = match name {
            "broker" | "topic" => millstream_base_config::docs::page,
            "streams" => millstream_base_config::docs::streams_page,
            _ => millstream_base_config::docs::client_page,
        };
        let page = write(title, keys);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&docs).expect("docs can be made");
            std::fs::write(&path, &page).expect("a page can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page, "{} is not current: UPDATE=1 cargo test -p millstream-base-config", path.display());
    }
}
