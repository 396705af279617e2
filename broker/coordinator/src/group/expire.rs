//! Offsets that nobody needs any more: by retention, and with their topic. A group without offsets and members
//! goes as well.

use hashbrown::HashMap;

use super::ask::{DeletedTopic, GroupConfig};
use super::classic::{Group, Name, State};
use super::offsets::{Change, Committed, Offsets};
use super::step::{ChangeReply, Pending, Step};
use super::timers::Kind;
use crate::batch::BatchBuilder;
use crate::record_group::{push_group_tombstone, push_offset_tombstone};
use crate::step::{Nature, Token};

/// A cleaning pass may be of any size, a batch may not: it is cut in appends of this many tombstones.
const TOMBSTONES_PER_BATCH: i32 = 1000;

impl Step<'_> {
    /// The timer came up: tombstones for all that is too old.
    pub(super) fn expire(&mut self, groups: &mut HashMap<Name, Group>, offsets: &Offsets) {
        let next_ms = self.steady_ms + self.config.retention_check_interval_ms.max(1);
        self.timers().set(next_ms, Kind::Expire);
        let mut changes = Vec::new();
        let mut groups: Vec<&mut Group> = groups.values_mut().collect();
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        for group in groups {
            let all_gone = expired(group, offsets, self.config, self.now_ms, &mut changes);
            if all_gone && group.state() == State::Empty {
                group.forget_pending_joins();
                changes.push(Change::RemoveGroup { group: group.id.clone(), generation: group.generation });
            }
        }
        self.append_tombstones(changes, None);
    }

    /// Topics were deleted.
    pub(super) fn topics_deleted(&mut self, offsets: &Offsets, token: Token, topics: &[DeletedTopic]) {
        let mut changes = Vec::new();
        for topic in topics {
            for (group, name, partition, topic_id) in offsets.of_topic(&topic.name) {
                if topic_id.is_nil() || topic_id == topic.id {
                    changes.push(Change::Remove { group, topic: name, partition });
                }
            }
        }
        changes.dedup();
        self.append_tombstones(changes, Some((token, ChangeReply::TopicsDeleted)));
    }

    fn append_tombstones(&mut self, changes: Vec<Change>, mut reply: Option<(Token, ChangeReply)>) {
        if changes.is_empty() {
            if let Some((token, reply)) = reply {
                self.reply(token, reply.done());
            }
            return;
        }
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut batch = BatchBuilder::new(self.now_ms);
            let mut part = Vec::new();
            while let Some(change) = changes.next_if(|_| batch.count() < TOMBSTONES_PER_BATCH) {
                match &change {
                    Change::Remove { group, topic, partition } => {
                        push_offset_tombstone(&mut batch, group, topic, *partition);
                    }
                    Change::RemoveGroup { group, .. } => push_group_tombstone(&mut batch, group),
                    Change::Put { .. } => unreachable!("only tombstones expire"),
                }
                part.push(change);
            }
            let reply = if changes.peek().is_none() { reply.take() } else { None };
            self.append(batch.finish(), Pending::Changes { changes: part, producer_id: None, reply }, Nature::Data);
        }
    }
}

/// Adds the tombstones of `group`'s expired offsets; whether none are left, nor pending ones.
fn expired(group: &Group, offsets: &Offsets, config: &GroupConfig, now_ms: i64, changes: &mut Vec<Change>) -> bool {
    let none_open = offsets.open(&group.id).is_none();
    let Some(topics) = offsets.of(&group.id) else { return none_open };
    let Some(since) = retention_base(group) else { return false };
    let mut all_gone = true;
    let mut names: Vec<&Name> = topics.keys().collect();
    names.sort();
    for topic in names {
        let Some(partitions) = topics.get(topic) else { continue };
        if group.is_subscribed(topic) {
            all_gone = false;
            continue;
        }
        let mut indexes: Vec<(&i32, &Committed)> = partitions.iter().collect();
        indexes.sort_by_key(|(index, _)| **index);
        for (partition, committed) in indexes {
            let value = &committed.value;
            let old = if value.expire_ms >= 0 {
                now_ms >= value.expire_ms
            } else {
                let base_ms = since.unwrap_or(value.commit_ms);
                now_ms.saturating_sub(base_ms) >= config.offsets_retention_ms
            };
            if old && !offsets.is_open(&group.id, topic, *partition) {
                let (group, topic) = (group.id.clone(), topic.clone());
                changes.push(Change::Remove { group, topic, partition: *partition });
            } else {
                all_gone = false;
            }
        }
    }
    all_gone && none_open
}

/// From when offsets age (`ClassicGroup.offsetExpirationCondition`): `Some(Some(time))` since the group became
/// empty, `Some(None)` since each commit, `None` not at all.
fn retention_base(group: &Group) -> Option<Option<i64>> {
    if group.protocol_type.is_none() {
        return Some(None);
    }
    match group.state() {
        State::Empty if group.state_ms >= 0 => Some(Some(group.state_ms)),
        State::Empty => Some(None),
        State::Stable if group.is_consumer() && group.subscribed.is_some() => Some(None),
        State::Stable | State::PreparingRebalance | State::CompletingRebalance | State::Dead => None,
    }
}
