//! The API keys of Apache Kafka 4.3 with their versions, as one table.
//!
//! Read by the frame decoder (which header goes with which version) and by the broker's dispatch. What a broker
//! advertises is not decided here but by its handlers. Computed from `ApiKeys` of kafka-clients 4.3.1.

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// Apache Kafka's name, as `OffsetCommit`.
    pub name: &'static str,
    /// Oldest version that Apache 4.3 serves.
    pub min_version: i16,
    /// Newest stable version that Apache 4.3 serves.
    pub max_version: i16,
    /// First version with compact encodings, tagged fields and the longer headers.
    pub flexible_from: Option<i16>,
    /// Which listeners serve it.
    pub listener: Listener,
}

/// Which listeners serve an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The broker's.
    Broker,
    /// The controller's.
    Controller,
    /// Both.
    Both,
}

macro_rules! apis {
    ($($name:ident = $key:literal, $min:literal..=$max:literal, $flexible:expr, $listener:ident;)*) => {
        /// The key of an API, by Apache Kafka's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        #[expect(missing_docs, reason = "the names are the protocol's own")]
        pub enum ApiKey {
            $($name = $key,)*
        }

        /// Every API, in the order of the keys.
        pub static APIS: &[Api] = &[
            $(Api {
                key: ApiKey::$name,
                name: stringify!($name),
                min_version: $min,
                max_version: $max,
                flexible_from: $flexible,
                listener: Listener::$listener,
            },)*
        ];

        impl TryFrom<i16> for ApiKey {
            type Error = i16;

            fn try_from(key: i16) -> Result<ApiKey, i16> {
                match key {
                    $($key => Ok(ApiKey::$name),)*
                    other => Err(other),
                }
            }
        }
    };
}

apis! {
    Produce = 0, 3..=13, Some(9), Broker;
    Fetch = 1, 4..=18, Some(12), Both;
    ListOffsets = 2, 1..=11, Some(6), Broker;
    Metadata = 3, 0..=13, Some(9), Broker;
    OffsetCommit = 8, 2..=10, Some(8), Broker;
    OffsetFetch = 9, 1..=10, Some(6), Broker;
    FindCoordinator = 10, 0..=6, Some(3), Broker;
    JoinGroup = 11, 0..=9, Some(6), Broker;
    Heartbeat = 12, 0..=4, Some(4), Broker;
    LeaveGroup = 13, 0..=5, Some(4), Broker;
    SyncGroup = 14, 0..=5, Some(4), Broker;
    DescribeGroups = 15, 0..=6, Some(5), Broker;
    ListGroups = 16, 0..=5, Some(3), Broker;
    SaslHandshake = 17, 0..=1, None, Both;
    ApiVersions = 18, 0..=4, Some(3), Both;
    CreateTopics = 19, 2..=7, Some(5), Both;
    DeleteTopics = 20, 1..=6, Some(4), Both;
    DeleteRecords = 21, 0..=2, Some(2), Broker;
    InitProducerId = 22, 0..=5, Some(2), Broker;
    OffsetForLeaderEpoch = 23, 2..=4, Some(4), Broker;
    AddPartitionsToTxn = 24, 0..=5, Some(3), Broker;
    AddOffsetsToTxn = 25, 0..=4, Some(3), Broker;
    EndTxn = 26, 0..=5, Some(3), Broker;
    WriteTxnMarkers = 27, 1..=2, Some(1), Broker;
    TxnOffsetCommit = 28, 0..=5, Some(3), Broker;
    DescribeAcls = 29, 1..=3, Some(2), Both;
    CreateAcls = 30, 1..=3, Some(2), Both;
    DeleteAcls = 31, 1..=3, Some(2), Both;
    DescribeConfigs = 32, 1..=4, Some(4), Both;
    AlterConfigs = 33, 0..=2, Some(2), Both;
    AlterReplicaLogDirs = 34, 1..=2, Some(2), Broker;
    DescribeLogDirs = 35, 1..=5, Some(2), Broker;
    SaslAuthenticate = 36, 0..=2, Some(2), Both;
    CreatePartitions = 37, 0..=3, Some(2), Both;
    CreateDelegationToken = 38, 1..=3, Some(2), Both;
    RenewDelegationToken = 39, 1..=2, Some(2), Both;
    ExpireDelegationToken = 40, 1..=2, Some(2), Both;
    DescribeDelegationToken = 41, 1..=3, Some(2), Both;
    DeleteGroups = 42, 0..=2, Some(2), Broker;
    ElectLeaders = 43, 0..=2, Some(2), Both;
    IncrementalAlterConfigs = 44, 0..=1, Some(1), Both;
    AlterPartitionReassignments = 45, 0..=1, Some(0), Both;
    ListPartitionReassignments = 46, 0..=0, Some(0), Both;
    OffsetDelete = 47, 0..=0, None, Broker;
    DescribeClientQuotas = 48, 0..=1, Some(1), Broker;
    AlterClientQuotas = 49, 0..=1, Some(1), Both;
    DescribeUserScramCredentials = 50, 0..=0, Some(0), Both;
    AlterUserScramCredentials = 51, 0..=0, Some(0), Both;
    Vote = 52, 0..=2, Some(0), Controller;
    BeginQuorumEpoch = 53, 0..=1, Some(1), Controller;
    EndQuorumEpoch = 54, 0..=1, Some(1), Controller;
    DescribeQuorum = 55, 0..=2, Some(0), Both;
    AlterPartition = 56, 2..=3, Some(2), Controller;
    UpdateFeatures = 57, 0..=2, Some(0), Both;
    Envelope = 58, 0..=0, Some(0), Controller;
    FetchSnapshot = 59, 0..=1, Some(0), Controller;
    DescribeCluster = 60, 0..=2, Some(0), Both;
    DescribeProducers = 61, 0..=0, Some(0), Broker;
    BrokerRegistration = 62, 0..=4, Some(0), Controller;
    BrokerHeartbeat = 63, 0..=2, Some(0), Controller;
    UnregisterBroker = 64, 0..=0, Some(0), Both;
    DescribeTransactions = 65, 0..=0, Some(0), Broker;
    ListTransactions = 66, 0..=2, Some(0), Broker;
    AllocateProducerIds = 67, 0..=0, Some(0), Controller;
    ConsumerGroupHeartbeat = 68, 0..=1, Some(0), Broker;
    ConsumerGroupDescribe = 69, 0..=1, Some(0), Broker;
    ControllerRegistration = 70, 0..=0, Some(0), Controller;
    GetTelemetrySubscriptions = 71, 0..=0, Some(0), Broker;
    PushTelemetry = 72, 0..=0, Some(0), Broker;
    AssignReplicasToDirs = 73, 0..=0, Some(0), Controller;
    ListConfigResources = 74, 0..=1, Some(0), Broker;
    DescribeTopicPartitions = 75, 0..=0, Some(0), Broker;
    ShareGroupHeartbeat = 76, 1..=1, Some(1), Broker;
    ShareGroupDescribe = 77, 1..=1, Some(1), Broker;
    ShareFetch = 78, 1..=2, Some(1), Broker;
    ShareAcknowledge = 79, 1..=2, Some(1), Broker;
    AddRaftVoter = 80, 0..=1, Some(0), Both;
    RemoveRaftVoter = 81, 0..=0, Some(0), Both;
    UpdateRaftVoter = 82, 0..=0, Some(0), Controller;
    InitializeShareGroupState = 83, 0..=0, Some(0), Broker;
    ReadShareGroupState = 84, 0..=0, Some(0), Broker;
    WriteShareGroupState = 85, 0..=1, Some(0), Broker;
    DeleteShareGroupState = 86, 0..=0, Some(0), Broker;
    ReadShareGroupStateSummary = 87, 0..=1, Some(0), Broker;
    StreamsGroupHeartbeat = 88, 0..=0, Some(0), Broker;
    StreamsGroupDescribe = 89, 0..=0, Some(0), Broker;
    DescribeShareGroupOffsets = 90, 0..=1, Some(0), Broker;
    AlterShareGroupOffsets = 91, 0..=0, Some(0), Broker;
    DeleteShareGroupOffsets = 92, 0..=0, Some(0), Broker;
}

impl ApiKey {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The API's row.
    pub fn api(self) -> &'static Api {
        let found = APIS.binary_search_by_key(&self.number(), |api| api.key.number());
        &APIS[found.expect("every key has its row in the table, and the table is sorted")]
    }

    /// Apache Kafka's name.
    pub fn name(self) -> &'static str {
        self.api().name
    }
}

impl Api {
    /// Whether `version` is one that Apache 4.3 serves.
    pub fn serves(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }

    /// Whether `version` has compact encodings and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible_from.is_some_and(|from| version >= from)
    }

    /// Version of the request header: 2 has tagged fields.
    pub fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header: 1 has tagged fields. The answer to ApiVersions always has version 0, so
    /// that a client can read it before it knows what the broker speaks (KIP-511).
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(self.key != ApiKey::ApiVersions && self.is_flexible(version))
    }
}
