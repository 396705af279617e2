//! The types openraft is instantiated with, and the bytes of a log entry.
//!
//! ```text
//! version 1 | kind: 0 blank, 1 change, 2 membership | node id of the term's leader, 8 bytes | payload
//! ```
//! Index and term are not in it: the batch that carries the entry has them as base offset and leader epoch.

use std::io::Cursor;

use openraft::{CommittedLeaderId, EmptyNode, Entry, EntryPayload, LogId, Membership};
use serde::{Deserialize, Serialize};

/// Records of one change, encoded. They are applied together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change(pub(crate) Vec<u8>);

/// What applying an entry answers: the offset of the image that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) offset: i64,
}

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Change,
        R = Applied,
        NodeId = u64,
        Node = EmptyNode,
        SnapshotData = Cursor<Vec<u8>>,
);

pub(crate) type RaftEntry = Entry<Types>;
pub(crate) type RaftLogId = LogId<u64>;
pub(crate) type RaftStorageError = openraft::StorageError<u64>;
pub(crate) type Raft = openraft::Raft<Types>;

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const CHANGE: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Version, kind and node id.
const HEADER_BYTES: usize = 10;

/// The id of the entry at `index` that the leader `node_id` of `term` wrote.
pub(crate) fn log_id(term: u64, node_id: u64, index: u64) -> RaftLogId {
    LogId::new(CommittedLeaderId::new(term, node_id), index)
}

/// The value of the Kafka record that carries `entry`.
pub(crate) fn encode_entry(entry: &RaftEntry) -> Vec<u8> {
    let membership;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (BLANK, &[]),
        EntryPayload::Normal(Change(records)) => (CHANGE, records),
        EntryPayload::Membership(members) => {
            membership = serde_json::to_vec(members).expect("a membership is sets of numbers, always valid JSON");
            (MEMBERSHIP, &membership)
        }
    };
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.push(VERSION);
    value.push(kind);
    value.extend_from_slice(&entry.log_id.leader_id.node_id.to_be_bytes());
    value.extend_from_slice(payload);
    value
}

/// The entry at `index` under `term`, from the value of its record.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn decode_entry(index: u64, term: u64, value: &[u8]) -> Result<RaftEntry, String> {
    if value.len() < HEADER_BYTES {
        return Err("an entry is shorter than its header".to_owned());
    }
    if value[0] != VERSION {
        return Err(format!("entry version {} is not known to this version", value[0]));
    }
    let (header, payload) = value.split_at(HEADER_BYTES);
    let node_id = u64::from_be_bytes(header[2..].try_into().expect("the header's last eight bytes"));
    let payload = match header[1] {
        BLANK => EntryPayload::Blank,
        CHANGE => EntryPayload::Normal(Change(payload.to_vec())),
        MEMBERSHIP => {
            let members: Membership<u64, EmptyNode> =
                serde_json::from_slice(payload).map_err(|error| format!("membership: {error}"))?;
            EntryPayload::Membership(members)
        }
        kind => return Err(format!("entry kind {kind} is not known to this version")),
    };
    Ok(RaftEntry { log_id: log_id(term, node_id, index), payload })
}
