//! One connection to a broker: requests out, answers in, in order. Blocking, with a timeout.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_protocol::messages::fetch_response::PartitionData;
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest,
    Request, StrBytes, TopicName, TransactionalId,
};
use millstream_protocol::{request, response};

/// How long a request may take.
const CALL_MAX: Duration = Duration::from_secs(20);

/// A connection.
pub struct Connection {
    stream: TcpStream,
    correlation: i32,
    input: BytesMut,
}

/// A string as the messages hold it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name as the messages hold it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The error code of an answer.
pub fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CALL_MAX))?;
        Ok(Connection { stream, correlation: 0, input: BytesMut::new() })
    }

    /// Connects to a broker that is coming up.
    pub fn await_open(address: SocketAddr) -> anyhow::Result<Connection> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match Connection::open(address) {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Sends a request and leaves.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> anyhow::Result<()> {
        self.correlation += 1;
        let frame = request::encode(version, self.correlation, Some("crash"), request)?;
        self.stream.write_all(&frame)?;
        Ok(())
    }

    /// Takes the answer to the oldest request that is still open.
    pub fn receive<R: Request>(&mut self, version: i16) -> anyhow::Result<R::Response> {
        let frame = self.frame()?;
        let (_, response) = response::decode::<R>(version, frame)?;
        Ok(response)
    }

    /// Sends a request and takes its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> anyhow::Result<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    fn frame(&mut self) -> anyhow::Result<Bytes> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let size = usize::try_from(i32::from_be_bytes(prefix))?;
        ensure!(size < 1 << 28, "an answer of {size} bytes");
        self.input.resize(size, 0);
        self.stream.read_exact(&mut self.input)?;
        Ok(self.input.split().freeze())
    }

    /// Makes a topic, or finds it made.
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> anyhow::Result<()> {
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let response = self.call(5, &request)?;
        match code(response.topics.first().context("one answer per topic")?.error_code) {
            ErrorCode::None | ErrorCode::TopicAlreadyExists => Ok(()),
            other => bail!("{name} cannot be made: {}", other.name()),
        }
    }

    /// Waits until the coordinator of this kind (0 group, 1 transaction) is known; makes its topic on the way.
    pub fn await_coordinator(&mut self, key: &str, kind: i8) -> anyhow::Result<()> {
        let end = Instant::now() + CALL_MAX;
        loop {
            let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(kind);
            let response = self.call(3, &request)?;
            match code(response.error_code) {
                ErrorCode::None => return Ok(()),
                other if Instant::now() > end => bail!("no coordinator for {key}: {}", other.name()),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// InitProducerId, repeated while the coordinator is loading or still ends the transaction before.
    pub fn init_producer_id(&mut self, id: Option<&str>, timeout_ms: i32) -> anyhow::Result<(i64, i16)> {
        let end = Instant::now() + CALL_MAX;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        loop {
            let response = self.call(4, &request)?;
            match code(response.error_code) {
                ErrorCode::None => return Ok((response.producer_id.0, response.producer_epoch)),
                other if !retriable(other) || Instant::now() > end => {
                    bail!("InitProducerId of {id:?} is refused: {}", other.name())
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// A fetch of one partition from `offset`, at isolation level 0 (read_uncommitted) or 1 (read_committed).
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, isolation: i8) -> anyhow::Result<PartitionData> {
        let part = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 24);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(0)
            .with_max_bytes(1 << 24)
            .with_isolation_level(isolation)
            .with_session_epoch(-1)
            .with_topics(vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![part])]);
        let response = self.call(12, &request)?;
        ensure!(response.error_code == 0, "fetch is refused: {}", code(response.error_code).name());
        let topic = response.responses.into_iter().next().context("one answer per topic")?;
        let data = topic.partitions.into_iter().next().context("one answer per partition")?;
        ensure!(data.error_code == 0, "fetch is refused: {}", code(data.error_code).name());
        Ok(data)
    }
}

/// A produce request of one batch, acks=all.
pub fn produce_request(transactional_id: Option<&str>, topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data])])
}

/// Whether a client tries again.
pub fn retriable(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::RequestTimedOut
    )
}
