use std::sync::atomic::AtomicU32;

use millstream_protocol::api_key::ApiKey;
use millstream_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use millstream_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, ProduceRequest, ProduceResponse};

use super::*;
use crate::config::Idempotence;
use crate::scripted::{Act, Asked, Scripted, described};

fn record() -> NewRecord<'static> {
    NewRecord { topic: "t", value: Some(b"v"), ..NewRecord::default() }
}

fn config() -> ProducerConfig {
    ProducerConfig { idempotence: Idempotence::Off, linger: Duration::ZERO, ..ProducerConfig::default() }
}

/// Answers what is not Produce: one broker, which leads one partition of `t` once `led` says so.
fn other(asked: &Asked, port: i32, leader: i32) -> Act {
    match asked.key() {
        ApiKey::Metadata => asked.answer::<MetadataRequest>(&described(&[(1, port)], &[("t", &[leader])])),
        ApiKey::InitProducerId => {
            asked.answer::<InitProducerIdRequest>(&InitProducerIdResponse::default().with_producer_id(7.into()))
        }
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
        TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id).with_partition_responses(partitions)
    };
    asked.answer::<ProduceRequest>(&ProduceResponse::default().with_responses(request.topic_data.into_iter().map(topic).collect()))
}

#[tokio::test]
async fn a_leader_that_metadata_does_not_name_is_asked_about_again_without_haste() {
    let port = Arc::new(AtomicU32::new(0));
    let (own, mut before) = (port.clone(), 0);
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::Produce => produced(asked, 0),
        key => {
            // The partition's leader is gone; after a while the cluster has another one.
            before += i32::from(key == ApiKey::Metadata);
            other(asked, own.load(Ordering::Relaxed) as i32, if before < 4 { 3 } else { 1 })
        }
    });
    port.store(broker.port as u32, Ordering::Relaxed);
    let producer = Producer::new(Cluster::new(&broker.address), config());
    let delivery = producer.send(record()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), delivery).await.expect("the new leader is found").unwrap();
    assert!((4..10).contains(&broker.count(ApiKey::Metadata)), "{}", broker.count(ApiKey::Metadata));
}
