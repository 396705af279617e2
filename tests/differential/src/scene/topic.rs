//! A fetch session whose partitions come and go, and a topic whose configuration changes under its producer.

use rand::Rng;

use super::{Scene, one};
use crate::generate::Request;
use crate::records::Batch;
use crate::slot::Slot;
use crate::value::Value;

/// What the scene knows of its fetch session.
#[derive(Default)]
pub(super) struct Session {
    is_open: bool,
    /// Sessions are by name or by id.
    by_id: bool,
}

const CONNECTION: u8 = 8;

/// A Fetch over `connection` of `(topic, partition, offset)`s that forgets `(topic, partition)`s; it does not wait.
pub(super) fn fetch(
    connection: u8,
    version: i16,
    partitions: &[(String, i64, i64)],
    forgotten: &[(String, i64)],
    session: (Value, Value),
    isolation: Value,
) -> Request {
    let topics = partitions.iter().map(|(topic, partition, offset)| {
        let partition = Value::of([
            ("Partition", Value::Int(*partition)),
            ("CurrentLeaderEpoch", Value::Int(-1)),
            ("FetchOffset", Value::Int(*offset)),
            ("LastFetchedEpoch", Value::Int(-1)),
            ("LogStartOffset", Value::Int(-1)),
            ("PartitionMaxBytes", Value::Int(1_000_000)),
        ]);
        let id = Value::Learnt(Slot::TopicId(topic.clone()));
        Value::of([("Topic", Value::name(topic)), ("TopicId", id), ("Partitions", one(partition))])
    });
    let forgotten = forgotten.iter().map(|(topic, partition)| {
        let id = Value::Learnt(Slot::TopicId(topic.clone()));
        Value::of([("Topic", Value::name(topic)), ("TopicId", id), ("Partitions", one(Value::Int(*partition)))])
    });
    let body = Value::of([
        ("ReplicaId", Value::Int(-1)),
        ("MaxWaitMs", Value::Int(0)),
        ("MinBytes", Value::Int(0)),
        ("MaxBytes", Value::Int(1_000_000)),
        ("IsolationLevel", isolation),
        ("SessionId", session.0),
        ("SessionEpoch", session.1),
        ("Topics", Value::Array(topics.collect())),
        ("ForgottenTopicsData", Value::Array(forgotten.collect())),
        ("RackId", Value::name("")),
    ]);
    Request::on(connection, 1, version, body)
}

impl Scene<'_, '_> {
    /// One Fetch of the session; answers whether both were alike.
    pub(super) fn session_step(&mut self) -> anyhow::Result<bool> {
        let isolation = Value::Int(0);
        if !self.session.is_open || self.rng.random_ratio(1, 12) {
            let partitions = self.some_partitions(1);
            self.session = Session { is_open: true, by_id: self.rng.random_ratio(1, 2) };
            let version = self.session_version()?;
            // Of an old session only its id is told, which closes it.
            let old = Value::Learnt(Slot::Session(CONNECTION));
            return self.alike(&fetch(CONNECTION, version, &partitions, &[], (old, Value::Int(0)), isolation));
        }
        let partitions = self.some_partitions(0);
        let forgotten =
            if self.rng.random_ratio(1, 3) { vec![(self.topic(), self.rng.random_range(0..2))] } else { Vec::new() };
        let version = self.session_version()?;
        let epoch =
            if self.rng.random_ratio(1, 15) { Value::Int(1000) } else { Value::Learnt(Slot::SessionEpoch(CONNECTION)) };
        let session = (Value::Learnt(Slot::Session(CONNECTION)), epoch);
        let (fine, answer) = self.ask(&fetch(CONNECTION, version, &partitions, &forgotten, session, isolation))?;
        if answer.answer().and_then(|answer| answer.int_of("ErrorCode")) != Some(0) {
            self.session.is_open = false;
        }
        Ok(fine)
    }

    fn session_version(&mut self) -> anyhow::Result<i16> {
        // Now and then the other kind, which the session refuses.
        let by_id = self.session.by_id != self.rng.random_ratio(1, 25);
        if by_id { self.version(1, 13, 18) } else { self.version(1, 7, 12) }
    }

    fn some_partitions(&mut self, least: usize) -> Vec<(String, i64, i64)> {
        let count = self.rng.random_range(least..=2);
        let mut partitions: Vec<(String, i64, i64)> = Vec::new();
        for _ in 0..count {
            let (topic, partition) = (self.topic(), self.rng.random_range(0..3));
            if !partitions.iter().any(|known| known.0 == topic) {
                partitions.push((topic, partition, self.rng.random_range(0..12)));
            }
        }
        partitions
    }

    /// The second topic gets another configuration, then a plain producer writes and a consumer reads.
    pub(super) fn config_step(&mut self) -> anyhow::Result<bool> {
        const CONFIGS: [(&str, &str); 13] = [
            ("max.message.bytes", "300"),
            ("max.message.bytes", "1000012"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.type", "CreateTime"),
            ("message.timestamp.before.max.ms", "1000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
            ("min.insync.replicas", "2"),
            ("min.insync.replicas", "1"),
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("cleanup.policy", "delete"),
            ("compression.type", "uncompressed"),
            ("compression.type", "producer"),
        ];
        let (name, value) = self.pick(&CONFIGS);
        let operation = Value::Int(self.pick(&[0, 0, 0, 0, 1]));
        let topic = self.topics[1].clone();
        let config =
            Value::of([("Name", Value::name(name)), ("ConfigOperation", operation), ("Value", Value::name(value))]);
        let resource = Value::of([
            ("ResourceType", Value::Int(2)),
            ("ResourceName", Value::Text(topic.clone())),
            ("Configs", one(config)),
        ]);
        let version = self.version(44, 0, 1)?;
        let body = Value::of([("Resources", one(resource)), ("ValidateOnly", Value::Int(0))]);
        let mut fine = self.alike(&Request::new(44, version, body))?;
        for _ in 0..3 {
            let mut batch: Batch = self.batch(None, -1, "c");
            if self.rng.random_ratio(1, 3) {
                batch.records.push((None, None, 1_750_000_000_000));
            }
            let data = Value::of([("Index", Value::Int(0)), ("Records", Value::Batch(Box::new(batch)))]);
            let id = Value::Learnt(Slot::TopicId(topic.clone()));
            let data = Value::of([("Name", Value::Text(topic.clone())), ("TopicId", id), ("PartitionData", one(data))]);
            let acks = self.pick(&[-1, 1]);
            let body = Value::of([
                ("TransactionalId", Value::Null),
                ("Acks", Value::Int(acks)),
                ("TimeoutMs", Value::Int(5000)),
                ("TopicData", one(data)),
            ]);
            let version = self.version(0, 7, 13)?;
            fine = fine && self.alike(&Request::new(0, version, body))?;
        }
        Ok(fine && self.read()?)
    }
}
