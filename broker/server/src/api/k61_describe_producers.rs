//! DescribeProducers (key 61), v0. The producers that a partition remembers, with their open transactions.
//! Authorizes: Read on Topic.   Waits: no.

use millstream_broker_controller::decide::topic_name;
use millstream_broker_log::ActiveProducer;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use millstream_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId, StrBytes};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;
use crate::replica::partitions::Absent;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 0);

/// Handles the request.
pub fn handle(context: &Context, request: DescribeProducersRequest) -> Outcome<DescribeProducersResponse> {
    let topics = request.topics.into_iter().map(|topic| {
        let refused = refusal(context, &topic.name);
        let partitions = topic.partition_indexes.iter().map(|index| match &refused {
            Some((error, message)) => PartitionResponse::default()
                .with_partition_index(*index)
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message.clone()))),
            None => partition(context, &topic.name, *index),
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect()).into()
}

/// Why nothing of the topic can be shown: its name is not one, or nobody knows it.
fn refusal(context: &Context, topic: &str) -> Option<(ErrorCode, String)> {
    if let Err(refusal) = topic_name::validate(topic) {
        let invalid = ErrorCode::InvalidTopicException;
        return Some((invalid, refusal.message.unwrap_or_else(|| invalid.message().to_owned())));
    }
    let unknown = ErrorCode::UnknownTopicOrPartition;
    context.node.controller.image().topic(topic).is_none().then(|| (unknown, unknown.message().to_owned()))
}

fn partition(context: &Context, topic: &str, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    let Some(partition) = context.node.partitions.partition(topic, index) else {
        let error = match context.node.controller.image().partition(topic, index) {
            Some(_) if context.node.partitions.absent(topic, index) == Absent::NotOpen => ErrorCode::KafkaStorageError,
            Some(_) => ErrorCode::NotLeaderOrFollower,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        return response.with_error_code(error.code());
    };
    let producers = partition.log().active_producers().into_iter().map(|producer| state(&producer));
    response.with_active_producers(producers.collect())
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(i32::from(producer.producer_epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.current_txn_start_offset)
}
