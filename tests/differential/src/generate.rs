//! Requests at random that mean something: each field is filled by its name with one of a few topics, groups,
//! transactional ids and numbers near the edges, so that most requests meet real state; a third is then made wrong
//! in one field.

use millstream_protocol::compress::CODECS;
use millstream_protocol::schema::{Field, Kind, Message, within};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

use crate::records::{Batch, DAMAGES, Damage};
use crate::slot::Slot;
use crate::value::Value;

/// Long enough that a slow machine drops no member between its join and the sync that follows at once.
const REBALANCE_TIMEOUT_MS: i64 = 1500;

/// One request before either broker's ids are filled in.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its API.
    pub api_key: i16,
    /// Its version.
    pub version: i16,
    /// Which of the connections it goes over.
    pub connection: u8,
    /// Its body.
    pub body: Value,
    /// What is done to its bytes.
    pub frame: Frame,
    /// Which field was made wrong.
    pub wrong: Option<String>,
}

impl Request {
    /// A request as it should be.
    pub fn new(api_key: i16, version: i16, body: Value) -> Request {
        Request::on(0, api_key, version, body)
    }

    /// The same over one of the further connections.
    pub fn on(connection: u8, api_key: i16, version: i16, body: Value) -> Request {
        Request { api_key, version, connection, body, frame: Frame::Whole, wrong: None }
    }
}

/// What is done to the bytes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing.
    Whole,
    /// This many bytes are missing at its end, under a length that fits.
    Cut(usize),
    /// Bytes follow the message.
    Trailing,
    /// The header names another API.
    Key(i16),
    /// The header names another version.
    Version(i16),
    /// A tagged field that nobody knows stands at the end, where the version has tagged fields.
    Tag,
    /// So it does in the header.
    HeaderTag,
    /// The client says no name.
    NullClient,
}

/// Makes the requests of one seed.
pub struct Generator {
    rng: StdRng,
    /// Topics that exist from the start; `topics.len()` more names are created and deleted on the way.
    pub topics: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Transactional ids.
    pub transactions: Vec<String>,
    sequences: HashMap<(String, String, i64), i32>,
    key: i16,
    version: i16,
    topic: String,
    transaction: String,
    group: String,
    clock: i64,
    in_session: bool,
    resource_type: i64,
}

impl Generator {
    /// The generator of `seed`; its names hold the seed, so that seeds do not meet on one broker.
    pub fn new(seed: u64) -> Self {
        let named = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}{n}-{seed}")).collect();
        Generator {
            rng: StdRng::seed_from_u64(seed),
            topics: named("t", 5),
            groups: named("g", 3),
            transactions: named("x", 3),
            sequences: HashMap::new(),
            key: 0,
            version: 0,
            topic: String::new(),
            transaction: String::new(),
            group: String::new(),
            clock: 1_750_000_000_000,
            in_session: false,
            resource_type: 2,
        }
    }

    /// The next request of this API and version.
    pub fn request(&mut self, message: &'static Message, api_key: i16, version: i16) -> Request {
        (self.key, self.version) = (api_key, version);
        self.topic = pick(&mut self.rng, &self.topics);
        self.transaction = pick(&mut self.rng, &self.transactions);
        self.group = pick(&mut self.rng, &self.groups);
        let mut body = self.structure(message.fields, "");
        let (mut frame, mut wrong) = (Frame::Whole, None);
        if self.rng.random_ratio(1, 3) {
            wrong = self.spoil(&mut body);
        } else if self.rng.random_ratio(1, 12) {
            frame = self.frame(message);
            wrong = Some(format!("the frame ({frame:?})"));
        }
        Request { api_key, version, connection: 0, body, frame, wrong }
    }

    fn frame(&mut self, message: &Message) -> Frame {
        let past = message.versions.1 + 1;
        match self.rng.random_range(0..8) {
            0 => Frame::Cut(1),
            1 => Frame::Cut(self.rng.random_range(2..30)),
            2 => Frame::Trailing,
            3 => Frame::Key(pick(&mut self.rng, &[-1, 93, 999, i16::MAX])),
            4 => Frame::Version(pick(&mut self.rng, &[-1, past + 1, past + 20, i16::MAX])),
            5 => Frame::Tag,
            6 => Frame::HeaderTag,
            _ => Frame::NullClient,
        }
    }

    fn chance(&mut self, out_of: u32) -> bool {
        self.rng.random_ratio(1, out_of)
    }

    fn one_of(&mut self, numbers: &[i64]) -> Value {
        Value::Int(*numbers.choose(&mut self.rng).expect("a list of choices is not empty"))
    }

    fn structure(&mut self, fields: &'static [Field], within_field: &str) -> Value {
        let names_topic = fields.iter().any(|field| matches!(field.name, "TopicId" | "Topic"))
            || matches!(within_field, "Topics" | "TopicData" | "ForgottenTopicsData" | "TopicPartitions");
        if names_topic {
            self.topic = pick(&mut self.rng, &self.topics);
        }
        let mut values = Vec::new();
        for field in fields {
            if within(field.versions, self.version) {
                values.push((field.name, self.field(field, within_field)));
            }
        }
        Value::Struct(values)
    }

    fn field(&mut self, field: &'static Field, parent: &str) -> Value {
        let nullable = within(field.nullable, self.version);
        match &field.kind {
            Kind::Array(element) => self.array(field.name, element, nullable),
            Kind::Struct(_) if nullable => Value::Null,
            Kind::Struct(fields) => self.structure(fields, field.name),
            kind => self.scalar(field.name, kind, parent, nullable),
        }
    }

    fn array(&mut self, name: &'static str, element: &'static Kind, nullable: bool) -> Value {
        if nullable && self.array_is_null(name) {
            return Value::Null;
        }
        let most = match (self.key, name) {
            (_, "Assignments") if self.key != 14 => usize::from(self.chance(4)),
            // Apache never answers an AlterConfigs that names a resource twice.
            (33, "Resources") => 1,
            // Nor a WriteTxnMarkers that names a partition twice.
            (27, "Topics" | "PartitionIndexes") => 1,
            (_, "ForgottenTopicsData" | "StatesFilter" | "TypesFilter" | "StateFilters" | "ProducerIdFilters") => {
                usize::from(self.chance(3))
            }
            (_, "Configs" | "ConfigurationKeys" | "Members" | "FeatureUpdates" | "Creations" | "Filters") => 1,
            (_, "PartitionData" | "Protocols" | "Markers" | "Transactions") => 1,
            _ => self.rng.random_range(1..=2),
        };
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..most {
            let item = match element {
                Kind::Struct(fields) => self.structure(fields, name),
                Kind::Array(inner) => self.array(name, inner, false),
                kind => self.scalar(name, kind, name, false),
            };
            // Doubles are an error of their own kind in many requests; spoil() makes some.
            if !items.contains(&item) {
                items.push(item);
            }
        }
        Value::Array(items)
    }

    fn array_is_null(&mut self, name: &str) -> bool {
        match (self.key, name) {
            (3 | 75, "Topics") => self.chance(10),
            (35, _) => false,
            _ => self.chance(4),
        }
    }

    fn scalar(&mut self, name: &'static str, kind: &Kind, parent: &str, nullable: bool) -> Value {
        match kind {
            Kind::String => self.text(name, parent, nullable),
            Kind::Bytes => self.bytes(name),
            Kind::Records => self.records(),
            Kind::Uuid => match name {
                "TopicId" => Value::Learnt(Slot::TopicId(self.topic.clone())),
                _ => Value::Uuid([0; 16]),
            },
            Kind::Float64 => Value::Float(0.0),
            Kind::Bool => self.flag(name),
            _ => self.number(name, parent),
        }
    }

    fn text(&mut self, name: &'static str, parent: &str, nullable: bool) -> Value {
        let text = match (self.key, name) {
            (3, "Name") if self.version >= 12 && self.chance(2) => return Value::Null,
            (11, "Name") => "range".to_owned(),
            (29..=31, _) => "x".to_owned(),
            (17, _) => pick_str(&mut self.rng, &["PLAIN", "SCRAM-SHA-256", "none"]),
            (18, _) => "differential".to_owned(),
            (57, "Feature") => pick_str(&mut self.rng, &["metadata.version", "transaction.version", "nothing.version"]),
            (19 | 33 | 44, "Name" | "Value") if parent == "Configs" => self.config(name),
            (32, "ConfigurationKeys") => {
                pick_str(&mut self.rng, &["retention.ms", "cleanup.policy", "max.message.bytes", "no.such.key"])
            }
            (32 | 33 | 44, "ResourceName") => return self.resource_name(),
            (66, "TransactionalIdPattern") => "x.*".to_owned(),
            (_, "StatesFilter" | "StateFilters") => {
                pick_str(&mut self.rng, &["Stable", "Empty", "Ongoing", "CompleteCommit"])
            }
            (_, "TypesFilter") => pick_str(&mut self.rng, &["classic", "consumer"]),
            (10, "Key" | "CoordinatorKeys") => self.group.clone(),
            (_, "TransactionalId" | "V3AndBelowTransactionalId" | "TransactionalIds") => {
                return self.transactional_id(nullable);
            }
            (_, "GroupId" | "Groups" | "GroupsNames") => {
                self.group = pick(&mut self.rng, &self.groups);
                self.group.clone()
            }
            (28, "MemberId" | "GroupInstanceId") if self.chance(2) => {
                return if nullable { Value::Null } else { Value::Text(String::new()) };
            }
            (_, "MemberId") => return Value::Learnt(Slot::Member(self.group.clone())),
            (_, "GroupInstanceId" | "RackId" | "Reason" | "ClusterId") if nullable => return Value::Null,
            (_, "RackId" | "Reason") => String::new(),
            (_, "ProtocolType") => "consumer".to_owned(),
            (_, "ProtocolName") => "range".to_owned(),
            (_, "CommittedMetadata") => pick_str(&mut self.rng, &["", "here", "there"]),
            (55, "TopicName") => "__cluster_metadata".to_owned(),
            (_, "Name" | "Topic" | "TopicName" | "TopicNames") => {
                if name == "TopicNames" {
                    self.topic = pick(&mut self.rng, &self.topics);
                }
                self.topic.clone()
            }
            _ => String::new(),
        };
        Value::Text(text)
    }

    fn transactional_id(&mut self, nullable: bool) -> Value {
        if nullable && self.chance(2) {
            self.transaction.clear();
            return Value::Null;
        }
        self.transaction = pick(&mut self.rng, &self.transactions);
        Value::Text(self.transaction.clone())
    }

    fn config(&mut self, name: &str) -> String {
        const CONFIGS: [(&str, &str); 6] = [
            ("retention.ms", "86400000"),
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "2000000"),
            ("segment.bytes", "2097152"),
            ("no.such.key", "1"),
        ];
        // Name and value come one after the other; the choice is remembered in the clock's low digits.
        if name == "Name" {
            self.clock += self.rng.random_range(1..7);
        }
        let (key, value) = CONFIGS[self.clock as usize % CONFIGS.len()];
        if name == "Name" { key.to_owned() } else { value.to_owned() }
    }

    fn resource_name(&mut self) -> Value {
        Value::Text(match self.resource_type {
            // The only broker, or the defaults of all of them.
            4 => pick_str(&mut self.rng, &["1", "1", ""]),
            16 => "metrics".to_owned(),
            32 => pick(&mut self.rng, &self.groups),
            _ => pick(&mut self.rng, &self.topics),
        })
    }

    fn bytes(&mut self, name: &str) -> Value {
        Value::Bytes(match name {
            // A subscription of the consumer protocol, version 0, to the first topic.
            "Metadata" => {
                let topic = self.topics[0].as_bytes();
                let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
                bytes.extend_from_slice(topic);
                bytes.extend_from_slice(&[0xff; 4]);
                bytes
            }
            "Assignment" => vec![0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            _ => vec![0, b'u', 0, b'p'],
        })
    }

    fn flag(&mut self, name: &str) -> Value {
        Value::Int(i64::from(match name {
            "Enable2Pc" | "KeepPreparedTxn" => false,
            "AllowAutoTopicCreation" => self.chance(4),
            "ValidateOnly" if self.key == 57 => true,
            "validateOnly" | "ValidateOnly" => self.chance(2),
            "VerifyOnly" => self.chance(2),
            "AllowReplicationFactorChange" => true,
            _ => self.chance(2),
        }))
    }

    /// A time to look for: one of those with a meaning in this version, or one near the records'.
    fn timestamp(&mut self) -> Value {
        let newest = match self.version {
            11.. => -6,
            9.. => -5,
            8 => -4,
            7 => -3,
            _ => -2,
        };
        let special = self.rng.random_range(newest..=-1);
        let near = self.clock + self.rng.random_range(-2000..2000);
        self.one_of(&[special, special, near, 0])
    }

    fn number(&mut self, name: &'static str, parent: &str) -> Value {
        let transaction = self.transaction.clone();
        match (self.key, name) {
            (0, "Acks") => self.one_of(&[-1, -1, -1, 1, 0]),
            (24 | 25 | 26 | 28, "ProducerId" | "V3AndBelowProducerId") => Value::Learnt(Slot::ProducerId(transaction)),
            (24 | 25 | 26 | 28, "ProducerEpoch" | "V3AndBelowProducerEpoch") => {
                Value::Learnt(Slot::ProducerEpoch(transaction))
            }
            (22 | 27, "ProducerId" | "ProducerEpoch") if self.key == 22 && self.chance(2) => Value::Int(-1),
            (22 | 27, "ProducerId") => Value::Learnt(Slot::ProducerId(transaction)),
            (22 | 27, "ProducerEpoch") => Value::Learnt(Slot::ProducerEpoch(transaction)),
            (22, "TransactionTimeoutMs") => self.one_of(&[600_000, 900_000]),
            (_, "GenerationId" | "GenerationIdOrMemberEpoch") if self.key != 28 || !self.chance(2) => {
                Value::Learnt(Slot::Generation(self.group.clone()))
            }
            (_, "GenerationId" | "MemberEpoch" | "ReplicaId" | "ReplicaEpoch") => Value::Int(-1),
            (_, "SessionTimeoutMs") => Value::Int(300_000),
            (_, "RebalanceTimeoutMs") => Value::Int(REBALANCE_TIMEOUT_MS),
            (_, "RetentionTimeMs" | "LogStartOffset") => Value::Int(-1),
            (1, "SessionId") => {
                self.in_session = self.chance(2);
                if self.in_session { Value::Learnt(Slot::Session(0)) } else { Value::Int(0) }
            }
            (1, "SessionEpoch") if self.in_session && !self.chance(3) => Value::Learnt(Slot::SessionEpoch(0)),
            (1, "SessionEpoch") => self.one_of(&[-1, 0, -1]),
            (1, "MaxWaitMs") => self.one_of(&[0, 1, 20]),
            (1, "MinBytes") => self.one_of(&[0, 1]),
            (1, "MaxBytes" | "PartitionMaxBytes") => self.one_of(&[1, 200, 1_000_000]),
            (1, "FetchOffset") => self.one_of(&[0, 1, 2, 5, 10, 50]),
            (1, "LastFetchedEpoch") => self.one_of(&[-1, -1, 0]),
            (1, "HighWatermark") => Value::Int(i64::MAX),
            (_, "CurrentLeaderEpoch") => self.one_of(&[-1, -1, 0]),
            (_, "LeaderEpoch" | "CommittedLeaderEpoch") => self.one_of(&[0, -1, 0]),
            (2, "Timestamp") => self.timestamp(),
            (_, "IsolationLevel") | (10, "KeyType") => self.one_of(&[0, 1]),
            (21, "Offset") => self.one_of(&[-1, 0, 1, 2]),
            (_, "CommittedOffset") => self.one_of(&[0, 1, 5, 100]),
            (_, "NumPartitions") => self.one_of(&[1, 2, -1]),
            (_, "ReplicationFactor") => self.one_of(&[1, -1]),
            (37, "Count") => self.one_of(&[2, 3]),
            (_, "TimeoutMs" | "timeoutMs") => Value::Int(5000),
            (32, "ResourceType") => {
                self.resource_type = pick(&mut self.rng, &[2, 2, 2, 4, 4, 16, 32]);
                Value::Int(self.resource_type)
            }
            (33 | 44, "ResourceType") => {
                self.resource_type = 2;
                Value::Int(2)
            }
            (74, "ResourceTypes") => self.one_of(&[2, 4, 8, 16, 32]),
            (44, "ConfigOperation") => self.one_of(&[0, 1, 2, 3]),
            (29..=31, _) | (57, "UpgradeType") => self.one_of(&[1, 2, 3]),
            (57, "MaxVersionLevel") => self.one_of(&[0, 1, 2]),
            (60, "EndpointType") => Value::Int(1),
            (66, "DurationFilter") => self.one_of(&[-1, -1, 86_400_000, i64::MAX]),
            (75, "ResponsePartitionLimit") => self.one_of(&[1, 2, 2000]),
            (27, "CoordinatorEpoch") => Value::Int(0),
            (27, "TransactionVersion") => self.one_of(&[0, 1, 2]),
            (_, "Index" | "PartitionIndex" | "Partition" | "Partitions" | "PartitionIndexes") => {
                if parent == "Assignments" { Value::Int(0) } else { self.one_of(&[0, 0, 0, 1, 1, 2]) }
            }
            (_, "Replicas" | "BrokerIds") => Value::Int(1),
            _ => Value::Int(0),
        }
    }

    fn records(&mut self) -> Value {
        let count = self.rng.random_range(1..=3);
        self.clock += 1000;
        let records = (0..count)
            .map(|n| {
                let key = (!self.chance(5)).then(|| format!("k{}", self.rng.random_range(0..4)).into_bytes());
                let value = (!self.chance(6)).then(|| vec![b'v'; self.rng.random_range(0..40)]);
                (key, value, self.clock + n)
            })
            .collect();
        let producer =
            if self.transaction.is_empty() { self.chance(3).then(String::new) } else { Some(self.transaction.clone()) };
        let next = self.sequences.entry((producer.clone().unwrap_or_default(), self.topic.clone(), 0)).or_insert(0);
        let base_sequence = *next;
        *next += count as i32;
        let base_sequence = if self.chance(6) { base_sequence + 7 } else { base_sequence };
        let codec = if self.version >= 7 { pick(&mut self.rng, &CODECS) } else { CODECS[self.rng.random_range(0..4)] };
        Value::Batch(Box::new(Batch { producer, base_sequence, codec, records, damage: Damage::None }))
    }

    /// Makes one field of `body` wrong and tells which.
    fn spoil(&mut self, body: &mut Value) -> Option<String> {
        let mut leaves = Vec::new();
        collect(body, "", &mut leaves);
        leaves.retain(|path| !self.must_stay(path));
        let path = leaves.choose(&mut self.rng)?.clone();
        let (number, odd) = (
            *[-1, -2, 0, 1, 77, 127, i64::from(i32::MAX), i64::from(i32::MIN)].choose(&mut self.rng)?,
            *["", "nothing", "a b", "..", "\u{e9}"].choose(&mut self.rng)?,
        );
        // A second member that nobody plays would keep the first one waiting.
        let odd = if self.key == 11 && path == ".MemberId" { "nothing" } else { odd };
        // Members of two seeds would meet in a group of another name, and drop each other by the clock.
        let odd = if self.key == 11 && path == ".GroupId" { "" } else { odd };
        let damage = *DAMAGES.choose(&mut self.rng)?;
        change(body, &path, &mut |leaf| {
            *leaf = match &leaf {
                Value::Text(_) | Value::Learnt(Slot::Member(_)) => Value::Text(odd.to_owned()),
                Value::Null => return,
                Value::Uuid(_) | Value::Learnt(Slot::TopicId(_)) => Value::Uuid([number as u8 | 1; 16]),
                Value::Bytes(_) => Value::Bytes(Vec::new()),
                Value::Batch(batch) => {
                    let mut batch = batch.clone();
                    batch.damage = damage;
                    Value::Batch(batch)
                }
                Value::Array(items) => {
                    // An element twice.
                    let mut items = items.clone();
                    items.extend(items.first().cloned());
                    Value::Array(items)
                }
                _ => Value::Int(number),
            };
        });
        Some(path)
    }

    /// Fields whose wrong values change the broker for good, or make it wait for long.
    fn must_stay(&self, path: &str) -> bool {
        let ends = |name: &str| path.ends_with(name);
        match self.key {
            1 => ends(".MaxWaitMs") || ends(".ReplicaId") || ends(".ReplicaEpoch"),
            // Apache never answers a JoinGroup that names a protocol twice, and the group is stuck from then on.
            // Version 0 waits as long for members of another group as their sessions last.
            11 => ends(".Protocols") || ends(".RebalanceTimeoutMs") || (self.version == 0 && ends(".GroupId")),
            12 | 14 => false,
            27 => ends(".Topics") || ends(".PartitionIndexes"),
            // How long a transaction runs is a matter of time.
            66 => ends(".DurationFilter"),
            57 => ends(".ValidateOnly") || ends("imeoutMs"),
            22 => ends(".Enable2Pc") || ends(".KeepPreparedTxn") || ends(".TransactionTimeoutMs"),
            19 | 37 => ends(".NumPartitions") || ends(".Count") || ends("imeoutMs"),
            32 | 33 | 44 => ends(".ResourceType") || ends(".ResourceName") || (self.key == 33 && ends(".Resources")),
            _ => ends("imeoutMs"),
        }
    }
}

fn pick<T: Clone>(rng: &mut StdRng, from: &[T]) -> T {
    from.choose(rng).expect("a list of choices is not empty").clone()
}

fn pick_str(rng: &mut StdRng, from: &[&str]) -> String {
    pick(rng, from).to_owned()
}

/// The paths of every leaf and of every array that is not empty.
fn collect(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Struct(fields) => {
            for (name, field) in fields {
                collect(field, &format!("{path}.{name}"), into);
            }
        }
        Value::Array(items) => {
            if !items.is_empty() {
                into.push(path.to_owned());
            }
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{index}]"), into);
            }
        }
        Value::Null => {}
        _ => into.push(path.to_owned()),
    }
}

fn change(value: &mut Value, path: &str, with: &mut dyn FnMut(&mut Value)) {
    if path.is_empty() {
        with(value);
        return;
    }
    match value {
        Value::Struct(fields) => {
            let rest = &path[1..];
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if let Some((_, field)) = fields.iter_mut().find(|(name, _)| *name == &rest[..end]) {
                change(field, &rest[end..], with);
            }
        }
        Value::Array(items) => {
            let end = path.find(']').unwrap_or(path.len() - 1);
            if let Some(item) = path[1..end].parse().ok().and_then(|index: usize| items.get_mut(index)) {
                change(item, &path[end + 1..], with);
            }
        }
        _ => {}
    }
}
