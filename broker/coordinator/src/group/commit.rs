//! OffsetCommit, TxnOffsetCommit, OffsetFetch and OffsetDelete.
//!
//! One request makes one batch; its offsets count when the batch is in the log. Mirrors `OffsetMetadataManager`
//! and `ClassicGroup.validateOffsetCommit` of Apache's group coordinator.

use hashbrown::HashMap;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use millstream_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use millstream_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use millstream_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, StrBytes, TopicName,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use uuid::Uuid;

use super::ask::{GroupResponse, Stability, commit_error, txn_commit_error};
use super::classic::{Group, Name, State};
use super::offsets::{Change, Committed, Offsets};
use super::step::{ChangeReply, Pending, Step, text};
use crate::batch::BatchBuilder;
use crate::record_group::{OffsetValue, push_offset, push_offset_tombstone};
use crate::step::{Nature, Token};

/// Versions from which a commit to a group that is not there is told so (KIP-848).
const TELLS_GROUP_NOT_FOUND: i16 = 9;

/// Who commits, as far as it is checked.
struct Committer<'a> {
    member_id: &'a str,
    instance_id: Option<&'a str>,
    generation: i32,
    kind: CommitKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CommitKind {
    Plain,
    Transactional,
}

impl Step<'_> {
    /// OffsetCommit.
    pub(super) fn commit(
        &mut self,
        groups: &mut HashMap<Name, Group>,
        offsets: &Offsets,
        token: Token,
        request: OffsetCommitRequest,
        version: i16,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            kind: CommitKind::Plain,
        };
        let missing = match version {
            TELLS_GROUP_NOT_FOUND.. => ErrorCode::GroupIdNotFound,
            _ => ErrorCode::IllegalGeneration,
        };
        let group = match self.committing_group(groups, &request.group_id, &committer, missing) {
            Ok(group) => group,
            Err(error) => return self.reply(token, GroupResponse::Commit(commit_error(request, error))),
        };
        // A commit is a sign of life, as a heartbeat is.
        if matches!(group.state(), State::Stable | State::PreparingRebalance) {
            self.keep(group, &request.member_id);
        }
        let expire_ms = match request.retention_time_ms {
            -1 => -1,
            retention_ms => self.now_ms.saturating_add(retention_ms),
        };
        let mut writer = OffsetWriter::new(self, group.id.clone(), -1, -1);
        let mut response = OffsetCommitResponse::default();
        response.topics.reserve(request.topics.len());
        for topic in request.topics {
            let name = offsets.topic_name(&writer.group, &topic.name);
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                    commit_ms: writer.now_ms,
                    expire_ms,
                    topic_id: topic.topic_id,
                };
                let error = writer.add(&name, partition.partition_index, value);
                answers.push(
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(error.code()),
                );
            }
            response.topics.push(
                OffsetCommitResponseTopic::default()
                    .with_name(topic.name)
                    .with_topic_id(topic.topic_id)
                    .with_partitions(answers),
            );
        }
        let (batch, changes) = writer.finish();
        self.append_changes(batch, changes, token, ChangeReply::Commit(response));
    }

    /// TxnOffsetCommit: the same under a producer id; the offsets wait for its marker.
    pub(super) fn commit_transactional(
        &mut self,
        groups: &mut HashMap<Name, Group>,
        offsets: &Offsets,
        token: Token,
        request: TxnOffsetCommitRequest,
        verification: u64,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            kind: CommitKind::Transactional,
        };
        let group = match self.committing_group(groups, &request.group_id, &committer, ErrorCode::IllegalGeneration) {
            Ok(group) => group.id.clone(),
            Err(error) => return self.reply(token, GroupResponse::TxnCommit(txn_commit_error(request, error))),
        };
        let producer_id = request.producer_id.0;
        let mut writer = OffsetWriter::new(self, group, producer_id, request.producer_epoch);
        let mut response = TxnOffsetCommitResponse::default();
        for topic in request.topics {
            let name = offsets.topic_name(&writer.group, &topic.name);
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                    commit_ms: writer.now_ms,
                    expire_ms: -1,
                    // Apache 4.3 stores no topic id here.
                    topic_id: Uuid::nil(),
                };
                let error = writer.add(&name, partition.partition_index, value);
                answers.push(
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(error.code()),
                );
            }
            response
                .topics
                .push(TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(answers));
        }
        let (batch, changes) = writer.finish();
        let reply = ChangeReply::TxnCommit(response);
        if batch.is_empty() {
            return self.reply(token, reply.done());
        }
        let pending = Pending::Changes { changes, producer_id: Some(producer_id), reply: Some((token, reply)) };
        self.append(batch.finish(), pending, Nature::Transactional { verification });
    }

    /// The group a commit goes to; one without generation may make it (a group that only holds offsets).
    fn committing_group<'g>(
        &self,
        groups: &'g mut HashMap<Name, Group>,
        id: &str,
        committer: &Committer<'_>,
        missing: ErrorCode,
    ) -> Result<&'g mut Group, ErrorCode> {
        if !groups.contains_key(id) {
            if committer.generation >= 0 {
                return Err(missing);
            }
            groups.insert(id.into(), Group::new(id.into(), self.now_ms));
        }
        let group = groups.get_mut(id).expect("it was there or was made above");
        check_commit(group, committer)?;
        Ok(group)
    }

    /// Appends what changes offsets and answers when it is in the log; at once when nothing changes.
    pub(super) fn append_changes(
        &mut self,
        batch: BatchBuilder,
        changes: Vec<Change>,
        token: Token,
        reply: ChangeReply,
    ) {
        if batch.is_empty() {
            self.reply(token, reply.done());
        } else {
            self.append(
                batch.finish(),
                Pending::Changes { changes, producer_id: None, reply: Some((token, reply)) },
                Nature::Data,
            );
        }
    }

    /// OffsetDelete: not for topics that members of the group are subscribed to.
    pub(super) fn delete_offsets(
        &mut self,
        group: Option<&Group>,
        offsets: &Offsets,
        token: Token,
        request: OffsetDeleteRequest,
    ) {
        let refused = |error: ErrorCode| {
            GroupResponse::DeleteOffsets(OffsetDeleteResponse::default().with_error_code(error.code()))
        };
        let group = match group.map(|group| (group, check_delete_offsets(group))) {
            Some((group, Ok(()))) => group,
            Some((_, Err(error))) => return self.reply(token, refused(error)),
            None => return self.reply(token, refused(ErrorCode::GroupIdNotFound)),
        };
        let mut batch = BatchBuilder::new(self.now_ms);
        let mut changes = Vec::new();
        let mut response = OffsetDeleteResponse::default();
        for topic in request.topics {
            let subscribed = group.is_subscribed(&topic.name);
            let error = if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            let name = offsets.topic_name(&group.id, &topic.name);
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let index = partition.partition_index;
                answers.push(
                    OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(error.code()),
                );
                let known =
                    offsets.committed(&group.id, &name, index).is_some() || offsets.is_open(&group.id, &name, index);
                if known && !subscribed {
                    push_offset_tombstone(&mut batch, &group.id, &name, index);
                    changes.push(Change::Remove { group: group.id.clone(), topic: name.clone(), partition: index });
                }
            }
            response.topics.push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(answers));
        }
        self.append_changes(batch, changes, token, ChangeReply::DeleteOffsets(response));
    }
}

/// Encodes offsets and remembers what they change.
struct OffsetWriter {
    group: Name,
    now_ms: i64,
    metadata_max: usize,
    batch: BatchBuilder,
    changes: Vec<Change>,
}

impl OffsetWriter {
    fn new(step: &Step<'_>, group: Name, producer_id: i64, producer_epoch: i16) -> Self {
        OffsetWriter {
            group,
            now_ms: step.now_ms,
            metadata_max: step.config.offset_metadata_max,
            batch: BatchBuilder::of_producer(step.now_ms, producer_id, producer_epoch),
            changes: Vec::new(),
        }
    }

    fn add(&mut self, topic: &Name, partition: i32, value: OffsetValue) -> ErrorCode {
        // Bytes are never fewer than Java's characters, so most text is measured by its length alone.
        if value.metadata.len() > self.metadata_max && value.metadata.encode_utf16().count() > self.metadata_max {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        push_offset(&mut self.batch, &self.group, topic, partition, &value);
        self.changes.push(Change::Put { group: self.group.clone(), topic: topic.clone(), partition, value });
        ErrorCode::None
    }

    fn finish(self) -> (BatchBuilder, Vec<Change>) {
        (self.batch, self.changes)
    }
}

/// The order of checks is Java's: state Dead, no generation, member and instance, generation, then the state.
fn check_commit(group: &Group, committer: &Committer<'_>) -> Result<(), ErrorCode> {
    if group.state() == State::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    // The admin client, or a consumer that assigns partitions to itself.
    if committer.generation < 0 && group.state() == State::Empty {
        return Ok(());
    }
    let plain = committer.kind == CommitKind::Plain;
    if committer.generation >= 0 || !committer.member_id.is_empty() || committer.instance_id.is_some() {
        group.check_member(committer.member_id, committer.instance_id)?;
        if committer.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if plain && group.state() != State::Empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    if plain && group.state() == State::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

fn check_delete_offsets(group: &Group) -> Result<(), ErrorCode> {
    match group.state() {
        State::Dead => Err(ErrorCode::GroupIdNotFound),
        State::Empty => Ok(()),
        State::Stable | State::PreparingRebalance | State::CompletingRebalance if group.is_consumer() => Ok(()),
        State::Stable | State::PreparingRebalance | State::CompletingRebalance => Err(ErrorCode::NonEmptyGroup),
    }
}

/// OffsetFetch of one group. A group that is not there has no offsets; that is no error.
pub(super) fn fetch(
    group: Option<&Group>,
    offsets: &Offsets,
    request: OffsetFetchRequestGroup,
    stability: Stability,
) -> OffsetFetchResponseGroup {
    let id = request.group_id.clone();
    let known = group.filter(|group| group.state() != State::Dead).map(|group| &group.id);
    let topics = match request.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let partitions = topic
                    .partition_indexes
                    .iter()
                    .map(|index| match known {
                        Some(group) => fetch_one(offsets, group, &topic.name, topic.topic_id, *index, stability),
                        None => absent(*index),
                    })
                    .collect();
                OffsetFetchResponseTopics::default()
                    .with_name(topic.name)
                    .with_topic_id(topic.topic_id)
                    .with_partitions(partitions)
            })
            .collect(),
        None => known.map(|group| fetch_all(offsets, group, stability)).unwrap_or_default(),
    };
    OffsetFetchResponseGroup::default().with_group_id(id).with_topics(topics)
}

fn fetch_all(offsets: &Offsets, group: &Name, stability: Stability) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = offsets.of(group) else { return Vec::new() };
    let mut answers: Vec<OffsetFetchResponseTopics> = topics
        .iter()
        .map(|(topic, partitions)| {
            let mut indexes: Vec<i32> = partitions.keys().copied().collect();
            indexes.sort_unstable();
            let partitions =
                indexes.iter().map(|index| fetch_one(offsets, group, topic, Uuid::nil(), *index, stability)).collect();
            OffsetFetchResponseTopics::default().with_name(TopicName(text(topic))).with_partitions(partitions)
        })
        .collect();
    answers.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    answers
}

fn fetch_one(
    offsets: &Offsets,
    group: &str,
    topic: &str,
    topic_id: Uuid,
    partition: i32,
    stability: Stability,
) -> OffsetFetchResponsePartitions {
    if stability == Stability::Required && offsets.is_open(group, topic, partition) {
        return absent(partition).with_error_code(ErrorCode::UnstableOffsetCommit.code());
    }
    let committed = offsets.committed(group, topic, partition).map(|committed: &Committed| &committed.value);
    match committed.filter(|value| value.topic_id.is_nil() || topic_id.is_nil() || value.topic_id == topic_id) {
        Some(value) => OffsetFetchResponsePartitions::default()
            .with_partition_index(partition)
            .with_committed_offset(value.offset)
            .with_committed_leader_epoch(value.leader_epoch)
            .with_metadata(Some(text(&value.metadata))),
        None => absent(partition),
    }
}

fn absent(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::new()))
}
