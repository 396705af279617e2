//! DeleteTopics (Java: `ReplicationControlManager.deleteTopics`).

use std::collections::HashSet;

use millstream_protocol::error_code::ErrorCode;
use uuid::Uuid;

use super::{Decision, bounded};
use crate::image::Image;
use crate::record::MetadataRecord;
use crate::refusal::Refusal;

/// Decides on every topic by its id.
pub(crate) fn delete_topics(image: &Image, ids: &[Uuid]) -> Decision<()> {
    let mut gone = HashSet::new();
    let mut records = Vec::new();
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        if image.topic_by_id(*id).is_some() && gone.insert(*id) {
            records.push(MetadataRecord::RemoveTopic { topic_id: *id });
            answers.push(Ok(()));
        } else {
            answers.push(Err(Refusal::without_text(ErrorCode::UnknownTopicId)));
        }
    }
    bounded(records, answers)
}
