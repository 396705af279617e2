//! OffsetCommit (key 8), v2-v10. Stores how far a group has read.
//! Versions: v5 no retention time; v6 leader epoch (KIP-320); v7 static members (KIP-345); v8 flexible; v9
//! GROUP_ID_NOT_FOUND (KIP-848); v10 topic ids (KIP-848).
//! Authorizes: Read on Group, Read on Topic.   Waits: until the offsets are stored.

use millstream_broker_controller::{Image, Topic};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use millstream_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, StrBytes, TopicName};
use uuid::Uuid;

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(2, 10);

/// First version whose topics are named by id.
const TOPIC_IDS: i16 = 10;

/// Handles the request: partitions that do not exist are answered here, the rest by the coordinator.
pub fn handle(context: &Context, mut request: OffsetCommitRequest) -> Outcome<OffsetCommitResponse> {
    let version = context.version();
    let image = context.node.controller.image();
    let mut refused = Refused { by_id: version >= TOPIC_IDS, topics: Vec::new() };
    request.topics.retain_mut(|topic| known_part(&image, topic, &mut refused));
    if request.topics.is_empty() {
        return OffsetCommitResponse::default().with_topics(refused.topics).into();
    }
    let answer = context.node.coordinators.groups.commit(request, version);
    if refused.topics.is_empty() {
        return answer.into();
    }
    answer.map(move |response| refused.merge(response)).into()
}

/// Fills in name and id, and keeps the partitions that exist; false when none is left.
fn known_part(image: &Image, topic: &mut OffsetCommitRequestTopic, refused: &mut Refused) -> bool {
    let known = if refused.by_id { image.topic_by_id(topic.topic_id) } else { image.topic(topic.name.as_str()) };
    match known {
        Some(known) => name(known, topic, refused.by_id),
        None => {
            let error = if refused.by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
            for partition in std::mem::take(&mut topic.partitions) {
                refused.add(topic, partition.partition_index, error);
            }
            return false;
        }
    }
    let exists =
        |partition: &OffsetCommitRequestPartition| image.partition(&topic.name, partition.partition_index).is_some();
    if !topic.partitions.iter().all(exists) {
        let (kept, missing) = std::mem::take(&mut topic.partitions).into_iter().partition(exists);
        topic.partitions = kept;
        let missing: Vec<OffsetCommitRequestPartition> = missing;
        for partition in missing {
            refused.add(topic, partition.partition_index, ErrorCode::UnknownTopicOrPartition);
        }
    }
    !topic.partitions.is_empty()
}

fn name(known: &Topic, topic: &mut OffsetCommitRequestTopic, by_id: bool) {
    if by_id {
        topic.name = TopicName(StrBytes::from_string(known.name.to_string()));
    } else {
        topic.topic_id = known.id;
    }
}

/// Answers given without the coordinator.
struct Refused {
    by_id: bool,
    topics: Vec<OffsetCommitResponseTopic>,
}

impl Refused {
    fn add(&mut self, topic: &OffsetCommitRequestTopic, partition: i32, error: ErrorCode) {
        let id = if self.by_id { topic.topic_id } else { Uuid::nil() };
        let answer =
            OffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(error.code());
        match self.find(&topic.name, id) {
            Some(known) => known.partitions.push(answer),
            None => self.topics.push(
                OffsetCommitResponseTopic::default()
                    .with_name(topic.name.clone())
                    .with_topic_id(topic.topic_id)
                    .with_partitions(vec![answer]),
            ),
        }
    }

    fn find(&mut self, name: &TopicName, id: Uuid) -> Option<&mut OffsetCommitResponseTopic> {
        let by_id = self.by_id;
        self.topics.iter_mut().find(|known| if by_id { known.topic_id == id } else { known.name == *name })
    }

    /// The coordinator's answers behind those given here, topic by topic.
    fn merge(mut self, response: OffsetCommitResponse) -> OffsetCommitResponse {
        for topic in response.topics {
            match self.find(&topic.name, topic.topic_id) {
                Some(known) => known.partitions.extend(topic.partitions),
                None => self.topics.push(topic),
            }
        }
        OffsetCommitResponse::default().with_topics(self.topics)
    }
}
