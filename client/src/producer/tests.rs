use millstream_protocol::api_key::ApiKey;
use millstream_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use millstream_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use millstream_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, MetadataRequest, ProduceRequest, ProduceResponse,
};

use super::*;
use crate::config::Idempotence;
use crate::scripted::{Act, Asked, Scripted, coordinates, described};

fn record() -> NewRecord<'static> {
    NewRecord { topic: "t", value: Some(b"v"), ..NewRecord::default() }
}

fn config() -> ProducerConfig {
    ProducerConfig { idempotence: Idempotence::Off, linger: Duration::ZERO, ..ProducerConfig::default() }
}

/// Answers what is not Produce: one broker, and one partition of `t` led by `leader`.
fn other(asked: &Asked, leader: i32) -> Act {
    match asked.key() {
        ApiKey::Metadata => asked.answer::<MetadataRequest>(&described(&[(1, asked.port)], &[("t", &[leader])])),
        ApiKey::InitProducerId => {
            asked.answer::<InitProducerIdRequest>(&InitProducerIdResponse::default().with_producer_id(7.into()))
        }
        ApiKey::FindCoordinator => coordinates(asked),
        ApiKey::AddPartitionsToTxn => {
            let topic = AddPartitionsToTxnTopicResult::default().with_name(crate::metadata::topic_name("t"));
            let topic = topic.with_results_by_partition(vec![AddPartitionsToTxnPartitionResult::default()]);
            let reply = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![topic]);
            asked.answer::<AddPartitionsToTxnRequest>(&reply)
        }
        ApiKey::EndTxn => asked.answer::<EndTxnRequest>(&EndTxnResponse::default()),
        _ => Act::Silence,
    }
}

/// Each partition that a request names with this code.
fn produced(asked: &Asked, code: i16) -> Act {
    let request: ProduceRequest = asked.read();
    let topic = |topic: millstream_protocol::messages::produce_request::TopicProduceData| {
        let partition = |own: &millstream_protocol::messages::produce_request::PartitionProduceData| {
            PartitionProduceResponse::default().with_index(own.index).with_error_code(code).with_base_offset(0)
        };
        let partitions = topic.partition_data.iter().map(partition).collect();
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions)
    };
    asked.answer::<ProduceRequest>(
        &ProduceResponse::default().with_responses(request.topic_data.into_iter().map(topic).collect()),
    )
}

#[tokio::test]
async fn a_leader_that_metadata_does_not_name_is_asked_about_again_without_haste() {
    let mut before = 0;
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::Produce => produced(asked, 0),
        key => {
            // The partition's leader is gone; after a while the cluster has another one.
            before += i32::from(key == ApiKey::Metadata);
            other(asked, if before < 4 { 3 } else { 1 })
        }
    });
    let producer = Producer::new(Cluster::new(&broker.address), config());
    let delivery = producer.send(record()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), delivery).await.expect("the new leader is found").unwrap();
    assert!((4..10).contains(&broker.count(ApiKey::Metadata)), "{}", broker.count(ApiKey::Metadata));
}

#[tokio::test]
async fn close_waits_until_an_open_transaction_is_aborted() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::Produce => produced(asked, 0),
        _ => other(asked, 1),
    });
    let transactional = ProducerConfig { transactional_id: Some("x".to_owned()), ..ProducerConfig::default() };
    let producer = Producer::new(Cluster::new(&broker.address), transactional);
    producer.init_transactions().await.unwrap();
    producer.begin_transaction().unwrap();
    producer.send(record()).await.unwrap().await.unwrap();
    producer.close(Duration::from_secs(20)).await.unwrap();
    assert_eq!(broker.count(ApiKey::EndTxn), 1);
}

#[tokio::test]
async fn close_gives_up_in_time_when_nobody_answers() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::Produce => Act::Silence,
        _ => other(asked, 1),
    });
    let producer = Producer::new(Cluster::new(&broker.address), config());
    let delivery = producer.send(record()).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(10), producer.close(Duration::from_millis(100)));
    assert!(matches!(closed.await.unwrap(), Err(ClientError::Timeout { .. })));
    assert!(delivery.await.is_err());
}

#[tokio::test]
async fn the_end_of_what_was_written_is_known() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::Produce => produced(asked, 0),
        _ => other(asked, 1),
    });
    let producer = Producer::new(Cluster::new(&broker.address), config());
    assert_eq!(producer.end_of("t", 0), None);
    producer.send(record()).await.unwrap().await.unwrap();
    assert_eq!([0, 1, -1].map(|partition| producer.end_of("t", partition)), [Some(1), None, None]);
    assert_eq!(producer.end_of("u", 0), None);
}

struct Fragile;

impl Interceptor for Fragile {
    fn on_send(&self, _: &mut OwnedRecord) {
        panic!("on its way in");
    }
    fn on_acknowledgement(&self, _: &str, _: &Result<RecordMetadata, ClientError>) {
        panic!("on its way back");
    }
}

#[tokio::test]
async fn an_interceptor_that_panics_stops_nobody() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::Produce => produced(asked, 0),
        _ => other(asked, 1),
    });
    let plugins = Plugins { partitioner: None, interceptors: vec![Arc::new(Fragile)] };
    let producer = Producer::with_plugins(Cluster::new(&broker.address), config(), plugins);
    let both = async {
        for _ in 0..2 {
            producer.send(record()).await.unwrap().await.unwrap();
        }
        producer.flush().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the sender goes on");
}

#[test]
fn a_sender_that_ended_leaves_nobody_waiting() {
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (producer, deliveries) = own.block_on(async {
        let broker = Scripted::start(|asked| match asked.key() {
            ApiKey::Produce => Act::Silence,
            _ => other(asked, 1),
        });
        let producer = Producer::new(Cluster::new(&broker.address), ProducerConfig { in_flight_max: 1, ..config() });
        let mut deliveries = vec![producer.send(record()).await.unwrap()];
        while broker.count(ApiKey::Produce) == 0 {
            task::sleep(Duration::from_millis(5)).await;
        }
        // This one waits in its queue for an answer to the other.
        deliveries.push(producer.send(record()).await.unwrap());
        (producer, deliveries)
    });
    // With it goes the sender, in the middle of its work.
    drop(own);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = async {
        for delivery in deliveries {
            assert!(delivery.await.is_err());
        }
        assert!(producer.flush().await.is_err());
        assert!(producer.push(record()).await.is_err());
    };
    other.block_on(async { tokio::time::timeout(Duration::from_secs(20), told).await.expect("nobody waits") });
}

#[tokio::test]
async fn settings_that_contradict_one_another_are_told_by_the_first_call() {
    let config = ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() };
    let producer = Producer::new(Cluster::new("127.0.0.1:1"), config);
    assert!(matches!(producer.send(record()).await, Err(ClientError::Config(_))));
}
