//! A broker on a free port, spoken to byte by byte: frames, order, refusals.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_base_config::BrokerConfig;
use millstream_base_config::parse::Properties;
use millstream_base_env::{Clock, Disk};
use millstream_protocol::messages::create_topics_request::CreatableTopic;
use millstream_protocol::messages::describe_configs_request::DescribeConfigsResource;
use millstream_protocol::messages::elect_leaders_request::TopicPartitions;
use millstream_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, DescribeConfigsRequest,
    ElectLeadersRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, Request, StrBytes,
    TopicName,
};
use millstream_protocol::{request, response};

use crate::net::answer_memory::ANSWER_BYTES_MAX;
use crate::start::{RunningBroker, StartError, start};

/// A broker in this process, its folder and a runtime of its own, as the tests' side is blocking.
struct Broker {
    runtime: tokio::runtime::Runtime,
    running: Option<RunningBroker>,
    folder: tempfile::TempDir,
}

impl Broker {
    fn start(settings: &[&str]) -> Broker {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let running = runtime.block_on(start(config(folder.path(), settings), Disk::Real, Clock::Real)).unwrap();
        Broker { runtime, running: Some(running), folder }
    }

    fn connect(&self) -> Client {
        Client::connect(self.running.as_ref().unwrap().address())
    }

    /// Waits until so many connections are open.
    fn await_connections(&self, wanted: u64) {
        let connections = &self.running.as_ref().unwrap().node().counts.connections;
        let open = || connections.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..1000 {
            if open() == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} connections are open, not {wanted}", open());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).unwrap();
        }
    }
}

fn config(folder: &std::path::Path, settings: &[&str]) -> BrokerConfig {
    let mut properties = Properties::default();
    for setting in settings {
        properties.read_argument(setting).unwrap();
    }
    BrokerConfig::single_node(&mut properties);
    properties.set_default("log.dirs", &folder.to_string_lossy());
    properties.set_default("listeners", "PLAINTEXT://127.0.0.1:0");
    BrokerConfig::new(&properties).unwrap()
}

struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream, correlation: 0 }
    }

    fn frame<R: Request>(&mut self, version: i16, request: &R) -> Bytes {
        self.correlation += 1;
        request::encode(version, self.correlation, Some("test"), request).unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn answer(&mut self) -> Bytes {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; i32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut body).unwrap();
        body.into()
    }

    fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let frame = self.frame(version, request);
        self.send(&frame);
        let (correlation, response) = response::decode::<R>(version, self.answer()).unwrap();
        assert_eq!(correlation, self.correlation);
        response
    }

    /// Whether the broker closed the connection without a byte.
    fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn create(&mut self, topic: &str) {
        let topic = CreatableTopic::default().with_name(name(topic)).with_num_partitions(1).with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        assert_eq!(self.call(5, &request).topics[0].error_code, 0);
    }
}

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

/// A batch of one record with a value of `length` bytes.
fn batch(length: usize) -> Bytes {
    let varint = |value: i64| {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while zigzag >= 0x80 {
            bytes.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    };
    let mut record = vec![0, 0, 0, 1];
    record.extend(varint(length as i64));
    record.extend(vec![b'x'; length]);
    record.push(0);
    let mut after_crc = BytesMut::new();
    after_crc.extend_from_slice(&[0; 2 + 4]);
    after_crc.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
    after_crc.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
    after_crc.extend_from_slice(&[0xff; 8 + 2 + 4]);
    after_crc.extend_from_slice(&1i32.to_be_bytes());
    after_crc.extend_from_slice(&varint(record.len() as i64));
    after_crc.extend_from_slice(&record);
    let mut batch = BytesMut::new();
    batch.extend_from_slice(&[0; 8]);
    batch.extend_from_slice(&(after_crc.len() as i32 + 9).to_be_bytes());
    batch.extend_from_slice(&[0xff; 4]);
    batch.extend_from_slice(&[2]);
    batch.extend_from_slice(&crc32c::crc32c(&after_crc).to_be_bytes());
    batch.extend_from_slice(&after_crc);
    batch.freeze()
}

fn produce(topic: &str, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data])])
}

fn fetch(topic: &str, offset: i64, wait_ms: i32) -> FetchRequest {
    let part = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(name(topic)).with_partitions(vec![part])])
}

#[test]
fn fragmented_frames_are_put_together() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let frame = client.frame(0, &ApiVersionsRequest::default());
    for byte in frame.iter() {
        client.send(&[*byte]);
    }
    let (_, response): (_, ApiVersionsResponse) = response::decode::<ApiVersionsRequest>(0, client.answer()).unwrap();
    assert_eq!(response.error_code, 0);
    assert!(response.api_keys.iter().any(|api| (api.api_key, api.min_version, api.max_version) == (0, 0, 13)));
}

#[test]
fn folders_that_no_topic_claims_are_set_aside_and_their_names_are_free() {
    let mut broker = Broker::start(&[]);
    broker.connect().create("t");
    let running = broker.running.take().unwrap();
    broker.runtime.block_on(running.stop()).unwrap();
    // As the deletion of a topic leaves it that was cut short between the metadata and the folder.
    Disk::Real.rename(&broker.folder.path().join("t-0"), &broker.folder.path().join("gone-0")).unwrap();
    let again = broker.runtime.block_on(start(config(broker.folder.path(), &[]), Disk::Real, Clock::Real)).unwrap();
    broker.running = Some(again);
    let names =
        std::fs::read_dir(broker.folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strays: Vec<String> = names.filter(|name| name.starts_with("gone-")).collect();
    assert!(matches!(strays.as_slice(), [stray] if stray.ends_with("-stray")), "{strays:?}");
    let mut client = broker.connect();
    client.create("gone");
    for topic in ["t", "gone"] {
        let answer = client.call(7, &produce(topic, -1, batch(10)));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{topic}");
    }
}

#[test]
fn requests_larger_than_the_memory_for_them_are_taken_one_after_another() {
    let broker = Broker::start(&["queued.max.request.bytes=65536"]);
    broker.connect().create("t");
    let mut begun: Vec<(Client, Bytes)> = (0..4)
        .map(|_| {
            let mut client = broker.connect();
            let frame = client.frame(7, &produce("t", -1, batch(900_000)));
            client.send(&frame[..400_000]);
            (client, frame)
        })
        .collect();
    // One that goes away in the middle gives its place to the next.
    drop(begun.remove(0));
    std::thread::scope(|scope| {
        for (client, frame) in &mut begun {
            scope.spawn(move || {
                client.send(&frame[400_000..]);
                let (_, answer) = response::decode::<ProduceRequest>(7, client.answer()).unwrap();
                assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            });
        }
    });
    let (_, response): (_, ApiVersionsResponse) = {
        let mut small = broker.connect();
        let frame = small.frame(0, &ApiVersionsRequest::default());
        small.send(&frame);
        response::decode::<ApiVersionsRequest>(0, small.answer()).unwrap()
    };
    assert_eq!(response.error_code, 0);
}

#[test]
fn pipelined_answers_keep_the_order_of_the_requests_behind_a_fetch_that_waits() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let mut frames = BytesMut::new();
    frames.extend_from_slice(&client.frame(7, &produce("t", -1, batch(10))));
    frames.extend_from_slice(&client.frame(11, &fetch("t", 1, 20_000)));
    frames.extend_from_slice(&client.frame(0, &ApiVersionsRequest::default()));
    let first = client.correlation - 2;
    client.send(&frames);
    let correlation = |answer: Bytes| i32::from_be_bytes(*answer.first_chunk::<4>().unwrap());
    assert_eq!(correlation(client.answer()), first);
    // The fetch waits for offset 1; another connection brings it.
    assert_eq!(
        broker.connect().call(7, &produce("t", -1, batch(10))).responses[0].partition_responses[0].error_code,
        0
    );
    assert_eq!(correlation(client.answer()), first + 1);
    assert_eq!(correlation(client.answer()), first + 2);
}

#[test]
fn a_large_request_keeps_its_place_among_small_ones() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let large = batch(1_048_500);
    let sizes = [10, 1_048_500, 20, 1_048_500, 30];
    for size in sizes {
        let records = if size == 1_048_500 { large.clone() } else { batch(size) };
        let frame = client.frame(9, &produce("t", -1, records));
        assert!(size < 1000 || frame.len() > 1 << 20, "{}", frame.len());
        client.send(&frame);
    }
    sizes.iter().for_each(|_| drop(client.answer()));
    for (offset, size) in sizes.iter().enumerate() {
        let response = client.call(12, &fetch("t", offset as i64, 0).with_max_bytes(1));
        let records = response.responses[0].partitions[0].records.as_ref().unwrap();
        let first = 12 + i32::from_be_bytes(*records[8..].first_chunk().unwrap()) as usize;
        assert_eq!(first, batch(*size).len(), "at offset {offset}");
    }
}

#[test]
fn a_fetch_that_waits_for_bytes_is_answered_when_they_have_come_together() {
    let broker = Broker::start(&[]);
    let (mut producer, mut reader) = (broker.connect(), broker.connect());
    for topic in ["t", "u"] {
        producer.create(topic);
    }
    let mut append = |topic: &str, offset: i64| {
        let response = producer.call(9, &produce(topic, -1, batch(1000)));
        assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
    };
    append("t", 0);
    append("u", 0);
    let mut request = fetch("t", 1, 30_000).with_min_bytes(3 * batch(1000).len() as i32);
    request.topics.extend(fetch("u", 1, 0).topics);
    let frame = reader.frame(11, &request);
    reader.send(&frame);
    append("t", 1);
    append("u", 1);
    reader.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(reader.stream.peek(&mut [0]).is_err(), "two of three batches are too few");
    reader.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    append("t", 2);
    assert!(reader.answer().len() > 3 * batch(1000).len());
}

#[test]
fn fetched_bytes_are_those_produced_but_for_offset_and_epoch() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let records = batch(300_000);
    assert_eq!(client.call(9, &produce("t", -1, records.clone())).responses[0].partition_responses[0].base_offset, 0);
    let response = client.call(12, &fetch("t", 0, 0));
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 1, 1));
    let got = data.records.as_ref().unwrap();
    assert_eq!(got[12..16], [0; 4]);
    assert!(got[16..] == records[16..]);
}

#[test]
fn list_offsets_answers_in_every_version() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    client.call(7, &produce("t", -1, batch(1)));
    for version in 1..=11 {
        let part =
            ListOffsetsPartition::default().with_partition_index(0).with_current_leader_epoch(-1).with_timestamp(-1);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![part])]);
        let response = client.call(version, &request);
        let answer = &response.topics[0].partitions[0];
        let epoch = if version < 4 { -1 } else { 0 };
        assert_eq!((answer.error_code, answer.offset, answer.leader_epoch), (0, 1, epoch), "version {version}");
    }
}

#[test]
fn an_unsupported_version_of_api_versions_is_answered_in_version_0() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.send(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0]);
    let (correlation, response): (_, ApiVersionsResponse) =
        response::decode::<ApiVersionsRequest>(0, client.answer()).unwrap();
    assert_eq!((correlation, response.error_code), (7, 35));
    // The connection goes on.
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn what_is_not_served_closes_the_connection_and_nothing_else() {
    let broker = Broker::start(&[]);
    let mut other = broker.connect();
    let unknown_key = [0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let unknown_version = [0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff];
    let negative_length = [0xff, 0xff, 0xff, 0xff, 0, 0];
    let oversize = [0x7f, 0xff, 0xff, 0xff, 0, 3];
    let short_header = [0, 0, 0, 3, 0, 3, 0];
    let garbage_body = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
    let frames: [&[u8]; 6] =
        [&unknown_key, &unknown_version, &negative_length, &oversize, &short_header, &garbage_body];
    for frame in frames {
        let mut client = broker.connect();
        client.send(frame);
        assert!(client.is_closed(), "{frame:?}");
    }
    assert!(!other.call(9, &MetadataRequest::default()).brokers.is_empty());
}

#[test]
fn answers_before_a_refused_frame_still_go_out() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let mut frames = BytesMut::from(&client.frame(0, &ApiVersionsRequest::default())[..]);
    frames.extend_from_slice(&[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    client.send(&frames);
    assert_eq!(client.answer()[..4], client.correlation.to_be_bytes());
    assert!(client.is_closed());
}

#[test]
fn an_error_with_acks_0_closes_and_success_is_silent() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let frame = client.frame(7, &produce("t", 0, batch(5)));
    client.send(&frame);
    // The next answer belongs to the next request.
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).error_code, 0);
    let frame = client.frame(7, &produce("missing", 0, batch(5)));
    client.send(&frame);
    assert!(client.is_closed());
}

#[test]
fn connections_over_the_limit_are_closed() {
    let broker = Broker::start(&["max.connections.per.ip=2"]);
    let mut first = broker.connect();
    let mut second = broker.connect();
    assert_eq!(first.call(0, &ApiVersionsRequest::default()).error_code, 0);
    assert_eq!(second.call(0, &ApiVersionsRequest::default()).error_code, 0);
    assert!(broker.connect().is_closed());
    assert_eq!(first.call(0, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn an_override_gives_an_address_its_own_limit() {
    let broker = Broker::start(&["max.connections.per.ip=1", "max.connections.per.ip.overrides=127.0.0.1:2"]);
    let (mut first, mut second) = (broker.connect(), broker.connect());
    assert_eq!(first.call(0, &ApiVersionsRequest::default()).error_code, 0);
    assert_eq!(second.call(0, &ApiVersionsRequest::default()).error_code, 0);
    assert!(broker.connect().is_closed());
}

#[test]
fn a_full_listener_waits_for_a_place() {
    let broker = Broker::start(&["listener.name.plaintext.max.connections=1"]);
    let mut first = broker.connect();
    assert_eq!(first.call(0, &ApiVersionsRequest::default()).error_code, 0);
    let mut second = broker.connect();
    second.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let frame = second.frame(0, &ApiVersionsRequest::default());
    second.send(&frame);
    let waits = second.stream.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(waits.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    drop(first);
    second.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(second.answer()[..4], second.correlation.to_be_bytes());
}

#[test]
fn connections_that_come_too_fast_wait() {
    let broker = Broker::start(&["max.connection.creation.rate=1"]);
    let mut times = Vec::new();
    for _ in 0..12 {
        let mut client = broker.connect();
        let sent = millstream_base_env::clock::Moment::now();
        assert_eq!(client.call(0, &ApiVersionsRequest::default()).error_code, 0);
        times.push(sent.elapsed());
    }
    assert!(times[11] >= Duration::from_millis(500), "{times:?}");
}

#[test]
fn an_idle_connection_is_closed() {
    let broker = Broker::start(&["connections.max.idle.ms=100"]);
    assert!(broker.connect().is_closed());
}

#[test]
fn a_client_that_reads_no_answer_is_idle() {
    let broker = Broker::start(&["connections.max.idle.ms=300"]);
    let mut client = broker.connect();
    client.create("t");
    for _ in 0..8 {
        client.call(7, &produce("t", -1, batch(900_000)));
    }
    let part = FetchPartition::default().with_current_leader_epoch(-1).with_last_fetched_epoch(-1);
    let part = part.with_partition_max_bytes(50 << 20);
    let topics = vec![FetchTopic::default().with_topic(name("t")).with_partitions(vec![part])];
    let request = fetch("t", 0, 0).with_max_bytes(50 << 20).with_topics(topics);
    // More than both sockets' buffers take.
    for _ in 0..10 {
        let frame = client.frame(11, &request);
        client.send(&frame);
    }
    broker.await_connections(0);
}

#[test]
fn a_connection_is_idle_while_its_request_waits() {
    let broker = Broker::start(&["connections.max.idle.ms=300"]);
    let mut client = broker.connect();
    client.create("t");
    let frame = client.frame(11, &fetch("t", 0, 60_000));
    client.send(&frame);
    assert!(client.is_closed());
}

#[test]
fn a_connection_that_is_reset_while_its_request_waits_is_given_up() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let mut frames = BytesMut::from(&client.frame(0, &ApiVersionsRequest::default())[..]);
    frames.extend_from_slice(&client.frame(11, &fetch("t", 0, 60_000)));
    client.send(&frames);
    // Closed with an answer unread, a socket resets the connection.
    client.stream.peek(&mut [0; 1]).unwrap();
    drop(client);
    broker.await_connections(0);
}

#[test]
fn a_client_that_closed_its_sending_side_gets_its_answers() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let mut frames = BytesMut::from(&client.frame(11, &fetch("t", 0, 300))[..]);
    frames.extend_from_slice(&client.frame(0, &ApiVersionsRequest::default()));
    client.send(&frames);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let correlation = |answer: Bytes| i32::from_be_bytes(*answer.first_chunk::<4>().unwrap());
    assert_eq!(correlation(client.answer()), client.correlation - 1);
    assert_eq!(correlation(client.answer()), client.correlation);
    assert!(client.is_closed());
}

fn describe_configs(kind: i8, names: impl Iterator<Item = String>) -> DescribeConfigsRequest {
    let resource = |name| {
        let resource = DescribeConfigsResource::default().with_resource_type(kind);
        resource.with_resource_name(StrBytes::from_string(name)).with_configuration_keys(None)
    };
    DescribeConfigsRequest::default()
        .with_resources(names.map(resource).collect())
        .with_include_synonyms(true)
        .with_include_documentation(true)
}

#[test]
fn a_resource_asked_for_many_times_is_described_once() {
    const BROKER: i8 = 4;
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let same = client.call(4, &describe_configs(BROKER, (0..3000).map(|_| "1".to_owned()))).results;
    assert_eq!(same.len(), 1);
    // An id may be spelled in many ways, and each is answered.
    let spelled = client.call(4, &describe_configs(BROKER, (1..200).map(|width| format!("{:0>width$}", 1)))).results;
    assert_eq!(spelled.len(), 199);
    assert!(spelled.iter().all(|one| one.error_code == 0 && one.configs == same[0].configs));
}

#[test]
fn an_answer_is_no_larger_than_one_may_be() {
    const GROUP: i8 = 32;
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let frame = client.frame(4, &describe_configs(GROUP, (0..40_000).map(|number| format!("g{number}"))));
    client.send(&frame);
    let bytes = client.answer();
    assert!(bytes.len() > ANSWER_BYTES_MAX / 2 && bytes.len() < ANSWER_BYTES_MAX + 4_000_000, "{}", bytes.len());
    let (_, answer) = response::decode::<DescribeConfigsRequest>(4, bytes).unwrap();
    assert_eq!(answer.results.len(), 40_000);
    let described = answer.results.iter().filter(|one| one.error_code == 0).count();
    assert!(answer.results[..described].iter().all(|one| !one.configs.is_empty()));
    assert!(described < 40_000 && answer.results[described..].iter().all(|one| one.error_code == 42));
    // What it took is given back once it is sent.
    client.call(0, &ApiVersionsRequest::default());
    assert_eq!(broker.running.as_ref().unwrap().node().answer_memory.used(), 0);
}

#[test]
fn an_election_that_has_no_time_is_answered_in_every_version() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.create("t");
    let topic = TopicPartitions::default().with_topic(name("t")).with_partitions(vec![0]);
    for version in 0..=2 {
        for timeout_ms in [0, -1] {
            let request = ElectLeadersRequest::default()
                .with_topic_partitions(Some(vec![topic.clone()]))
                .with_timeout_ms(timeout_ms);
            let answer = client.call(version, &request);
            assert_eq!(answer.error_code == 0, version == 0, "v{version}");
            assert_eq!(answer.replica_election_results[0].partition_result[0].error_code, 7, "v{version}");
        }
    }
}

#[test]
fn a_second_start_names_what_is_in_the_way() {
    let broker = Broker::start(&[]);
    let attempt = |folder: &std::path::Path, listener: &str| {
        let started = broker.runtime.block_on(start(config(folder, &[listener]), Disk::Real, Clock::Real));
        started.map(|_| ()).unwrap_err()
    };
    let address = broker.running.as_ref().unwrap().address();
    let elsewhere = tempfile::tempdir().unwrap();
    let taken = attempt(elsewhere.path(), &format!("listeners=PLAINTEXT://{address}"));
    assert!(matches!(taken, StartError::Listen { .. }), "{taken}");
    let locked = attempt(broker.folder.path(), "listeners=PLAINTEXT://127.0.0.1:0");
    assert!(matches!(locked, StartError::InUse(_)), "{locked}");
    assert!(!locked.to_string().contains('\n'));
}

#[test]
fn a_clean_stop_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = || runtime.block_on(start(config(folder.path(), &[]), Disk::Real, Clock::Real)).unwrap();
    let running = run();
    let mut client = Client::connect(running.address());
    client.create("t");
    client.call(7, &produce("t", -1, batch(100)));
    runtime.block_on(running.stop()).unwrap();
    assert!(folder.path().join(".kafka_cleanshutdown").exists());
    let running = run();
    let response = Client::connect(running.address()).call(12, &fetch("t", 0, 0));
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark), (0, 1));
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn what_lies_on_the_disk_alone_is_served_as_well() {
    let broker = Broker::start(&["log.segment.bytes=1048576", "log.index.interval.bytes=4096"]);
    let mut client = broker.connect();
    client.create("t");
    let batch = batch(30_000);
    for _ in 0..100 {
        client.call(7, &produce("t", -1, batch.clone()));
    }
    let folder = broker.folder.path().join("t-0");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(entry.unwrap().path()).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    for offset in [0, 57, 99] {
        let answer = client.call(11, &fetch("t", offset, 500));
        let partition = &answer.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        let records = partition.records.as_deref().unwrap();
        assert_eq!(records[..8], offset.to_be_bytes());
        assert_eq!(records[61..batch.len()], batch[61..]);
    }
}
