//! A broker that does one thing wrong, in every call or in one of them: what asks it is told in time, by an error that
//! names the broker's address and what it did.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::TopicPartition;
use client::admin::Admin;
use client::config::{ConnectionConfig, ConsumerConfig, ProducerConfig, Security};
use client::connection::sasl::{Sasl, Secret};
use client::consumer::Consumer;
use client::error::{ClientError, ErrorClass};
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::api_versions_response::ApiVersion;
use millstream_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use millstream_protocol::messages::{
    ApiVersionsResponse, InitProducerIdResponse, ListOffsetsResponse, MetadataResponse, ProduceResponse,
    SaslAuthenticateResponse, SaslHandshakeResponse, StrBytes,
};
use millstream_protocol::response;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::frame;

/// What a call may take here.
const LIMIT: Duration = Duration::from_millis(400);

/// What a broker does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing listens there.
    Away,
    /// It never answers.
    Silent,
    /// It answers too late.
    Slow,
    /// It answers with noise.
    Garbage,
    /// It closes in the middle of its answer.
    HalfFrame,
    /// It says that another leads the partition, but describes itself as the leader, each time of a newer epoch.
    MovesLeadership,
    /// It does not take the password.
    RefusesPassword,
}

impl Wrong {
    /// What an error says of it.
    fn said(self) -> &'static [&'static str] {
        match self {
            Wrong::Away => &["refused"],
            Wrong::Silent | Wrong::Slow => &["did not end within"],
            Wrong::Garbage => &["correlation id"],
            Wrong::HalfFrame => &["closed"],
            Wrong::MovesLeadership => &["leader"],
            Wrong::RefusesPassword => &["refused to authenticate", "that is not it"],
        }
    }
}

struct Broker {
    port: u16,
    wrong: Wrong,
    /// Where; None for everywhere.
    only: Option<ApiKey>,
    epoch: AtomicI32,
}

impl Broker {
    async fn start(wrong: Wrong, only: Option<ApiKey>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let broker = Arc::new(Broker { port, wrong, only, epoch: AtomicI32::new(0) });
        if wrong != Wrong::Away {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let broker = broker.clone();
                    tokio::spawn(async move { broker.serve(stream).await });
                }
            });
        }
        format!("127.0.0.1:{port}")
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let request = frame(&mut stream).await?;
            let number = |at: usize| Some(i16::from_be_bytes(request.get(at..at + 2)?.try_into().ok()?));
            let (key, version) = (ApiKey::try_from(number(0)?).ok()?, number(2)?);
            let id = i32::from_be_bytes(request.get(4..8)?.try_into().ok()?);
            let answer = self.answer(key, version, id)?;
            let spoilt = self.only.is_none_or(|only| only == key);
            match self.wrong {
                Wrong::Silent if spoilt => {}
                Wrong::Slow if spoilt => {
                    tokio::time::sleep(LIMIT * 3).await;
                    stream.write_all(&answer).await.ok()?;
                }
                Wrong::Garbage if spoilt => {
                    let noise: Vec<u8> = answer.iter().map(|byte| !byte).collect();
                    stream.write_u32(noise.len() as u32).await.ok()?;
                    stream.write_all(&noise).await.ok()?;
                }
                Wrong::HalfFrame if spoilt => return stream.write_all(&answer[..answer.len() / 2]).await.ok(),
                _ => stream.write_all(&answer).await.ok()?,
            }
        }
    }

    fn answer(&self, key: ApiKey, version: i16, id: i32) -> Option<Bytes> {
        let moved = match self.wrong {
            Wrong::MovesLeadership => ErrorCode::NotLeaderOrFollower.code(),
            _ => 0,
        };
        let made = match key {
            ApiKey::ApiVersions => {
                // As many as the test needs; Metadata 9 and Produce 9 name topics.
                let served = [
                    (ApiKey::Produce, 9),
                    (ApiKey::ListOffsets, 5),
                    (ApiKey::Metadata, 9),
                    (ApiKey::InitProducerId, 4),
                    (ApiKey::SaslHandshake, 1),
                    (ApiKey::SaslAuthenticate, 2),
                ];
                let row = |(key, max)| ApiVersion::default().with_api_key(key as i16).with_max_version(max);
                let answer = ApiVersionsResponse::default().with_api_keys(served.map(row).to_vec());
                response::encode(key, version, id, &answer)
            }
            ApiKey::SaslHandshake => {
                let answer = SaslHandshakeResponse::default().with_mechanisms(vec![StrBytes::from_static_str("PLAIN")]);
                response::encode(key, version, id, &answer)
            }
            ApiKey::SaslAuthenticate => {
                let code = ErrorCode::SaslAuthenticationFailed.code();
                let why = Some(StrBytes::from_static_str("that is not it"));
                response::encode(
                    key,
                    version,
                    id,
                    &SaslAuthenticateResponse::default().with_error_code(code).with_error_message(why),
                )
            }
            ApiKey::Metadata => response::encode(key, version, id, &self.metadata()),
            ApiKey::InitProducerId => {
                response::encode(key, version, id, &InitProducerIdResponse::default().with_producer_id(1.into()))
            }
            ApiKey::Produce => {
                let own = PartitionProduceResponse::default().with_error_code(moved);
                let topic = TopicProduceResponse::default()
                    .with_name(client::metadata::topic_name("t"))
                    .with_partition_responses(vec![own]);
                response::encode(key, version, id, &ProduceResponse::default().with_responses(vec![topic]))
            }
            ApiKey::ListOffsets => {
                let own = ListOffsetsPartitionResponse::default().with_error_code(moved);
                let topic = ListOffsetsTopicResponse::default()
                    .with_name(client::metadata::topic_name("t"))
                    .with_partitions(vec![own]);
                response::encode(key, version, id, &ListOffsetsResponse::default().with_topics(vec![topic]))
            }
            _ => return None,
        };
        Some(made.expect("an answer that can be written"))
    }

    fn metadata(&self) -> MetadataResponse {
        let own = MetadataResponseBroker::default()
            .with_node_id(1.into())
            .with_host(StrBytes::from_static_str("127.0.0.1"))
            .with_port(self.port.into());
        let partition = MetadataResponsePartition::default()
            .with_leader_id(1.into())
            .with_leader_epoch(self.epoch.fetch_add(1, Ordering::Relaxed));
        let topic = MetadataResponseTopic::default()
            .with_name(Some(client::metadata::topic_name("t")))
            .with_partitions(vec![partition]);
        MetadataResponse::default().with_brokers(vec![own]).with_topics(vec![topic])
    }
}

fn connection(address: &str, wrong: Wrong) -> ConnectionConfig {
    let sasl = Sasl::Plain { user: "alice".to_owned(), password: Secret::new("guessed") };
    ConnectionConfig {
        bootstrap: vec![address.to_owned()],
        request_timeout: LIMIT / 2,
        setup_timeout: LIMIT / 2,
        retry_backoff: Duration::from_millis(20),
        security: Security { tls: None, sasl: (wrong == Wrong::RefusesPassword).then_some(sasl) },
        ..ConnectionConfig::default()
    }
}

/// The error of a call, which comes in time and says where and why.
async fn told<T>(what: &str, address: &str, wrong: Wrong, call: impl Future<Output = Result<T, ClientError>>) {
    let started = Instant::now();
    let error = match tokio::time::timeout(LIMIT * 10, call).await {
        Ok(Ok(_)) => panic!("{what} of a broker with {wrong:?} succeeds"),
        Ok(Err(error)) => error,
        Err(_) => panic!("{what} of a broker with {wrong:?} hangs"),
    };
    assert!(started.elapsed() < LIMIT * 6, "{what}, {wrong:?}: {:?}", started.elapsed());
    let text = error.to_string();
    assert!(text.contains(address), "{what}, {wrong:?}: {text} does not name {address}");
    let missing = wrong.said().iter().find(|said| !text.contains(*said));
    assert_eq!(missing, None, "{what}, {wrong:?}: {text}");
    let (retriable, refused) = (error.is_retriable(), error.class() == ErrorClass::InvalidConfiguration);
    assert_eq!(
        (retriable, refused),
        (wrong != Wrong::RefusesPassword, wrong == Wrong::RefusesPassword),
        "{what}, {wrong:?}: {text}"
    );
}

fn producer(connection: &ConnectionConfig, id: Option<&str>) -> Producer {
    let config = ProducerConfig {
        connection: connection.clone(),
        block_max: LIMIT,
        delivery_timeout: LIMIT * 2,
        transactional_id: id.map(str::to_owned),
        ..ProducerConfig::default()
    };
    Producer::new(Cluster::with_config(connection.clone()), config)
}

async fn send(connection: &ConnectionConfig) -> Result<(), ClientError> {
    let producer = producer(connection, None);
    let record = NewRecord { topic: "t", value: Some(b"v"), ..NewRecord::default() };
    producer.send(record).await?.await.map(drop)
}

fn consumer(connection: &ConnectionConfig) -> Consumer {
    let config = ConsumerConfig {
        connection: connection.clone(),
        api_timeout: LIMIT,
        group: Some("g".to_owned()),
        ..ConsumerConfig::default()
    };
    Consumer::new(Cluster::with_config(connection.clone()), config)
}

/// Every call of a broker that does everything wrong.
async fn in_everything(wrong: Wrong) {
    let address = Broker::start(wrong, None).await;
    let connection = connection(&address, wrong);
    let place = [TopicPartition::new("t", 0)];
    told("connect", &address, wrong, Cluster::with_config(connection.clone()).any()).await;
    told("send", &address, wrong, send(&connection)).await;
    let own = producer(&connection, Some("id"));
    told("init_transactions", &address, wrong, own.init_transactions()).await;
    let reader = consumer(&connection);
    told("end_offsets", &address, wrong, reader.end_offsets(&place)).await;
    told("committed", &address, wrong, reader.committed(&place)).await;
    let admin = Admin::new(Cluster::with_config(connection.clone())).with_timeout(LIMIT);
    told("list_topics", &address, wrong, admin.list_topics()).await;
    let mut reader = consumer(&connection);
    reader.subscribe(&["t"]).expect("a group");
    match reader.poll(LIMIT).await {
        Ok(records) => assert!(records.is_empty() && wrong != Wrong::RefusesPassword),
        Err(error) => assert!(wrong == Wrong::RefusesPassword && error.to_string().contains(&address), "{error}"),
    }
}

/// Writing to a leader that takes part in all else.
async fn in_one(wrong: Wrong, only: ApiKey) {
    let address = Broker::start(wrong, Some(only)).await;
    let connection = connection(&address, wrong);
    match only {
        ApiKey::Produce => told("send", &address, wrong, send(&connection)).await,
        _ => {
            told("end_offsets", &address, wrong, consumer(&connection).end_offsets(&[TopicPartition::new("t", 0)]))
                .await
        }
    }
}

pub async fn all() {
    for wrong in [Wrong::Away, Wrong::Silent, Wrong::Slow, Wrong::Garbage, Wrong::HalfFrame, Wrong::RefusesPassword] {
        in_everything(wrong).await;
    }
    for wrong in [Wrong::Silent, Wrong::Slow, Wrong::Garbage, Wrong::HalfFrame, Wrong::MovesLeadership] {
        in_one(wrong, ApiKey::Produce).await;
        in_one(wrong, ApiKey::ListOffsets).await;
    }
}
