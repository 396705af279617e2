//! One seed: the same requests to both brokers, one after the other, each pair of answers compared.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use millstream_protocol::schema::{self, Message};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::compare;
use crate::generate::{Frame, Generator, Request};
use crate::scene;
use crate::side::{Outcome, Side};
use crate::slot::Slot;
use crate::value::Value;

/// Every key that a single node serves.
pub const SERVED: &[i16] = &[
    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
    35, 36, 37, 42, 43, 44, 45, 46, 47, 55, 57, 60, 61, 65, 66, 74, 75,
];

/// Whether a single node serves this key.
pub fn is_served(key: i16) -> bool {
    SERVED.contains(&key)
}

/// Every served key with every version that Apache 4.3 serves.
pub fn all_versions() -> Vec<(i16, i16)> {
    let apis = millstream_protocol::api_key::APIS.iter().filter(|api| is_served(api.key.number()));
    apis.flat_map(|api| (api.min_version..=api.max_version).map(|version| (api.key.number(), version))).collect()
}

/// What a run found.
#[derive(Default, Debug)]
pub struct Report {
    /// How often each key and version was sent, under its own number and whole.
    pub sent: BTreeMap<(i16, i16), usize>,
    /// How many random requests were sent; `wrong` is of those.
    pub requests: usize,
    /// How many answers were compared, those of scenes among them.
    pub compared: usize,
    /// How many requests were made wrong in a field.
    pub wrong: usize,
    /// Whether every request and the left answer go to standard error.
    pub trace: bool,
    /// The mismatches, readable.
    pub mismatches: Vec<String>,
}

impl Report {
    /// Keys and versions that were never sent.
    pub fn missing(&self) -> Vec<(i16, i16)> {
        all_versions().into_iter().filter(|pair| !self.sent.contains_key(pair)).collect()
    }
}

/// Sends `requests` requests of `seed` to both and adds what it found to `report`.
///
/// # Errors
/// When a broker is gone.
pub fn seed(seed: u64, requests: usize, left: &mut Side, right: &mut Side, report: &mut Report) -> anyhow::Result<()> {
    let mut run = Run { seed, generator: Generator::new(seed), left, right, report, fences: 0 };
    run.prepare()?;
    let mut order: Vec<(i16, i16)> = Vec::new();
    let mut shuffler = StdRng::seed_from_u64(seed ^ 0x5eed);
    for number in 0..requests {
        if order.is_empty() {
            order = all_versions();
            order.shuffle(&mut shuffler);
        }
        let (key, version) = order.pop().context("every round has requests")?;
        let message = definition(key)?;
        let request = run.generator.request(message, key, version);
        run.report.requests += 1;
        run.one(number, &request)?;
    }
    scene::play(&mut run, requests, requests / SCENE_PART)
}

/// One step of a scene for so many requests.
const SCENE_PART: usize = 8;

fn definition(key: i16) -> anyhow::Result<&'static Message> {
    Ok(schema::messages(key).context("an API without a definition")?.0)
}

/// A seed under way.
pub(crate) struct Run<'a> {
    pub(crate) seed: u64,
    pub(crate) generator: Generator,
    pub(crate) left: &'a mut Side,
    pub(crate) right: &'a mut Side,
    report: &'a mut Report,
    /// How often the fence was moved.
    fences: u32,
}

/// How often a busy broker is asked again.
const PATIENCE: usize = 100;
/// Errors of a broker that is still loading or finishing what came before.
const PASSING: &[i64] = &[5, 6, 14, 15, 16, 51];

impl Run<'_> {
    /// Asks both until neither is busy and compares; answers whether they were alike, and the left answer.
    pub(crate) fn one(&mut self, number: usize, request: &Request) -> anyhow::Result<(bool, Outcome)> {
        let mut left = ask(self.left, request)?;
        let mut right = ask(self.right, request)?;
        for _ in 0..PATIENCE {
            let (is_left, is_right) = (is_passing(&left), is_passing(&right));
            if is_left == is_right && !(is_left && codes(&left) != codes(&right)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(30));
            if is_left {
                left = ask(self.left, request)?;
            }
            if is_right {
                right = ask(self.right, request)?;
            }
        }
        let is_alike = self.compare(number, request, &left, &right);
        self.created(request, &left)?;
        self.settle(request)?;
        Ok((is_alike, left))
    }

    /// Counts and compares.
    pub(crate) fn compare(&mut self, number: usize, request: &Request, left: &Outcome, right: &Outcome) -> bool {
        self.report.compared += 1;
        if !matches!(request.frame, Frame::Cut(_) | Frame::Key(_) | Frame::Version(_)) {
            *self.report.sent.entry((request.api_key, request.version)).or_insert(0) += 1;
        }
        self.report.wrong += usize::from(request.wrong.is_some());
        let seen_left = compare::comparable(request.api_key, left, &self.left.learnt);
        let seen_right = compare::comparable(request.api_key, right, &self.right.learnt);
        if self.report.trace {
            eprintln!(
                "{} {number} key {} v{} {}\n      {seen_left:?}",
                self.seed,
                request.api_key,
                request.version,
                brief(&request.body)
            );
        }
        let differences = compare::differences(&seen_left, &seen_right);
        if !differences.is_empty() {
            self.mismatch(number, request, &differences);
        }
        differences.is_empty()
    }

    /// Waits until the topics that a Metadata request creates on the way are there.
    fn created(&mut self, request: &Request, answer: &Outcome) -> anyhow::Result<()> {
        let may_create = request.body.int_of("AllowAutoTopicCreation").is_none_or(|may| may != 0);
        if request.api_key != 3 || !may_create {
            return Ok(());
        }
        let topics = answer.answer().and_then(|answer| answer.get("Topics")).map(Value::items).unwrap_or_default();
        let fresh = topics.iter().filter(|topic| topic.int_of("ErrorCode") == Some(3));
        for name in fresh.filter_map(|topic| topic.text_of("Name")).filter(|name| !name.is_empty()) {
            let topic = Value::Struct(vec![("TopicId", Value::Uuid([0; 16])), ("Name", Value::Text(name.to_owned()))]);
            let body = Value::Struct(vec![
                ("Topics", Value::Array(vec![topic])),
                ("AllowAutoTopicCreation", Value::Int(0)),
                ("IncludeTopicAuthorizedOperations", Value::Int(0)),
            ]);
            self.both_until(&Request::new(3, 12, body), |outcome| !codes(outcome).contains(&3))?;
        }
        Ok(())
    }

    /// Asks each until its answer is as wanted, but not for ever: what then differs shows later.
    pub(crate) fn both_until(&mut self, request: &Request, is_wanted: impl Fn(&Outcome) -> bool) -> anyhow::Result<()> {
        for side in [&mut *self.left, &mut *self.right] {
            for _ in 0..100 {
                if is_wanted(&side.call(request)?) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn mismatch(&mut self, number: usize, request: &Request, differences: &[String]) {
        let name = definition(request.api_key).map_or("?", |message| message.name);
        let wrong = request.wrong.as_deref().map_or(String::new(), |field| format!(", {field} made wrong"));
        let mut text = format!(
            "{name} v{} (seed {}, request {number}{wrong}): {} | {}\n  request: {}\n",
            request.version,
            self.seed,
            self.left.name,
            self.right.name,
            brief(&request.body)
        );
        for difference in differences {
            text.push_str("    ");
            text.extend(difference.chars().take(1200));
            text.push('\n');
        }
        text.push_str(&format!(
            "  again: cargo run --release -p millstream-differential -- --seeds {} --requests {}\n",
            self.seed,
            number + 1
        ));
        self.report.mismatches.push(text);
    }

    /// Waits until what a request changed is seen everywhere in both brokers.
    fn settle(&mut self, request: &Request) -> anyhow::Result<()> {
        if matches!(request.api_key, 3 | 19 | 20 | 33 | 37 | 43 | 44 | 45) {
            // The first may be seen together with the change, before it is in force; the second is later.
            self.fence()?;
            self.fence()?;
        }
        match request.api_key {
            20 => {
                let gone = self.settle_topics()?;
                self.settle_offsets(gone)
            }
            3 | 19 | 33 | 37 | 43 | 44 | 45 => self.settle_topics().map(drop),
            22 | 26 | 27 => self.settle_transactions(),
            _ => Ok(()),
        }
    }

    /// A broker takes changes of metadata one after the other: changes the configuration of a topic that nobody uses,
    /// and waits until that is seen. What was answered before is in force then.
    fn fence(&mut self) -> anyhow::Result<()> {
        self.fences += 1;
        let wanted = (1_000_000_000 + u64::from(self.fences)).to_string();
        let name = Value::Text(fence_name(self.seed));
        let config = Value::of([
            ("Name", Value::name(FENCE_KEY)),
            ("ConfigOperation", Value::Int(0)),
            ("Value", Value::name(&wanted)),
        ]);
        let resource = Value::of([
            ("ResourceType", Value::Int(2)),
            ("ResourceName", name.clone()),
            ("Configs", Value::Array(vec![config])),
        ]);
        let alter = Request::new(
            44,
            1,
            Value::of([("Resources", Value::Array(vec![resource])), ("ValidateOnly", Value::Int(0))]),
        );
        for side in [&mut *self.left, &mut *self.right] {
            side.call(&alter)?;
        }
        let keys = Value::Array(vec![Value::name(FENCE_KEY)]);
        let resource =
            Value::of([("ResourceType", Value::Int(2)), ("ResourceName", name), ("ConfigurationKeys", keys)]);
        let body = Value::of([
            ("Resources", Value::Array(vec![resource])),
            ("IncludeSynonyms", Value::Int(0)),
            ("IncludeDocumentation", Value::Int(0)),
        ]);
        let is_seen = |outcome: &Outcome| {
            let results =
                outcome.answer().and_then(|answer| answer.get("Results")).map(Value::items).unwrap_or_default();
            let mut configs = results.iter().filter_map(|result| result.get("Configs")).flat_map(Value::items);
            configs.any(|config| config.text_of("Value") == Some(&wanted))
        };
        self.both_until(&Request::new(32, 4, body), is_seen)
    }

    /// Answers the names of topics that do not exist.
    fn settle_topics(&mut self) -> anyhow::Result<Vec<String>> {
        let topic =
            |name: &String| Value::Struct(vec![("TopicId", Value::Uuid([0; 16])), ("Name", Value::Text(name.clone()))]);
        let body = Value::Struct(vec![
            ("Topics", Value::Array(self.generator.topics.iter().map(topic).collect())),
            ("AllowAutoTopicCreation", Value::Int(0)),
            ("IncludeTopicAuthorizedOperations", Value::Int(0)),
        ]);
        let request = Request::new(3, 12, body);
        std::thread::sleep(Duration::from_millis(15));
        for _ in 0..100 {
            let left = self.left.call(&request)?;
            let right = self.right.call(&request)?;
            let seen_left = compare::comparable(3, &left, &self.left.learnt);
            if !is_passing(&left)
                && !is_passing(&right)
                && seen_left == compare::comparable(3, &right, &self.right.learnt)
            {
                self.settle_leaders(&left)?;
                let topics =
                    left.answer().and_then(|answer| answer.get("Topics")).map(Value::items).unwrap_or_default();
                let gone = topics.iter().filter(|topic| topic.int_of("ErrorCode") == Some(3));
                return Ok(gone.filter_map(|topic| topic.text_of("Name")).map(str::to_owned).collect());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Vec::new())
    }

    /// Metadata tells of a partition before its log is open: waits until every one answers.
    fn settle_leaders(&mut self, metadata: &Outcome) -> anyhow::Result<()> {
        let topics = metadata.answer().and_then(|answer| answer.get("Topics")).map(Value::items).unwrap_or_default();
        let asked = topics.iter().filter(|topic| topic.int_of("ErrorCode") == Some(0)).filter_map(|topic| {
            let partitions = topic.get("Partitions")?.items().iter().filter_map(|one| {
                let index = one.get("PartitionIndex")?.clone();
                Some(Value::Struct(vec![("PartitionIndex", index), ("Timestamp", Value::Int(-1))]))
            });
            let name = topic.get("Name")?.clone();
            Some(Value::Struct(vec![("Name", name), ("Partitions", Value::Array(partitions.collect()))]))
        });
        let topics = Value::Array(asked.collect());
        let body = Value::Struct(vec![("ReplicaId", Value::Int(-1)), ("Topics", topics)]);
        let request = Request::new(2, 1, body);
        let is_open = |outcome: &Outcome| !codes(outcome).iter().any(|code| matches!(code, 3 | 5 | 6));
        for _ in 0..100 {
            if is_open(&ask(self.left, &request)?) && is_open(&ask(self.right, &request)?) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Apache Kafka drops the offsets of a deleted topic some time after it is gone.
    fn settle_offsets(&mut self, gone: Vec<String>) -> anyhow::Result<()> {
        let topic = |name: &String| {
            let indexes = (0..3).map(Value::Int).collect();
            Value::Struct(vec![("Name", Value::Text(name.clone())), ("PartitionIndexes", Value::Array(indexes))])
        };
        let gone: Vec<Value> = gone.iter().map(topic).collect();
        for group in self.generator.groups.clone() {
            let body = Value::Struct(vec![("GroupId", Value::Text(group)), ("Topics", Value::Array(gone.clone()))]);
            let is_dropped = |outcome: &Outcome| {
                let topics = outcome.answer().and_then(|answer| answer.get("Topics")).map(Value::items);
                let mut partitions = topics.unwrap_or_default().iter().filter_map(|topic| topic.get("Partitions"));
                partitions.all(|list| list.items().iter().all(|one| one.int_of("CommittedOffset") == Some(-1)))
            };
            self.both_until(&Request::new(9, 5, body), is_dropped)?;
        }
        Ok(())
    }

    fn settle_transactions(&mut self) -> anyhow::Result<()> {
        let ids = self.generator.transactions.iter().cloned().map(Value::Text).collect();
        let body = Value::Struct(vec![("TransactionalIds", Value::Array(ids))]);
        let request = Request::new(65, 0, body);
        for _ in 0..100 {
            let is_done = |outcome: &Outcome| {
                let states = outcome.answer().and_then(|answer| answer.get("TransactionStates")).map(Value::items);
                states
                    .unwrap_or_default()
                    .iter()
                    .all(|state| !state.text_of("TransactionState").is_some_and(|text| text.starts_with("Prepare")))
            };
            if is_done(&self.left.call(&request)?) && is_done(&self.right.call(&request)?) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Creates the topics, wakes the coordinators, gives each transactional id its producer.
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.create_topics(3)?;
        self.wake_coordinators()?;
        for id in [None].into_iter().chain(self.generator.transactions.clone().into_iter().map(Some)) {
            let body = Value::Struct(vec![
                ("TransactionalId", id.map_or(Value::Null, Value::Text)),
                ("TransactionTimeoutMs", Value::Int(600_000)),
                ("ProducerId", Value::Int(-1)),
                ("ProducerEpoch", Value::Int(-1)),
            ]);
            self.both(&Request::new(22, 4, body))?;
        }
        Ok(())
    }

    /// Creates the first `count` topics, and the fence's.
    pub(crate) fn create_topics(&mut self, count: usize) -> anyhow::Result<()> {
        let topic = |(index, name): (usize, &String)| {
            let config = |name: &str, value: &str| {
                Value::Struct(vec![("Name", Value::Text(name.to_owned())), ("Value", Value::Text(value.to_owned()))])
            };
            let configs = match index {
                1 => vec![config("cleanup.policy", "compact")],
                2 => vec![config("message.timestamp.type", "LogAppendTime")],
                _ => Vec::new(),
            };
            Value::Struct(vec![
                ("Name", Value::Text(name.clone())),
                ("NumPartitions", Value::Int(2)),
                ("ReplicationFactor", Value::Int(1)),
                ("Assignments", Value::Array(Vec::new())),
                ("Configs", Value::Array(configs)),
            ])
        };
        let topics =
            self.generator.topics.iter().take(count).chain([&fence_name(self.seed)]).enumerate().map(topic).collect();
        let body = Value::Struct(vec![
            ("Topics", Value::Array(topics)),
            ("timeoutMs", Value::Int(10_000)),
            ("validateOnly", Value::Int(0)),
        ]);
        self.both(&Request::new(19, 7, body))?;
        self.fence()?;
        self.settle_topics().map(drop)
    }

    /// The topics of the coordinators are made when someone first looks for one.
    pub(crate) fn wake_coordinators(&mut self) -> anyhow::Result<()> {
        let groups = self.generator.groups.iter().map(|group| (group.clone(), 0));
        let names: Vec<(String, i64)> =
            groups.chain(self.generator.transactions.iter().map(|id| (id.clone(), 1))).collect();
        for (key, kind) in names {
            self.both(&Request::new(10, 3, Value::of([("Key", Value::Text(key)), ("KeyType", Value::Int(kind))])))?;
        }
        Ok(())
    }

    /// Sends to both until neither is busy.
    fn both(&mut self, request: &Request) -> anyhow::Result<()> {
        for side in [&mut *self.left, &mut *self.right] {
            for _ in 0..300 {
                if !is_passing(&side.call(request)?) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

/// The topic of the fence.
fn fence_name(seed: u64) -> String {
    format!("fence-{seed}")
}

/// What the fence changes: it does nothing, as nothing is deleted during a run.
const FENCE_KEY: &str = "file.delete.delay.ms";

/// Sends a request. A member that joined gets its assignment at once: a group that waits for one drops its members by
/// the clock, which two brokers never do at the same request.
fn ask(side: &mut Side, request: &Request) -> anyhow::Result<Outcome> {
    let outcome = side.call(request)?;
    // The members of a scene look after themselves.
    if request.connection > 0 {
        return Ok(outcome);
    }
    if let (11, Some(group)) = (request.api_key, request.body.text_of("GroupId")) {
        let body = Value::Struct(vec![
            ("GroupId", Value::Text(group.to_owned())),
            ("GenerationId", Value::Learnt(Slot::Generation(group.to_owned()))),
            ("MemberId", Value::Learnt(Slot::Member(group.to_owned()))),
            ("GroupInstanceId", Value::Null),
            ("Assignments", Value::Array(Vec::new())),
        ]);
        side.call(&Request::new(14, 3, body))?;
    }
    Ok(outcome)
}

fn brief(body: &Value) -> String {
    format!("{body:?}").chars().take(1500).collect()
}

fn is_passing(outcome: &Outcome) -> bool {
    codes(outcome).iter().any(|code| PASSING.contains(code))
}

/// Every error code in an answer.
fn codes(outcome: &Outcome) -> Vec<i64> {
    fn collect(value: &Value, into: &mut Vec<i64>) {
        match value {
            Value::Struct(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::Int(code) if *name == "ErrorCode" => into.push(*code),
                        field => collect(field, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(answer) = outcome.answer() {
        collect(answer, &mut found);
    }
    found
}
