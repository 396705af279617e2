//! Our tables against Apache Kafka 4.3.1's own, row by row.

use millstream_base_config::table_broker::BROKER_KEYS;
use millstream_base_config::table_client::{ADMIN_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};
use millstream_base_config::table_group::{CLIENT_METRICS_KEYS, GROUP_KEYS, QUOTA_KEYS};
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_base_config::valid::check;
use millstream_base_config::{Fallback, Key};

const EVERY_TABLE: [&[Key]; 8] = [
    BROKER_KEYS,
    TOPIC_KEYS,
    PRODUCER_KEYS,
    CONSUMER_KEYS,
    ADMIN_KEYS,
    GROUP_KEYS,
    CLIENT_METRICS_KEYS,
    QUOTA_KEYS,
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
    ] {
        let rows =
            APACHE.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| row[0] == scope);
        let ours: Vec<[String; 5]> = keys.iter().map(|key| shown(key)).collect();
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
    ] {
        let path = docs.join(format!("{name}-configs.md"));
        let page = millstream_base_config::docs::page(title, keys);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&docs).expect("docs can be made");
            std::fs::write(&path, &page).expect("a page can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "{} is not current: UPDATE=1 cargo test -p millstream-base-config",
            path.display()
        );
    }
}
