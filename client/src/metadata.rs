//! Which brokers there are and who leads what; the connections to them.
//!
//! Used by admin, producer and consumer. What was learnt of topics is kept and given to all that share the cluster;
//! who finds it stale asks for it again. A broker that does not answer is tried again after a growing wait
//! (`reconnect.backoff.ms`); when none of the known ones answers, the bootstrap addresses are asked anew (KIP-899).
//! Behind bootstrap addresses of controllers (KIP-919) every request goes to the one that is active.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_base_config::valid::port_of;
use millstream_base_env::clock::Moment;
use millstream_base_env::task;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::metadata_request::MetadataRequestTopic;
use millstream_protocol::messages::metadata_response::MetadataResponseTopic;
use millstream_protocol::messages::{DescribeClusterRequest, MetadataRequest, MetadataResponse, StrBytes, TopicName};
use parking_lot::Mutex;
use uuid::Uuid;

pub use crate::config::Missing;
use crate::config::{ConnectionConfig, Endpoints, Recovery};
use crate::connection::{Connection, backoff};
use crate::error::{ClientError, check, check_of, of_code};

// Who coordinates what.
mod coordinators;

pub(crate) use coordinators::Coordinated;
use coordinators::Coordinators;

/// `EndpointType.CONTROLLER` of DescribeCluster.
pub(crate) const CONTROLLERS: i8 = 2;

/// Text as messages carry it.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The name of a topic as messages carry it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A broker and where it is.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::Node;
///
/// let (Node { id, host, port }, _) = admin.coordinator("billing").await?;
/// println!("broker {id} at {host}:{port} coordinates the group");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
}

impl Node {
    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// Who leads a partition.
///
/// ```
/// use client::metadata::{Leader, TopicView};
///
/// let view = TopicView { id: Default::default(), leaders: vec![Leader { broker: 3, epoch: 7 }] };
/// assert_eq!(view.leader(0), Some(Leader { broker: 3, epoch: 7 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker, -1 for none.
    pub broker: i32,
    /// The epoch of its leadership, -1 when the broker does not say.
    pub epoch: i32,
}

/// A topic as the cluster last described it.
///
/// ```
/// use client::metadata::{Leader, TopicView};
///
/// let view = TopicView { id: Default::default(), leaders: vec![Leader { broker: -1, epoch: 7 }] };
/// assert_eq!((view.leader(0), view.leader(1)), (None, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its id, nil when the broker has none.
    pub id: Uuid,
    /// Leaders by partition, without gaps.
    pub leaders: Vec<Leader>,
}

impl TopicView {
    /// The broker that leads a partition.
    pub fn leader(&self, partition: i32) -> Option<Leader> {
        let leader = self.leaders.get(usize::try_from(partition).ok()?)?;
        (leader.broker >= 0).then_some(*leader)
    }
}

/// A broker's connection and how attempts to open it went.
#[derive(Default)]
struct Slot {
    open: Mutex<Option<Connection>>,
    attempts: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    /// Failures since the last success.
    failures: u32,
    last: Option<(Moment, ClientError)>,
}

impl Slot {
    fn ready(&self) -> Option<Connection> {
        self.open.lock().as_ref().filter(|known| known.is_open()).cloned()
    }
}

#[derive(Default)]
struct Known {
    addresses: HashMap<i32, String>,
    /// Address of the active controller, once controllers were asked for it.
    controller: Option<String>,
    topics: HashMap<String, Arc<TopicView>>,
    /// Grows with each change of topics.
    version: u64,
    features: Option<Features>,
    coordinators: Coordinators,
}

/// Level of `transaction.version`, and the epoch of the features that it was read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    pub epoch: i64,
    pub transaction_version: i16,
}

/// A cluster, reached through its bootstrap addresses; clones share connections and what is known of topics.
///
/// ```no_run
/// # async fn example() -> Result<(), client::error::ClientError> {
/// use client::admin::Admin;
/// use client::metadata::Cluster;
///
/// let cluster = Cluster::new("broker1:9092,broker2:9092");
/// println!("{} answers", cluster.any().await?.address());
/// println!("{:?}", Admin::new(cluster).brokers().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cluster {
    config: Arc<ConnectionConfig>,
    known: Arc<Mutex<Known>>,
    /// By address.
    slots: Arc<Mutex<HashMap<String, Arc<Slot>>>>,
}

impl Cluster {
    /// The cluster behind `host:port,host:port`. Connects to nothing yet.
    pub fn new(bootstrap: &str) -> Self {
        let bootstrap = bootstrap.split(',').map(|address| address.trim().to_owned()).collect();
        Self::with_config(ConnectionConfig { bootstrap, ..ConnectionConfig::default() })
    }

    /// The cluster that `config` names. Connects to nothing yet; an address that is none is told by the first call.
    pub fn with_config(mut config: ConnectionConfig) -> Self {
        for address in &mut config.bootstrap {
            // As Java takes them, with the name of a protocol before them.
            if let Some((_, bare)) = address.split_once("://") {
                *address = bare.to_owned();
            }
        }
        Cluster { config: Arc::new(config), known: Arc::default(), slots: Arc::default() }
    }

    /// Whether the bootstrap addresses are addresses.
    ///
    /// # Errors
    /// [`ClientError::Config`], which no waiting changes.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        check_bootstrap(&self.config.bootstrap)
    }

    /// The same cluster over connections of its own: a broker answers a connection's requests in their order, so that
    /// one that it holds back (a fetch that waits, a join) would hold back all behind it.
    pub(crate) fn apart(&self) -> Self {
        Cluster { config: self.config.clone(), known: self.known.clone(), slots: Arc::default() }
    }

    /// The settings of its connections.
    pub fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    fn slot(&self, address: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(address) {
            return slot.clone();
        }
        slots.entry(address.to_owned()).or_default().clone()
    }

    /// A connection to the broker at `host:port`, the one that is open or a new one, for which whoever asks
    /// meanwhile waits together.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn at(&self, address: &str) -> Result<Connection, ClientError> {
        let slot = self.slot(address);
        if let Some(open) = slot.ready() {
            return Ok(open);
        }
        let alone = slot.attempts.try_lock().is_ok();
        // A task of its own: who gives up waiting does not stop it, or no attempt would ever last longer than the most
        // impatient of those who ask.
        let (cluster, address) = (self.clone(), address.to_owned());
        let attempt = task::spawn("client connect", async move { cluster.connect(&slot, &address, alone).await });
        attempt.await.unwrap_or(Err(ClientError::State("the attempt to connect was stopped")))
    }

    async fn connect(&self, slot: &Slot, address: &str, alone: bool) -> Result<Connection, ClientError> {
        let mut attempts = slot.attempts.lock().await;
        if let Some(open) = slot.ready() {
            return Ok(open);
        }
        if let Some((_, error)) = &attempts.last
            && !alone
        {
            // Another attempt failed while this one waited for it.
            return Err(error.clone());
        }
        let wait = backoff(attempts.failures, self.config.reconnect_backoff, self.config.reconnect_backoff_max);
        if let Some((when, _)) = &attempts.last {
            task::sleep(wait.saturating_sub(when.elapsed())).await;
        }
        match Connection::open_after(attempts.failures, address, &self.config).await {
            Ok(connection) => {
                self.learn_features(&connection);
                *slot.open.lock() = Some(connection.clone());
                attempts.failures = 0;
                attempts.last = None;
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(address, %error, failures = attempts.failures + 1, "cannot connect");
                attempts.failures += 1;
                attempts.last = Some((Moment::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// A connection to whichever broker answers first: of those that are open the one with the fewest calls without an
    /// answer (Java: `leastLoadedNode`), else those known, else the bootstrap brokers in the order given. Of controllers,
    /// to the active one.
    ///
    /// # Errors
    /// The last broker's, when none answers.
    pub async fn any(&self) -> Result<Connection, ClientError> {
        match self.config.endpoints {
            Endpoints::Brokers => self.first().await,
            Endpoints::Controllers => self.active_controller().await,
        }
    }

    /// As [`Cluster::any`], for what no controller serves.
    pub(crate) async fn any_broker(&self) -> Result<Connection, ClientError> {
        match self.config.endpoints {
            Endpoints::Brokers => self.first().await,
            Endpoints::Controllers => Err(not_of_controllers()),
        }
    }

    async fn active_controller(&self) -> Result<Connection, ClientError> {
        let known = self.known.lock().controller.clone();
        if let Some(address) = known
            && let Ok(connection) = self.at(&address).await
        {
            return Ok(connection);
        }
        self.find_controllers().await?;
        let found = self.known.lock().controller.clone();
        let address = found.ok_or_else(|| of_code(ErrorCode::NotController.code(), None))?;
        self.at(&address).await
    }

    /// Asks again who the active controller is.
    pub(crate) fn forget_controller(&self) {
        self.known.lock().controller = None;
    }

    async fn find_controllers(&self) -> Result<(), ClientError> {
        let request = DescribeClusterRequest::default().with_endpoint_type(CONTROLLERS);
        let connection = self.first().await?;
        let response = connection.call(&request).await?;
        check(response.error_code, response.error_message.as_deref())
            .map_err(|error| error.at(connection.address()))?;
        let mut known = self.known.lock();
        known.addresses =
            response.brokers.iter().map(|node| (node.broker_id.0, address(&node.host, node.port))).collect();
        known.controller = known.addresses.get(&response.controller_id.0).cloned();
        Ok(())
    }

    async fn first(&self) -> Result<Connection, ClientError> {
        let mut candidates: Vec<String> = {
            let (known, slots) = (self.known.lock(), self.slots.lock());
            let open = known.addresses.values().filter_map(|address| slots.get(address)?.ready());
            if let Some(open) = open.min_by_key(Connection::outstanding) {
                return Ok(open);
            }
            known.addresses.values().cloned().collect()
        };
        if candidates.is_empty() || self.config.recovery == Recovery::Rebootstrap {
            candidates.extend(self.config.bootstrap.iter().cloned());
        }
        self.check()?;
        let (mut last, mut resolved) =
            (ClientError::Config("bootstrap.servers names no broker".to_owned()), candidates.is_empty());
        for (index, address) in candidates.iter().enumerate() {
            if candidates[..index].contains(address) {
                continue;
            }
            match self.at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    resolved |= !is_unresolved(&error);
                    last = error;
                }
            }
        }
        if !resolved && self.known.lock().addresses.is_empty() {
            // Who has never reached the cluster has its wrong name (Java: ConfigException); else the resolver is away.
            return Err(ClientError::Config(format!(
                "No resolvable bootstrap urls given in bootstrap.servers: {last}"
            )));
        }
        Err(last)
    }

    /// A connection to the broker `id`, as the last metadata gave its address; any broker when it is unknown.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn broker(&self, id: i32) -> Result<Connection, ClientError> {
        match self.address(id) {
            Some(address) => self.at(&address).await,
            None => self.any().await,
        }
    }

    /// The connection to the broker `id` if one is open.
    pub(crate) fn open_to(&self, id: i32) -> Option<Connection> {
        let (known, slots) = (self.known.lock(), self.slots.lock());
        slots.get(known.addresses.get(&id)?)?.ready()
    }

    /// A connection to the broker `id` and to no other.
    ///
    /// # Errors
    /// When the last metadata did not name it, or it cannot be reached.
    pub(crate) async fn known_broker(&self, id: i32) -> Result<Connection, ClientError> {
        match self.address(id) {
            Some(address) => self.at(&address).await,
            None => Err(ClientError::NoBroker { id }),
        }
    }

    /// Whether the last metadata named the broker.
    pub(crate) fn knows(&self, id: i32) -> bool {
        self.known.lock().addresses.contains_key(&id)
    }

    /// A broker's address, or its id where that is not known.
    pub(crate) fn name_of(&self, id: i32) -> String {
        self.address(id).unwrap_or_else(|| format!("broker {id}"))
    }

    fn address(&self, id: i32) -> Option<String> {
        self.known.lock().addresses.get(&id).cloned()
    }

    /// Asks for topics, all of them for None, and remembers what was said.
    ///
    /// # Errors
    /// When no broker answers. Errors of single topics stand in the response.
    pub async fn metadata(&self, topics: Option<&[String]>, missing: Missing) -> Result<MetadataResponse, ClientError> {
        self.metadata_from(topics, missing).await.map(|(response, _)| response)
    }

    /// As [`Cluster::metadata`], with the address of who said it.
    pub(crate) async fn metadata_from(
        &self,
        topics: Option<&[String]>,
        missing: Missing,
    ) -> Result<(MetadataResponse, String), ClientError> {
        if self.config.endpoints == Endpoints::Controllers {
            return match topics {
                Some([]) => self.find_controllers().await.map(|()| Default::default()),
                _ => Err(not_of_controllers()),
            };
        }
        let wanted = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|names| names.iter().map(wanted).collect()))
            .with_allow_auto_topic_creation(missing == Missing::Create);
        let mut connection = self.any().await?;
        let mut response = connection.call(&request).await;
        if matches!(response, Err(ClientError::Lost { .. })) {
            // The broker may have closed a connection that stood idle; there may be others.
            connection = self.any().await?;
            response = connection.call(&request).await;
        }
        let mut response = response?;
        if response.error_code == ErrorCode::RebootstrapRequired.code() {
            // KIP-1102: the brokers that are known belong to another cluster by now.
            {
                let mut known = self.known.lock();
                known.addresses.clear();
                known.coordinators.clear();
            }
            self.slots.lock().clear();
            connection = self.any().await?;
            response = connection.call(&request).await?;
        }
        check(response.error_code, None).map_err(|error| error.at(connection.address()))?;
        self.learn(&response);
        Ok((response, connection.address().to_owned()))
    }

    fn learn(&self, response: &MetadataResponse) {
        let mut known = self.known.lock();
        known.version += 1;
        if !response.brokers.is_empty() {
            // Brokers that left are asked no more.
            let brokers = response.brokers.iter();
            known.addresses = brokers.map(|broker| (broker.node_id.0, address(&broker.host, broker.port))).collect();
        }
        for topic in &response.topics {
            let Some(name) = topic.name.as_ref() else { continue };
            match ErrorCode::from_code(topic.error_code) {
                Some(ErrorCode::None) => {
                    let view = merge(known.topics.get(&*name.0).map(Arc::as_ref), topic);
                    known.topics.insert(name.0.to_string(), Arc::new(view));
                }
                Some(ErrorCode::UnknownTopicOrPartition) => {
                    known.topics.remove(&*name.0);
                }
                // What is only not known now leaves what was known before.
                _ => {}
            }
        }
    }

    /// Notes who leads a partition as a broker's answer said (KIP-951), unless something newer is known.
    pub(crate) fn learn_leader(&self, topic: &str, partition: i32, leader: Leader, endpoint: Option<(&str, i32)>) {
        let mut known = self.known.lock();
        if let Some((host, port)) = endpoint {
            known.addresses.insert(leader.broker, address(host, port));
        }
        if !known.addresses.contains_key(&leader.broker) {
            return;
        }
        known.version += 1;
        if let Some(view) = known.topics.get_mut(topic) {
            let slot = Arc::make_mut(view).leaders.get_mut(partition.max(0) as usize);
            if let Some(slot) = slot.filter(|slot| slot.epoch < leader.epoch) {
                *slot = leader;
            }
        }
    }

    fn learn_features(&self, connection: &Connection) {
        let transaction_version = connection.feature("transaction.version");
        let said = Features { epoch: connection.features_epoch(), transaction_version };
        let mut known = self.known.lock();
        if known.features.is_none_or(|before| before.epoch < said.epoch) {
            known.features = Some(said);
        }
    }

    /// The newest of what brokers said of finalised features.
    pub(crate) fn features(&self) -> Features {
        self.known.lock().features.unwrap_or(Features { epoch: -1, transaction_version: 0 })
    }

    /// What tells one state of what is known of topics from another.
    pub(crate) fn version(&self) -> u64 {
        self.known.lock().version
    }

    /// What is known of a topic.
    pub fn known_topic(&self, name: &str) -> Option<Arc<TopicView>> {
        self.known.lock().topics.get(name).cloned()
    }

    /// What is known of a topic, asked for until it is there: one that is just being made is reported as unknown or
    /// without leaders at first.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] after `limit`; at once what waiting does not change (a name that is not legal).
    pub async fn topic(&self, name: &str, missing: Missing, limit: Duration) -> Result<Arc<TopicView>, ClientError> {
        if let Some(view) = self.known_topic(name) {
            return Ok(view);
        }
        let names = [name.to_owned()];
        let doing = format!("finding topic {name} through {}", self.config.bootstrap.join(","));
        crate::connection::retrying(&doing, limit, &self.config, || async {
            let (response, from) = self.metadata_from(Some(&names), missing).await?;
            for topic in &response.topics {
                check_of(format_args!("topic {name}"), topic.error_code, None).map_err(|error| error.at(&from))?;
            }
            self.known_topic(name).ok_or(ClientError::NoLeader { topic: name.to_owned(), partition: 0 })
        })
        .await
    }
}

/// Whether each of `bootstrap.servers` is a host and a port (Java: `ClientUtils.parseAndValidateAddresses`).
pub(crate) fn check_bootstrap(addresses: &[String]) -> Result<(), ClientError> {
    let refuse =
        |what: &str, address: &str| Err(ClientError::Config(format!("Invalid {what} in bootstrap.servers: {address}")));
    for address in addresses {
        match port_of(address) {
            None => return refuse("url", address),
            Some(port) if port.parse::<u16>().is_err() => return refuse("port", address),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether an attempt to connect ended at the name.
fn is_unresolved(error: &ClientError) -> bool {
    matches!(error, ClientError::Connect { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// What Java's `KafkaAdminClient` says of a call that controllers do not serve.
fn not_of_controllers() -> ClientError {
    let message = "This Admin API is not yet supported when communicating directly with the controller quorum.";
    of_code(ErrorCode::UnsupportedEndpointType.code(), Some(message))
}

/// What a new description makes of the old one: a leader of an older epoch, told by a broker that lags behind, does
/// not replace a newer one (Java: `Metadata.updateLatestMetadata`).
fn merge(old: Option<&TopicView>, topic: &MetadataResponseTopic) -> TopicView {
    let count = topic.partitions.iter().map(|p| p.partition_index + 1).max().unwrap_or(0).max(0) as usize;
    // Partitions are numbered without gaps; a count that does not fit the answer is no reason to reserve memory.
    let mut leaders = vec![Leader { broker: -1, epoch: -1 }; count.min(topic.partitions.len())];
    for partition in &topic.partitions {
        let at = usize::try_from(partition.partition_index).ok();
        let Some((index, slot)) = at.and_then(|index| Some((index, leaders.get_mut(index)?))) else { continue };
        *slot = Leader { broker: partition.leader_id.0, epoch: partition.leader_epoch };
        let before = old.filter(|old| old.id == topic.topic_id).and_then(|old| old.leaders.get(index));
        if let Some(before) =
            before.filter(|before| partition.leader_epoch >= 0 && before.epoch > partition.leader_epoch)
        {
            *slot = *before;
        }
    }
    TopicView { id: topic.topic_id, leaders }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::messages::metadata_response::MetadataResponsePartition;

    fn described(id: u128, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
        let partition = |(index, (broker, epoch)): (usize, &(i32, i32))| {
            let partition = MetadataResponsePartition::default().with_partition_index(index as i32);
            partition.with_leader_id((*broker).into()).with_leader_epoch(*epoch)
        };
        let partitions = leaders.iter().enumerate().map(partition).collect();
        MetadataResponseTopic::default().with_topic_id(Uuid::from_u128(id)).with_partitions(partitions)
    }

    #[tokio::test]
    async fn what_is_no_address_is_told_at_once() {
        for (bootstrap, says) in [("localhost", "Invalid url"), ("a..b:1", "No resolvable"), ("", "names no broker")] {
            let config = ConnectionConfig {
                bootstrap: bootstrap.split(',').filter(|own| !own.is_empty()).map(str::to_owned).collect(),
                ..ConnectionConfig::default()
            };
            let error = Cluster::with_config(config).any().await.err().expect("no broker");
            assert!(matches!(error, ClientError::Config(_)) && error.to_string().contains(says), "{error}");
        }
        assert_eq!(Cluster::new("PLAINTEXT://h:1").config().bootstrap, ["h:1"]);
    }

    #[tokio::test]
    async fn a_leader_that_an_answer_names_keeps_the_form_of_its_address() {
        let cluster = Cluster::new("h:1");
        for (host, expected) in [("fd00::7", "[fd00::7]:9092"), ("broker", "broker:9092")] {
            cluster.learn_leader("t", 0, Leader { broker: 7, epoch: 1 }, Some((host, 9092)));
            assert_eq!(cluster.name_of(7), expected);
        }
    }

    #[test]
    fn an_older_epoch_does_not_replace_a_newer_one_of_the_same_topic() {
        let old = merge(None, &described(1, &[(1, 5), (2, 5)]));
        let new = merge(Some(&old), &described(1, &[(3, 4), (3, 6)]));
        assert_eq!(new.leaders, [Leader { broker: 1, epoch: 5 }, Leader { broker: 3, epoch: 6 }]);
        let other = merge(Some(&old), &described(2, &[(3, 0), (3, 0)]));
        assert_eq!(other.leaders[0], Leader { broker: 3, epoch: 0 });
    }

    #[test]
    fn a_partition_number_from_nowhere_reserves_nothing() {
        let mut topic = described(1, &[(1, 0)]);
        topic.partitions[0].partition_index = i32::MAX - 1;
        assert_eq!(merge(None, &topic).leaders, [Leader { broker: -1, epoch: -1 }]);
        topic.partitions[0].partition_index = -7;
        assert!(merge(None, &topic).leaders.is_empty());
    }
}
