//! Three producers, two of them with transactions, each on its own connection; and who reads what they write.

use std::collections::HashMap;

use millstream_protocol::compress::CODECS;
use rand::Rng;

use super::{Scene, one};
use crate::generate::Request;
use crate::records::{Batch, DAMAGES, Damage};
use crate::side::Outcome;
use crate::slot::{Slot, label};
use crate::value::Value;

/// What the scene knows of its producers.
pub(super) struct Producers {
    seed: u64,
    is_ready: [bool; 4],
    /// The next sequence by producer and partition, and the batches that were taken.
    next: HashMap<(u8, String, i64), i32>,
    taken: Vec<(u8, String, i64, Batch)>,
    clock: i64,
}

/// The one without transactions.
const IDEMPOTENT: u8 = 3;

impl Producers {
    pub(super) fn new(seed: u64) -> Producers {
        Producers { seed, is_ready: [false; 4], next: HashMap::new(), taken: Vec::new(), clock: 1_750_000_000_000 }
    }

    fn id(&self, producer: u8) -> Option<String> {
        (producer != IDEMPOTENT).then(|| format!("sx{producer}-{}", self.seed))
    }

    /// The transactional ids.
    pub(super) fn ids(&self) -> Vec<String> {
        (1..IDEMPOTENT).filter_map(|producer| self.id(producer)).collect()
    }

    fn label(&self, producer: u8) -> String {
        self.id(producer).unwrap_or_else(|| label("", producer))
    }

    fn reset(&mut self, producer: u8) {
        self.next.retain(|(of, _, _), _| *of != producer);
        self.taken.retain(|(of, ..)| *of != producer);
    }
}

impl Scene<'_, '_> {
    /// One step of the producers; answers whether both were alike.
    pub(super) fn producer_step(&mut self) -> anyhow::Result<bool> {
        let producer = self.rng.random_range(1..=IDEMPOTENT);
        if !self.producers.is_ready[usize::from(producer)] {
            return self.init(producer);
        }
        let has_transactions = producer != IDEMPOTENT;
        match self.rng.random_range(0..20) {
            0 => self.init(producer),
            1..9 => self.produce(producer),
            9 => self.again(producer),
            10 | 11 if has_transactions => self.end(producer),
            12 if has_transactions => self.add_partition(producer),
            13 if has_transactions => self.commit_in_transaction(producer),
            14 => self.watch(),
            _ => self.read(),
        }
    }

    fn init(&mut self, producer: u8) -> anyhow::Result<bool> {
        let body = Value::of([
            ("TransactionalId", self.producers.id(producer).map_or(Value::Null, Value::Text)),
            ("TransactionTimeoutMs", Value::Int(900_000)),
            ("ProducerId", Value::Int(-1)),
            ("ProducerEpoch", Value::Int(-1)),
            ("Enable2Pc", Value::Int(0)),
            ("KeepPreparedTxn", Value::Int(0)),
        ]);
        let version = self.version(22, 0, 6)?;
        let fine = self.alike(&Request::on(producer, 22, version, body))?;
        self.producers.is_ready[usize::from(producer)] = true;
        self.producers.reset(producer);
        Ok(fine)
    }

    /// The producer's id and epoch in the fields of that name.
    fn who(&self, producer: u8) -> (Value, Value) {
        let label = self.producers.label(producer);
        (Value::Learnt(Slot::ProducerId(label.clone())), Value::Learnt(Slot::ProducerEpoch(label)))
    }

    fn produce_request(&mut self, producer: u8, topic: &str, partition: i64, batch: &Batch) -> anyhow::Result<Request> {
        let version = self.version(0, 7, 13)?;
        let data = Value::of([("Index", Value::Int(partition)), ("Records", Value::Batch(Box::new(batch.clone())))]);
        let topic = Value::of([
            ("Name", Value::name(topic)),
            ("TopicId", Value::Learnt(Slot::TopicId(topic.to_owned()))),
            ("PartitionData", one(data)),
        ]);
        let body = Value::of([
            ("TransactionalId", self.producers.id(producer).map_or(Value::Null, Value::Text)),
            ("Acks", Value::Int(-1)),
            ("TimeoutMs", Value::Int(5000)),
            ("TopicData", one(topic)),
        ]);
        Ok(Request::on(producer, 0, version, body))
    }

    pub(super) fn batch(&mut self, producer: Option<String>, base_sequence: i32, key: &str) -> Batch {
        self.producers.clock += 1000;
        let clock = self.producers.clock;
        let count = self.rng.random_range(1..=5);
        let length = self.pick(&[0, 10, 400]);
        let codec = self.pick(&CODECS);
        let records =
            (0..count).map(|n| (Some(format!("{key}{n}").into_bytes()), Some(vec![b'v'; length]), clock + n)).collect();
        Batch { producer, base_sequence, codec, records, damage: Damage::None }
    }

    fn produce(&mut self, producer: u8) -> anyhow::Result<bool> {
        let (topic, partition) = (self.topic(), self.rng.random_range(0..2));
        let place = (producer, topic.clone(), partition);
        let sequence = self.producers.next.get(&place).copied().unwrap_or(0);
        let skipped = if self.rng.random_ratio(1, 10) { 3 } else { 0 };
        let name = self.producers.label(producer);
        let mut batch = self.batch(Some(name), sequence + skipped, "k");
        if self.rng.random_ratio(1, 5) {
            batch.damage = self.pick(&DAMAGES);
        }
        let request = self.produce_request(producer, &topic, partition, &batch)?;
        let (fine, answer) = self.ask(&request)?;
        if was_taken(&answer) {
            let next = batch.base_sequence + batch.records.len() as i32 + i32::from(batch.damage == Damage::Large);
            self.producers.next.insert(place, next);
            self.producers.taken.push((producer, topic, partition, batch));
        }
        Ok(fine)
    }

    /// A batch that was taken, once more: the last five are known by their sequences.
    fn again(&mut self, producer: u8) -> anyhow::Result<bool> {
        let mut own: Vec<_> = self.producers.taken.iter().filter(|taken| taken.0 == producer).cloned().collect();
        own.drain(..own.len().saturating_sub(7));
        if own.is_empty() {
            return Ok(true);
        }
        let (_, topic, partition, batch) = self.pick(&own);
        let request = self.produce_request(producer, &topic, partition, &batch)?;
        self.alike(&request)
    }

    fn end(&mut self, producer: u8) -> anyhow::Result<bool> {
        let (id, epoch) = self.who(producer);
        let body = Value::of([
            ("TransactionalId", self.producers.id(producer).map_or(Value::Null, Value::Text)),
            ("ProducerId", id),
            ("ProducerEpoch", epoch),
            ("Committed", Value::Int(i64::from(self.rng.random_ratio(2, 3)))),
        ]);
        let version = self.version(26, 0, 5)?;
        let (fine, answer) = self.ask(&Request::on(producer, 26, version, body))?;
        if version >= 5 && answer.answer().and_then(|answer| answer.int_of("ErrorCode")) == Some(0) {
            // The epoch is a new one, and sequences start again.
            self.producers.reset(producer);
        }
        Ok(fine)
    }

    fn add_partition(&mut self, producer: u8) -> anyhow::Result<bool> {
        let (id, epoch) = self.who(producer);
        let partition = self.rng.random_range(0..3);
        let topics = one(Value::of([("Name", Value::Text(self.topic())), ("Partitions", one(Value::Int(partition)))]));
        let name = self.producers.id(producer).map_or(Value::Null, Value::Text);
        let verify = Value::Int(i64::from(self.rng.random_ratio(1, 4)));
        let transaction = Value::of([
            ("TransactionalId", name.clone()),
            ("ProducerId", id.clone()),
            ("ProducerEpoch", epoch.clone()),
            ("VerifyOnly", verify),
            ("Topics", topics.clone()),
        ]);
        let body = Value::of([
            ("Transactions", one(transaction)),
            ("V3AndBelowTransactionalId", name),
            ("V3AndBelowProducerId", id),
            ("V3AndBelowProducerEpoch", epoch),
            ("V3AndBelowTopics", topics),
        ]);
        let version = self.version(24, 0, 5)?;
        self.alike(&Request::on(producer, 24, version, body))
    }

    fn commit_in_transaction(&mut self, producer: u8) -> anyhow::Result<bool> {
        let (id, epoch) = self.who(producer);
        let name = self.producers.id(producer).map_or(Value::Null, Value::Text);
        let group = Value::Text(self.group.id.clone());
        if self.rng.random_ratio(1, 2) {
            let body = Value::of([
                ("TransactionalId", name.clone()),
                ("ProducerId", id.clone()),
                ("ProducerEpoch", epoch.clone()),
                ("GroupId", group.clone()),
            ]);
            let version = self.version(25, 0, 4)?;
            if !self.alike(&Request::on(producer, 25, version, body))? {
                return Ok(false);
            }
        }
        let topic = self.topic();
        let partition = Value::of([
            ("PartitionIndex", Value::Int(self.rng.random_range(0..2))),
            ("CommittedOffset", Value::Int(self.rng.random_range(0..9))),
            ("CommittedLeaderEpoch", Value::Int(0)),
            ("CommittedMetadata", Value::name("in a transaction")),
        ]);
        let topics = Value::of([
            ("Name", Value::Text(topic.clone())),
            ("TopicId", Value::Learnt(Slot::TopicId(topic))),
            ("Partitions", one(partition)),
        ]);
        let body = Value::of([
            ("TransactionalId", name),
            ("GroupId", group),
            ("ProducerId", id),
            ("ProducerEpoch", epoch),
            ("GenerationId", Value::Int(-1)),
            ("MemberId", Value::name("")),
            ("GroupInstanceId", Value::Null),
            ("Topics", one(topics)),
        ]);
        let version = self.version(28, 0, 6)?;
        self.alike(&Request::on(producer, 28, version, body))
    }

    /// What tools see of producers and transactions.
    fn watch(&mut self) -> anyhow::Result<bool> {
        let ids = Value::Array(self.producers.ids().into_iter().map(Value::Text).collect());
        let indexes = Value::Array(vec![Value::Int(0), Value::Int(1)]);
        let topic = Value::of([("Name", Value::Text(self.topic())), ("PartitionIndexes", indexes)]);
        Ok(self.alike(&Request::new(65, 0, Value::of([("TransactionalIds", ids)])))?
            && self.alike(&Request::new(61, 0, Value::of([("Topics", one(topic))])))?)
    }

    /// All of a partition as both kinds of reader see it.
    pub(super) fn read(&mut self) -> anyhow::Result<bool> {
        let topic = self.topic();
        let isolation = Value::Int(self.rng.random_range(0..2));
        let partition = self.rng.random_range(0..2);
        let asked = Value::of([
            ("PartitionIndex", Value::Int(partition)),
            ("CurrentLeaderEpoch", Value::Int(-1)),
            ("Timestamp", Value::Int(-1)),
        ]);
        let topics = one(Value::of([("Name", Value::Text(topic.clone())), ("Partitions", one(asked))]));
        let body = Value::of([
            ("ReplicaId", Value::Int(-1)),
            ("IsolationLevel", isolation.clone()),
            ("Topics", topics),
            ("TimeoutMs", Value::Int(5000)),
        ]);
        let version = self.version(2, 2, 11)?;
        let fine = self.alike(&Request::new(2, version, body))?;
        let offset = self.rng.random_range(0..20);
        let version = self.version(1, 4, 18)?;
        let request = super::topic::fetch(
            9,
            version,
            &[(topic, partition, offset)],
            &[],
            (Value::Int(0), Value::Int(-1)),
            isolation,
        );
        Ok(fine && self.alike(&request)?)
    }
}

/// Whether every partition of an answer was written.
fn was_taken(answer: &Outcome) -> bool {
    let topics = answer.answer().and_then(|answer| answer.get("Responses")).map(Value::items).unwrap_or_default();
    let mut partitions = topics.iter().filter_map(|topic| topic.get("PartitionResponses")).flat_map(Value::items);
    partitions.all(|partition| partition.int_of("ErrorCode") == Some(0))
}
