//! What a transactional producer asks of coordinators and is told: the words between `txn.rs`, which decides, and
//! `txn/call.rs`, which sends.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::batch::Place;
use super::super::idempotent::Identity;
use crate::TopicPartition;
use crate::consumer::Offsets;
use crate::error::{ClientError, of_code, of_partition};

/// Who reads the input of a transaction: the member of a group whose offsets go with it (Java: `ConsumerGroupMetadata`).
///
/// ```
/// use client::producer::GroupMetadata;
///
/// let group = GroupMetadata::new("billing");
/// assert_eq!((group.group_id.as_str(), group.generation, group.instance_id), ("billing", -1, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `group.id`
    pub group_id: String,
    /// The generation of the group, or the epoch of the member; -1 outside of a rebalanced group.
    pub generation: i32,
    /// The member's id, empty outside of a rebalanced group.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
}

impl GroupMetadata {
    /// A group without members, or whose members the broker shall not check.
    pub fn new(group_id: &str) -> Self {
        GroupMetadata { group_id: group_id.to_owned(), generation: -1, member_id: String::new(), instance_id: None }
    }
}

/// How a transaction is spoken of with the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `transaction.version` 0 or 1.
    V1,
    /// `transaction.version` 2 and later.
    V2,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Abort,
}

/// What became of a call, for whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    result: Option<Result<(), ClientError>>,
    /// The caller has seen it.
    heard: bool,
}

impl Verdict {
    pub(super) fn tell(&self, result: Result<(), ClientError>) {
        self.0.lock().result.get_or_insert(result);
    }

    /// The result once there is one; the caller has heard of it then.
    pub fn hear(&self) -> Option<Result<(), ClientError>> {
        let mut told = self.0.lock();
        told.heard |= told.result.is_some();
        told.result.clone()
    }

    pub(super) fn is_told(&self) -> bool {
        self.0.lock().result.is_some()
    }

    pub(super) fn is_heard(&self) -> bool {
        self.0.lock().heard
    }
}

/// Offsets on their way to a group, with what is not acknowledged yet.
#[derive(Clone, Debug)]
pub(crate) struct OffsetsTask {
    pub group: GroupMetadata,
    pub pending: Offsets,
    pub(super) verdict: Verdict,
}

/// A request to a coordinator. The order is the order in which they leave (Java: `Priority`).
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// InitProducerId: for the first time.
    Init,
    /// AddPartitionsToTxn.
    AddPartitions(Vec<Place>),
    /// AddOffsetsToTxn.
    AddOffsets(OffsetsTask),
    /// TxnOffsetCommit.
    CommitOffsets(OffsetsTask),
    /// EndTxn.
    End(Ending, Protocol),
    /// InitProducerId with the identity that is to be raised.
    Bump,
}

impl Ask {
    pub(super) fn rank(&self) -> u8 {
        match self {
            Ask::Init => 1,
            Ask::AddPartitions(_) | Ask::AddOffsets(_) | Ask::CommitOffsets(_) => 2,
            Ask::End(..) => 3,
            Ask::Bump => 4,
        }
    }
}

/// Who answered, and of what it spoke.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// `host:port`; empty when nobody answered.
    pub address: String,
    /// The transactional id, or the group.
    pub subject: String,
    /// Topics of the places that were asked about.
    pub names: Vec<(Place, Arc<str>)>,
}

impl Heard {
    /// The error of a code.
    pub fn said(&self, code: i16) -> ClientError {
        of_code(code, None).of(&self.subject).at(&self.address)
    }

    /// The error of a partition's code.
    pub fn said_of(&self, place: Place, code: i16) -> ClientError {
        match self.names.iter().find(|(known, _)| *known == place) {
            Some((_, topic)) => of_partition(topic, place.1, code, None).at(&self.address),
            None => self.said(code),
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The connection was lost or could not be made: it may have arrived or not.
    Lost(ClientError),
    /// The coordinator could not be found, with the broker's code.
    NotFound(i16),
    Init {
        code: i16,
        identity: Identity,
    },
    Partitions(Vec<(Place, i16)>),
    Offsets(i16),
    Committed(Vec<(TopicPartition, i16)>),
    /// The identity of the next transaction, where the broker gave one.
    Ended {
        code: i16,
        identity: Option<Identity>,
    },
}

impl Answer {
    /// What went wrong, if something did.
    pub fn trouble(&self, heard: &Heard) -> Option<String> {
        let code = match self {
            Answer::Lost(error) => return Some(error.to_string()),
            Answer::NotFound(code) | Answer::Offsets(code) => *code,
            Answer::Init { code, .. } | Answer::Ended { code, .. } => *code,
            Answer::Partitions(codes) => codes.iter().map(|(_, code)| *code).find(|code| *code != 0)?,
            Answer::Committed(codes) => codes.iter().map(|(_, code)| *code).find(|code| *code != 0)?,
        };
        (code != 0).then(|| heard.said(code).to_string())
    }
}

/// What the sender does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing until something happens.
    Idle,
    /// Sends this, `wait_ms` from now.
    Send { ask: Ask, wait_ms: i64 },
}

/// What an answer changes outside of here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Records carry this from now on, and every sequence starts at 0.
    Identity(Identity),
}
