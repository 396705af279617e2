//! Transactions and plugins from the producer's side, and what the admin calls say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::TopicPartition;
use client::admin::{
    AclFilter, Admin, Change, ElectionType, FeatureUpdate, TransactionFilter, TransactionState, UpgradeType,
};
use client::config::{ConsumerConfig, Isolation, ProducerConfig, Reset};
use client::consumer::{Consumer, Offsets};
use client::error::{ClientError, ErrorClass};
use client::metadata::TopicView;
use client::producer::{
    GroupMetadata, Interceptor, NewRecord, OwnedRecord, Partitioner, Plugins, Producer, RecordMetadata,
};

use crate::support::Node;
use crate::{create, read, values};

fn producer(node: &Node, id: &str) -> Producer {
    let settings = [("transactional.id", id), ("compression.type", "lz4"), ("linger.ms", "50")];
    let (config, unknown) = ProducerConfig::from_properties(settings).expect("a config");
    assert!(unknown.is_empty());
    Producer::new(node.cluster(), config)
}

async fn push(producer: &Producer, topic: &str, partition: i32, value: &str) {
    let record = NewRecord { topic, partition: Some(partition), value: Some(value.as_bytes()), ..NewRecord::default() };
    producer.push(record).await.expect("room");
}

async fn committed(node: &Node, topic: &str, count: usize) -> Vec<String> {
    let config =
        ConsumerConfig { reset: Reset::Earliest, isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(node.cluster(), config);
    consumer.assign(&[TopicPartition::new(topic, 0), TopicPartition::new(topic, 1)]).expect("nothing subscribed");
    let found = read(&mut consumer, |all| all.len() >= count).await;
    let mut found: Vec<String> = values(&found).into_iter().map(str::to_owned).collect();
    found.sort();
    found
}

/// What is committed is read as a whole, what is aborted never; offsets go with it.
pub async fn all_or_nothing(node: &mut Node) {
    create(node, "txn", 2).await;
    create(node, "txn-in", 1).await;
    let own = producer(node, "writer");
    let record = NewRecord { topic: "txn", ..NewRecord::default() };
    assert!(own.push(record).await.is_err(), "nothing before init_transactions");
    own.init_transactions().await.expect("a coordinator");
    assert!(own.push(record).await.is_err(), "nothing outside of a transaction");
    let at = TopicPartition::new("txn-in", 0);
    for round in 0..6 {
        own.begin_transaction().expect("ready");
        for n in 0..20 {
            push(&own, "txn", n % 2, &format!("{round}-{n:02}")).await;
        }
        let offsets = Offsets::from([(at.clone(), (100 + round).into())]);
        own.send_offsets_to_transaction(&offsets, &GroupMetadata::new("txn-group")).await.expect("taken in");
        if round % 3 == 1 {
            own.abort_transaction().await.expect("aborted");
        } else {
            own.commit_transaction().await.expect("committed");
        }
    }
    // One without records costs nothing and changes nothing.
    own.begin_transaction().expect("ready");
    own.commit_transaction().await.expect("nothing to commit");
    let mut expected: Vec<String> = Vec::new();
    for round in [0, 2, 3, 5] {
        expected.extend((0..20).map(|n| format!("{round}-{n:02}")));
    }
    assert_eq!(committed(node, "txn", expected.len()).await, expected);
    let offsets = Admin::new(node.cluster()).committed_offsets("txn-group").await.expect("a group");
    assert_eq!(offsets.get(&at).map(|committed| committed.offset), Some(105));
}

/// A record that cannot be sent leaves only the abort, then it goes on; who is fenced cannot go on.
pub async fn errors(node: &mut Node) {
    create(node, "txn-errors", 2).await;
    let own = producer(node, "unlucky");
    own.init_transactions().await.expect("a coordinator");
    own.begin_transaction().expect("ready");
    push(&own, "txn-errors", 0, "lost").await;
    let large = vec![0; 2 << 20];
    let record = NewRecord { topic: "txn-errors", value: Some(&large), ..NewRecord::default() };
    assert!(own.push(record).await.is_err());
    let error = own.commit_transaction().await.expect_err("spoiled");
    assert_eq!(error.class(), ErrorClass::Abortable, "{error}");
    own.abort_transaction().await.expect("aborted");
    own.begin_transaction().expect("ready again");
    push(&own, "txn-errors", 0, "kept").await;
    own.commit_transaction().await.expect("committed");
    own.begin_transaction().expect("ready");
    push(&own, "txn-errors", 1, "fenced").await;
    own.flush().await.expect("written");
    let next = producer(node, "unlucky");
    next.init_transactions().await.expect("the older one is shut out");
    let error = own.commit_transaction().await.expect_err("fenced");
    assert_eq!(error.class(), ErrorClass::ApplicationRecoverable, "{error}");
    assert!(own.abort_transaction().await.is_err());
    next.begin_transaction().expect("ready");
    push(&next, "txn-errors", 1, "next").await;
    next.commit_transaction().await.expect("committed");
    assert_eq!(committed(node, "txn-errors", 2).await, ["kept", "next"]);
    // Dropped with a transaction open: it is aborted, not left to its timeout.
    next.begin_transaction().expect("ready");
    push(&next, "txn-errors", 0, "dropped").await;
    next.close(Duration::from_secs(10)).await.expect("closed");
    drop(next);
    let admin = Admin::new(node.cluster());
    loop {
        let described = admin.describe_transactions(&["unlucky".to_owned()]).await.expect("a coordinator");
        let state = described["unlucky"].as_ref().expect("known").state;
        if matches!(state, TransactionState::CompleteAbort) {
            break;
        }
        assert_eq!(state.name().replace("PrepareAbort", "Ongoing"), "Ongoing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A transaction that is open is seen from outside, and can be ended there.
pub async fn seen_from_outside(node: &mut Node) {
    create(node, "txn-open", 2).await;
    let own = producer(node, "open");
    own.init_transactions().await.expect("a coordinator");
    own.begin_transaction().expect("ready");
    push(&own, "txn-open", 1, "v").await;
    own.flush().await.expect("written");
    let admin = Admin::new(node.cluster());
    let described = admin.describe_transactions(&["open".to_owned(), "nobody".to_owned()]).await.expect("coordinators");
    let open = described["open"].as_ref().expect("known");
    let at = TopicPartition::new("txn-open", 1);
    assert_eq!((open.state, open.timeout_ms), (TransactionState::Ongoing, 60_000));
    assert_eq!(open.partitions, BTreeSet::from([at.clone()]));
    assert!(open.started_ms.is_some());
    assert_eq!(
        described["nobody"].as_ref().expect_err("unknown").code().map(|code| code.name()),
        Some("TRANSACTIONAL_ID_NOT_FOUND")
    );
    let filter = TransactionFilter { states: vec![TransactionState::Ongoing], ..TransactionFilter::default() };
    let listed = admin.list_transactions(&filter).await.expect("brokers");
    let ids: Vec<&str> =
        listed[&1].as_ref().expect("listed").iter().map(|listed| listed.transactional_id.as_str()).collect();
    assert_eq!(ids, ["open"]);
    let unknown = TopicPartition::new("nowhere", 0);
    let asked = BTreeSet::from([at.clone()]);
    let producers = admin.describe_producers(&asked, None).await.expect("a leader");
    let state = producers[&at].as_ref().expect("known").first().expect("one producer").clone();
    assert_eq!((state.producer_id, state.current_transaction_start_offset), (open.producer_id, Some(0)));
    let short = admin.clone().with_timeout(Duration::from_millis(200));
    let producers = short.describe_producers(&BTreeSet::from([unknown.clone()]), None).await.expect("asked");
    assert!(producers[&unknown].is_err());
    let fenced = admin.fence_producers(&["open".to_owned()]).await.expect("a coordinator");
    assert!(fenced["open"].as_ref().expect("fenced").1 > 0);
    assert!(own.commit_transaction().await.is_err());
}

/// The calls about the cluster as a whole, with the answers of a single node.
pub async fn cluster_calls(node: &mut Node) {
    create(node, "calls", 1).await;
    let admin = Admin::new(node.cluster());
    let features = admin.describe_features(None).await.expect("features");
    assert_eq!(features.finalized["transaction.version"].max, 2);
    assert!(features.supported.contains_key("metadata.version") && features.finalized_epoch.is_some());
    let update = FeatureUpdate { level: 99, kind: UpgradeType::Upgrade };
    let updates = BTreeMap::from([("transaction.version".to_owned(), update)]);
    let refused = admin.update_features(&updates, Change::OnlyValidated).await.expect("judged");
    assert!(refused["transaction.version"].is_err());
    let quorum = admin.describe_quorum().await.expect("a quorum");
    assert_eq!((quorum.leader_id, quorum.voters.len()), (1, 1));
    assert!(quorum.high_watermark > 0 && quorum.leader_epoch > 0);
    let at = TopicPartition::new("calls", 0);
    let elected =
        admin.elect_leaders(ElectionType::Preferred, Some(&BTreeSet::from([at.clone()]))).await.expect("judged");
    assert_eq!(
        elected[&at].as_ref().expect_err("led already").code().map(|code| code.name()),
        Some("ELECTION_NOT_NEEDED")
    );
    assert!(admin.elect_leaders(ElectionType::Preferred, None).await.expect("judged").is_empty());
    assert!(admin.list_partition_reassignments(None).await.expect("listed").is_empty());
    let targets = BTreeMap::from([(at.clone(), None)]);
    let factor = client::admin::ReplicationFactor::Kept;
    let moved = admin.alter_partition_reassignments(&targets, factor).await.expect("judged");
    assert_eq!(
        moved[&at].as_ref().expect_err("no move").code().map(|code| code.name()),
        Some("NO_REASSIGNMENT_IN_PROGRESS")
    );
    let error = admin.describe_acls(&AclFilter::default()).await.expect_err("no authorizer");
    assert_eq!(error.code().map(|code| code.name()), Some("SECURITY_DISABLED"));
}

/// By the length of the value.
struct ByLength;

impl Partitioner for ByLength {
    fn partition(&self, record: &NewRecord<'_>, topic: &TopicView) -> i32 {
        (record.value.map_or(0, <[u8]>::len) % topic.leaders.len()) as i32
    }
}

#[derive(Default)]
struct Longer(Mutex<Vec<Option<i64>>>);

impl Interceptor for Longer {
    fn on_send(&self, record: &mut OwnedRecord) {
        record.value.get_or_insert_default().push(b'!');
    }

    fn on_acknowledgement(&self, topic: &str, result: &Result<RecordMetadata, ClientError>) {
        assert_eq!(topic, "plugins");
        self.0.lock().expect("no panic").push(result.as_ref().ok().map(|written| written.offset));
    }
}

/// A partitioner and an interceptor of the application's, and what was measured meanwhile.
pub async fn plugins(node: &mut Node) {
    create(node, "plugins", 2).await;
    let seen = Arc::new(Longer::default());
    let plugins = Plugins { partitioner: Some(Arc::new(ByLength)), interceptors: vec![seen.clone()] };
    let producer = Producer::with_plugins(node.cluster(), ProducerConfig::default(), plugins);
    let large = vec![0; 2 << 20];
    for value in [&b"x"[..], b"xy", b"xyz", &large] {
        let record = NewRecord { topic: "plugins", key: Some(b"same"), value: Some(value), ..NewRecord::default() };
        let sent = producer.send(record).await;
        match value.len() {
            2_097_152 => assert!(sent.is_err()),
            length => assert_eq!(sent.expect("room").await.expect("written").partition, (length as i32 + 1) % 2),
        }
    }
    assert_eq!(*seen.0.lock().expect("no panic"), [Some(0), Some(0), Some(1), None]);
    assert_eq!(committed(node, "plugins", 3).await, ["x!", "xy!", "xyz!"]);
    let metrics = producer.metrics();
    let value = |name: &str, topic: Option<&str>| {
        let own =
            metrics.iter().find(|metric| metric.name == name && metric.tags.get("topic").map(String::as_str) == topic);
        own.expect("a metric").value
    };
    // What is sent again counts again, as in Java: a topic that is new may not have its leader yet.
    let written = |topic: Option<&str>| value("record-send-total", topic) - value("record-retry-total", topic);
    assert_eq!((written(None), written(Some("plugins"))), (3.0, 3.0));
    assert_eq!((value("record-error-total", None), value("requests-in-flight", None)), (0.0, 0.0));
    assert!(value("request-latency-max", None) >= 0.0 && value("batch-size-avg", None) > 61.0);
}
