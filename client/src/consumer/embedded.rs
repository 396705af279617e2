//! What members write for one another into JoinGroup and SyncGroup (Java: `ConsumerProtocol`).
//!
//! Called by `coordinator.rs`, and by admin for what members are assigned. What others wrote is read whoever they are: no count reserves memory.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use millstream_protocol::messages::consumer_protocol_subscription::TopicPartition as OwnedTopic;
use millstream_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, Encodable, StrBytes};

use super::assign::Member;
use super::plugin::GroupAssignment;
use crate::error::ClientError;
use crate::metadata::{text, topic_name};
use crate::{TopicPartition, by_topic};

/// Version of subscriptions and assignments that Java 4.3 writes.
const VERSION: i16 = 3;
const MALFORMED: ClientError = ClientError::State("a member's subscription or assignment is malformed");

fn embed(message: &impl Encodable) -> Result<Bytes, ClientError> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    message.encode(&mut bytes, VERSION).map_err(|error| ClientError::Config(error.to_string()))?;
    Ok(bytes.freeze())
}

fn numbers(places: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    by_topic(places.iter().map(|place| (place, place.partition)))
}

/// What a member tells the leader of itself; its id and instance stand beside it.
pub(super) fn write_subscription(member: &Member) -> Result<Bytes, ClientError> {
    let mut topics: Vec<StrBytes> = member.topics.iter().map(|topic| text(topic)).collect();
    topics.sort();
    let owned = numbers(&member.owned).into_iter();
    let owned =
        owned.map(|(name, partitions)| OwnedTopic::default().with_topic(topic_name(name)).with_partitions(partitions));
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(topics)
        .with_user_data(member.user_data.clone())
        .with_owned_partitions(owned.collect())
        .with_generation_id(member.generation.unwrap_or(-1))
        .with_rack_id((!member.rack.is_empty()).then(|| text(&member.rack)));
    embed(&subscription)
}

/// What a member said; newer versions than ours begin with the same fields.
pub(super) fn read_subscription(id: &str, instance: Option<&str>, bytes: &[u8]) -> Result<Member, ClientError> {
    subscription(id, instance, bytes).ok_or(MALFORMED)
}

fn subscription(id: &str, instance: Option<&str>, bytes: &[u8]) -> Option<Member> {
    let mut rest = bytes;
    let version = short(&mut rest).filter(|version| *version >= 0)?;
    let topics = (0..int(&mut rest)?).map(|_| string(&mut rest)).collect::<Option<Vec<String>>>()?;
    let mut member = Member { id: id.to_owned(), instance: instance.map(str::to_owned), topics, ..Member::default() };
    member.user_data = user_data(&mut rest)?;
    if version >= 1 {
        member.owned = partitions(&mut rest)?;
    }
    if version >= 2 {
        member.generation = Some(int(&mut rest)?).filter(|generation| *generation >= 0);
    }
    if version >= 3 && rest.first_chunk::<2>().is_some_and(|raw| i16::from_be_bytes(*raw) >= 0) {
        member.rack = string(&mut rest)?;
    }
    Some(member)
}

/// What the leader tells a member.
pub(super) fn write_assignment(assignment: &GroupAssignment) -> Result<Bytes, ClientError> {
    let topics = numbers(&assignment.partitions).into_iter();
    let topics = topics
        .map(|(name, partitions)| AssignedTopic::default().with_topic(topic_name(name)).with_partitions(partitions));
    let user_data = assignment.user_data.clone();
    embed(&ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect()).with_user_data(user_data))
}

/// What the leader said, sorted.
pub(crate) fn read_assignment(bytes: &[u8]) -> Result<GroupAssignment, ClientError> {
    // A member that nobody assigned anything to gets no bytes at all.
    if bytes.is_empty() {
        return Ok(GroupAssignment::default());
    }
    let mut rest = bytes;
    short(&mut rest).filter(|version| *version >= 0).ok_or(MALFORMED)?;
    let mut partitions = partitions(&mut rest).ok_or(MALFORMED)?;
    partitions.sort();
    let user_data = user_data(&mut rest).ok_or(MALFORMED)?;
    Ok(GroupAssignment { partitions, user_data })
}

/// Bytes with their length before them; none for a negative one.
fn user_data(rest: &mut &[u8]) -> Option<Option<Bytes>> {
    let Ok(length) = usize::try_from(int(rest)?) else { return Some(None) };
    let (data, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Some(Bytes::copy_from_slice(data)))
}

fn short(rest: &mut &[u8]) -> Option<i16> {
    let (raw, after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    Some(i16::from_be_bytes(*raw))
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (raw, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*raw))
}

fn string(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(short(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

/// Topics with partitions of each.
pub(super) fn partitions(rest: &mut &[u8]) -> Option<Vec<TopicPartition>> {
    let mut places = Vec::new();
    for _ in 0..int(rest)? {
        let topic = string(rest)?;
        for _ in 0..int(rest)? {
            places.push(TopicPartition::new(&topic, int(rest)?));
        }
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_and_assignments_are_read_back_and_damaged_ones_refused() {
        let member = Member {
            id: "m".to_owned(),
            instance: Some("i".to_owned()),
            topics: vec!["a".to_owned(), "b".to_owned()],
            owned: vec![TopicPartition::new("a", 2), TopicPartition::new("b", 1)],
            generation: Some(7),
            rack: "r1".to_owned(),
            user_data: Some(Bytes::from_static(b"\0\0\0\x07")),
        };
        let bytes = write_subscription(&member).unwrap();
        assert_eq!(read_subscription("m", Some("i"), &bytes).unwrap(), member);
        for cut in 0..bytes.len() - 4 {
            assert!(read_subscription("m", None, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        let partitions = vec![TopicPartition::new("a", 0), TopicPartition::new("a", 3), TopicPartition::new("b", 1)];
        let assignment = GroupAssignment { partitions, user_data: Some(Bytes::from_static(b"more")) };
        let bytes = write_assignment(&assignment).unwrap();
        assert_eq!(read_assignment(&bytes).unwrap(), assignment);
        for cut in 1..bytes.len() {
            assert!(read_assignment(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read_subscription("m", None, &[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
