//! DescribeConfigs (key 32), v1-v4. What a topic, a broker, all brokers, a group or a subscription is configured to.
//! Versions: v1 sources and synonyms (KIP-226); v3 types and documentation (KIP-569); v4 flexible.
//! Authorizes: DescribeConfigs on Cluster, Topic, Group.   Waits: no.
//! Not done: loggers other than the root one; the level of the root logger is shown, not changed.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_base_config::dynamic::{self, Scope};
use millstream_base_config::key::{Key, Kind, find};
use millstream_base_config::resolve::{self, Found, Layers, Source};
use millstream_base_config::table_broker::BROKER_KEYS;
use millstream_base_config::table_group::{CLIENT_METRICS_KEYS, GROUP_KEYS};
use millstream_base_config::table_topic::TOPIC_KEYS;
use millstream_base_config::valid;
use millstream_broker_controller::decide::topic_name;
use millstream_broker_controller::{ConfigResourceType, Image, Refusal};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_configs_request::DescribeConfigsResource;
use millstream_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::net::answer_memory::ANSWER_BYTES_MAX;
use crate::node::Node;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 4);

/// Java: `ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG`.
const SOURCE_LOGGER: i8 = 6;

/// Up to so many resources are described on the connection's own thread.
const AT_ONCE_MAX: usize = 16;

type Set = BTreeMap<String, String>;

/// Handles the request.
pub fn handle(context: &Context, request: DescribeConfigsRequest) -> Outcome<DescribeConfigsResponse> {
    let known = |resource: &DescribeConfigsResource| ConfigResourceType::from_number(resource.resource_type).is_some();
    if !request.resources.iter().all(known) {
        // Java throws before it looks at any resource, and the error's own text goes out with each.
        let refused = |resource: &DescribeConfigsResource| {
            let text = ErrorCode::InvalidRequest.message();
            result(resource, ErrorCode::InvalidRequest as i16, Some(text.to_owned()))
        };
        return DescribeConfigsResponse::default().with_results(request.resources.iter().map(refused).collect()).into();
    }
    let form = Form {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation && context.version() >= 3,
        types: context.version() >= 3,
    };
    let (node, resources) = (context.node.clone(), distinct(request.resources));
    if resources.len() <= AT_ONCE_MAX {
        return describe(&node, &resources, form).into();
    }
    Outcome::Large(Box::new(move || describe(&node, &resources, form)))
}

/// What the request asks for, each once; Java repeats the answer as often as it is asked.
fn distinct(mut resources: Vec<DescribeConfigsResource>) -> Vec<DescribeConfigsResource> {
    let mut seen = HashSet::new();
    resources.retain(|one| seen.insert((one.resource_type, one.resource_name.clone(), one.configuration_keys.clone())));
    resources
}

/// Describes until the answer is as large as one may be.
fn describe(node: &Node, resources: &[DescribeConfigsResource], form: Form) -> DescribeConfigsResponse {
    let image = node.controller.image();
    let view = View::new(node, &image);
    let mut shared: HashMap<Shared, Vec<DescribeConfigsResourceResult>> = HashMap::new();
    let mut room = ANSWER_BYTES_MAX;
    let mut describe = |resource: &DescribeConfigsResource| {
        let own;
        let shown = || Ok(view.entries(resource)?.into_iter().map(|entry| entry.shown(form)).collect::<Vec<_>>());
        let all = match view.shared(resource) {
            Some(what) => match shared.entry(what) {
                Place::Occupied(known) => Ok(&*known.into_mut()),
                Place::Vacant(place) => shown().map(|made| &*place.insert(made)),
            },
            None => {
                own = shown();
                own.as_ref().map_err(Refusal::clone)
            }
        };
        let asked = match all {
            Ok(all) => asked(all, resource),
            Err(refusal) => return result(resource, refusal.code as i16, refusal.message),
        };
        match room.checked_sub(asked.iter().map(|entry| bytes(entry)).sum()) {
            Some(left) => room = left,
            None => {
                let text =
                    format!("The answer would be larger than {ANSWER_BYTES_MAX} bytes; ask for fewer resources.");
                return result(resource, ErrorCode::InvalidRequest as i16, Some(text));
            }
        }
        result(resource, 0, Some(String::new())).with_configs(asked.into_iter().cloned().collect())
    };
    let results = resources.iter().map(&mut describe).collect();
    DescribeConfigsResponse::default().with_results(results)
}

/// The entries that the request names; all where it names none.
fn asked<'a>(
    all: &'a [DescribeConfigsResourceResult],
    resource: &DescribeConfigsResource,
) -> Vec<&'a DescribeConfigsResourceResult> {
    match resource.configuration_keys.as_deref() {
        None | Some([]) => all.iter().collect(),
        Some(keys) => {
            let keys: HashSet<&str> = keys.iter().map(|key| &**key).collect();
            all.iter().filter(|entry| keys.contains(&*entry.name)).collect()
        }
    }
}

/// What an entry takes in an answer, a little more rather than less.
fn bytes(entry: &DescribeConfigsResourceResult) -> usize {
    const LENGTHS_AND_FLAGS: usize = 24;
    let text = |text: &Option<StrBytes>| text.as_ref().map_or(0, |text| text.len());
    let synonyms = entry.synonyms.iter().map(|one| one.name.len() + text(&one.value) + LENGTHS_AND_FLAGS);
    entry.name.len() + text(&entry.value) + text(&entry.documentation) + LENGTHS_AND_FLAGS + synonyms.sum::<usize>()
}

fn result(resource: &DescribeConfigsResource, code: i16, message: Option<String>) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_error_code(code)
        .with_error_message(message.map(StrBytes::from_string))
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

/// Resources that show the same, whatever their name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shared {
    /// This broker, however its id is spelled.
    ThisBroker,
    /// A group of which nothing is set.
    Group,
    /// A subscription of which nothing is set.
    ClientMetrics,
}

/// What an answer shows.
#[derive(Clone, Copy)]
struct Form {
    synonyms: bool,
    documentation: bool,
    types: bool,
}

/// One key of one resource.
struct Entry {
    name: String,
    kind: Option<Kind>,
    value: Option<String>,
    read_only: bool,
    source: i8,
    synonyms: Vec<Found>,
    doc: Option<&'static Key>,
}

impl Entry {
    fn shown(self, form: Form) -> DescribeConfigsResourceResult {
        // What is of no known type could be a secret (Java: `KafkaConfig.maybeSensitive`).
        let sensitive = matches!(self.kind, None | Some(Kind::Password)) && self.source != SOURCE_LOGGER;
        let text = |value: Option<String>| if sensitive { None } else { value.map(StrBytes::from_string) };
        let synonym = |found: Found| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_string(found.name))
                .with_value(text(found.value))
                .with_source(found.source as i8)
        };
        // Java leaves a logger's documentation at the field's default.
        let is_logger = self.source == SOURCE_LOGGER;
        let doc = match self.doc {
            _ if is_logger => form.types.then(String::new),
            Some(key) if form.documentation => Some(key.documentation()),
            _ => None,
        };
        let synonyms = if form.synonyms { self.synonyms.into_iter().map(synonym).collect() } else { Vec::new() };
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(self.name))
            .with_value(text(self.value))
            .with_read_only(self.read_only)
            .with_config_source(self.source)
            .with_is_sensitive(sensitive)
            .with_synonyms(synonyms)
            .with_config_type(if form.types { self.kind.map_or(0, Kind::wire) } else { 0 })
            .with_documentation(doc.map(StrBytes::from_string))
    }
}

/// What is set where, at one image.
struct View<'a> {
    image: &'a Image,
    node_id: i32,
    file: &'a Set,
    broker: Set,
    cluster: Set,
    effective: Set,
}

impl<'a> View<'a> {
    fn new(node: &'a Node, image: &'a Image) -> Self {
        let set = |name: &str, scope| {
            let set = image.configs(ConfigResourceType::Broker, name);
            set.map(|set| dynamic::usable(set, scope)).unwrap_or_default()
        };
        let broker = set(&node.id().to_string(), Scope::OneBroker);
        let cluster = set("", Scope::ClusterDefault);
        let file = node.config.set_values();
        let effective = resolve::effective(Layers { broker: Some(&broker), cluster: Some(&cluster), file });
        View { image, node_id: node.id(), file, broker, cluster, effective }
    }

    fn layers(&self) -> Layers<'_> {
        Layers { broker: Some(&self.broker), cluster: Some(&self.cluster), file: self.file }
    }

    /// With which others the resource shares its entries.
    fn shared(&self, resource: &DescribeConfigsResource) -> Option<Shared> {
        let name = &*resource.resource_name;
        let kind = ConfigResourceType::from_number(resource.resource_type)?;
        let unset = || !name.is_empty() && self.image.configs(kind, name).is_none();
        match kind {
            ConfigResourceType::Broker => {
                self.is_this_node(name).is_ok_and(|is_this| is_this).then_some(Shared::ThisBroker)
            }
            ConfigResourceType::Group => unset().then_some(Shared::Group),
            ConfigResourceType::ClientMetrics => unset().then_some(Shared::ClientMetrics),
            ConfigResourceType::Topic | ConfigResourceType::BrokerLogger => None,
        }
    }

    fn entries(&self, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let name = &*resource.resource_name;
        let kind = ConfigResourceType::from_number(resource.resource_type);
        match kind.expect("unknown types were refused before") {
            ConfigResourceType::Topic => self.topic(name),
            ConfigResourceType::Broker if name.is_empty() => Ok(self.cluster_default()),
            ConfigResourceType::Broker => match self.is_this_node(name) {
                Ok(true) => Ok(self.broker_entries()),
                Ok(false) => invalid(format!(
                    "Unexpected broker id, expected {} or empty string, but received {name}",
                    self.node_id
                )),
                Err(refusal) => Err(refusal),
            },
            ConfigResourceType::BrokerLogger if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
            ConfigResourceType::BrokerLogger => match self.is_this_node(name) {
                Ok(true) => Ok(vec![root_logger()]),
                Ok(false) => invalid(format!("Unexpected broker id, expected {} but received {name}", self.node_id)),
                Err(refusal) => Err(refusal),
            },
            ConfigResourceType::ClientMetrics if name.is_empty() => {
                invalid("Client metrics subscription name must not be empty".to_owned())
            }
            ConfigResourceType::ClientMetrics => Ok(self.client_metrics(name)),
            ConfigResourceType::Group if name.is_empty() => invalid("Group name must not be empty".to_owned()),
            ConfigResourceType::Group => Ok(self.group(name)),
        }
    }

    fn is_this_node(&self, name: &str) -> Result<bool, Refusal> {
        match name.parse::<i32>() {
            Ok(id) => Ok(id == self.node_id),
            Err(_) => {
                let message = format!("Broker id must be an integer, but it is: {name}");
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<Entry>, Refusal> {
        topic_name::validate(name)?;
        if self.image.topic(name).is_none() {
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, ""));
        }
        let set = self.image.configs(ConfigResourceType::Topic, name).map(|set| &**set);
        let shown = TOPIC_KEYS.iter().filter(|key| !key.internal || set.is_some_and(|set| set.contains_key(key.name)));
        let entry = |key: &'static Key| {
            let value = resolve::topic_value(key, set, self.layers());
            let synonyms = resolve::resource(key, set, Source::DynamicTopic, self.layers());
            dynamic_entry(key, value, synonyms)
        };
        Ok(shown.map(entry).collect())
    }

    fn group(&self, name: &str) -> Vec<Entry> {
        let set = self.image.configs(ConfigResourceType::Group, name).map(|set| &**set);
        let entry = |key: &'static Key| {
            let mut synonyms = resolve::resource(key, set, Source::Group, self.layers());
            if key.synonyms.is_empty() {
                let value = key.default_value().map(str::to_owned);
                synonyms.push(Found { name: key.name.to_owned(), value, source: Source::Default });
            }
            let broker = key.synonyms.first().and_then(|synonym| self.effective.get(synonym.name));
            let set = set.and_then(|set| set.get(key.name));
            let value = set.or(broker).cloned().or_else(|| key.default_value().map(str::to_owned));
            dynamic_entry(key, value, synonyms)
        };
        GROUP_KEYS.iter().filter(|key| !key.internal).map(entry).collect()
    }

    fn client_metrics(&self, name: &str) -> Vec<Entry> {
        let set = self.image.configs(ConfigResourceType::ClientMetrics, name).map(|set| &**set);
        let entry = |key: &'static Key| {
            let synonyms = resolve::resource(key, set, Source::ClientMetrics, self.layers());
            let value = set.and_then(|set| set.get(key.name)).map(String::as_str).or(key.default_value());
            dynamic_entry(key, value.map(str::to_owned), synonyms)
        };
        CLIENT_METRICS_KEYS.iter().map(entry).collect()
    }

    /// Only what is set by default for all brokers.
    fn cluster_default(&self) -> Vec<Entry> {
        let entry = |(name, value): (&String, &String)| {
            let mut synonyms = resolve::broker(name, self.layers());
            synonyms.retain(|found| found.source == Source::DynamicDefaultBroker);
            broker_entry(name, Some(value.clone()), synonyms)
        };
        self.cluster.iter().map(entry).collect()
    }

    fn broker_entries(&self) -> Vec<Entry> {
        let table = BROKER_KEYS.iter().filter(|key| !key.internal).map(|key| key.name);
        let is_shown = |name: &str| find(BROKER_KEYS, name).is_some_and(|key| !key.internal);
        let others = self.effective.keys().map(String::as_str).filter(|name| !is_shown(name));
        let entry = |name: &str| {
            let text = self.effective.get(name).map(String::as_str);
            let value = match find(BROKER_KEYS, name) {
                Some(key) => text.or(key.default_value()).map(|text| rendered(key, text)),
                None => text.map(str::to_owned),
            };
            broker_entry(name, value, resolve::broker(name, self.layers()))
        };
        table.chain(others).map(entry).collect()
    }
}

fn broker_entry(name: &str, value: Option<String>, synonyms: Vec<Found>) -> Entry {
    Entry {
        name: name.to_owned(),
        kind: dynamic::row(name).map(|key| key.kind),
        value,
        read_only: dynamic::is_read_only(name),
        source: synonyms.first().map_or(Source::Default, |found| found.source) as i8,
        synonyms,
        doc: find(BROKER_KEYS, name),
    }
}

/// An entry of a resource all of whose keys may change at any time.
fn dynamic_entry(key: &'static Key, value: Option<String>, mut synonyms: Vec<Found>) -> Entry {
    let value = value.map(|text| rendered(key, &text));
    if let Some(own) = synonyms.first_mut().filter(|found| found.name == key.name) {
        own.value.clone_from(&value);
    }
    Entry {
        name: key.name.to_owned(),
        kind: Some(key.kind),
        value,
        read_only: false,
        source: synonyms.first().map_or(Source::Default, |found| found.source) as i8,
        synonyms,
        doc: Some(key),
    }
}

/// The text as Java prints the value that it parsed from it.
fn rendered(key: &Key, text: &str) -> String {
    valid::parse(key, text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

fn root_logger() -> Entry {
    Entry {
        name: "root".to_owned(),
        kind: None,
        value: Some(tracing::level_filters::LevelFilter::current().to_string().to_uppercase()),
        read_only: false,
        source: SOURCE_LOGGER,
        synonyms: Vec::new(),
        doc: None,
    }
}
