//! Logs of `__consumer_offsets` that Apache Kafka 4.3.1 wrote for the Java consumer, librdkafka and its tools:
//! read, and written again byte for byte.

use super::bench::{batches, replay_batch};
use crate::batch::BatchBuilder;
use crate::group::GroupShard;
use crate::group::ask::GroupConfig;
use crate::record_group::{
    GroupView, Key, MemberView, decode_group, decode_key, decode_offset, push_group, push_group_tombstone, push_offset,
    push_offset_tombstone,
};
use crate::step::Replayed;

/// Group `gj`: a Java consumer came, committed and left; offsets were reset, one was deleted.
const JAVA: &[u8] = include_bytes!("golden/apache-4.3.1-java.log");
/// Group `gk`: a librdkafka consumer came, committed and left; the group was deleted.
const LIBRDKAFKA: &[u8] = include_bytes!("golden/apache-4.3.1-librdkafka.log");

fn write_again(batch: &[u8]) -> Vec<u8> {
    let timestamp = i64::from_be_bytes(batch[27..35].try_into().expect("eight bytes"));
    let mut again = BatchBuilder::new(timestamp);
    super::bench::walk(batch, 0, |record: Replayed<'_>| {
        match (decode_key(record.key.expect("a key")).expect("a known key"), record.value) {
            (Key::Offset { group, topic, partition }, Some(value)) => {
                push_offset(&mut again, group, topic, partition, &decode_offset(value).expect("a known version"));
            }
            (Key::Offset { group, topic, partition }, None) => {
                push_offset_tombstone(&mut again, group, topic, partition);
            }
            (Key::Group { group }, Some(value)) => {
                let value = decode_group(value).expect("a known version");
                let view = GroupView {
                    protocol_type: &value.protocol_type,
                    generation: value.generation,
                    protocol: value.protocol.as_deref(),
                    leader: value.leader.as_deref(),
                    state_ms: value.state_ms,
                };
                let members = value.members.iter().map(|member| MemberView {
                    member_id: &member.member_id,
                    instance_id: member.instance_id.as_deref(),
                    client_id: &member.client_id,
                    client_host: &member.client_host,
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    subscription: &member.subscription,
                    assignment: &member.assignment,
                });
                push_group(&mut again, group, &view, members);
            }
            (Key::Group { group }, None) => push_group_tombstone(&mut again, group),
            (Key::Other(kind), _) => panic!("record type {kind}"),
        }
    });
    again.finish().to_vec()
}

#[test]
fn what_apache_wrote_is_written_again_byte_for_byte() {
    for (name, log) in [("java", JAVA), ("librdkafka", LIBRDKAFKA)] {
        let mut count = 0;
        for batch in batches(log) {
            let mut expected = batch.to_vec();
            // The log stamps base offset and leader epoch; neither is in the checksum.
            expected[..8].fill(0);
            expected[12..16].fill(0xff);
            assert_eq!(write_again(batch), expected, "{name}, batch {count}");
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} batches");
    }
}

#[test]
fn what_apache_wrote_gives_its_groups_and_offsets() {
    let load = |log| {
        let mut shard = GroupShard::new(GroupConfig::default().into());
        for batch in batches(log) {
            let base_offset = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
            replay_batch(&mut shard, batch, base_offset);
        }
        assert_eq!(shard.undecoded(), 0);
        shard
    };
    let shard = load(JAVA);
    let group = shard.groups().next().expect("one group");
    assert_eq!((&*group.id, group.state().name(), group.generation), ("gj", "Empty", 2));
    assert_eq!(group.protocol_type.as_deref(), Some("consumer"));
    let offset = |partition| shard.offsets().committed("gj", "t1", partition).map(|committed| committed.value.offset);
    assert_eq!((offset(0), offset(1)), (None, Some(0)));
    let shard = load(LIBRDKAFKA);
    assert_eq!((shard.groups().count(), shard.offsets().count()), (0, 0), "it was deleted");
}
