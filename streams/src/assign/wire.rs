//! The user data of subscriptions and assignments as bytes.
//!
//! Called by the runtime's member of the group. Versioned: each begins with a version, and a newer one only adds fields
//! at the end, so that members of both versions read one another. A group of these members does not mix with Java's.
//!
//! Not done: Java's formats. So an application is handed over once the members before have left the group or their sessions
//! have ended: a static member that takes the place of one of the other kind within its session cannot read its assignment.
//!
//! | subscription | assignment |
//! |---|---|
//! | version 2 (1), call 1, process 16 | version 2 (2), call 1, next rebalance 8 |
//! | endpoint (length 2, bytes) | topics (count 4, each a text) |
//! | tasks (count 4, each sub-topology 4, partition 4, offset 8) | tasks (count 4, each sub-topology 4, partition 4, partitions read: count 4, each topic 4, partition 4) |
//! | | active, standby (count 4, each the place of a task 4) |
//! | | hosts (count 4, each endpoint, active, standby) |
//! | | from version 2: why the leader could not decide (length 2, bytes) |

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use client::TopicPartition;
use thiserror::Error;

use super::{Assignment, Call, Host, ProcessId, Subscription, TaskId};

/// The version of a subscription, and the first one of an assignment.
const VERSION: i16 = 1;
/// The version of an assignment: the second one says why the leader could not decide.
const ASSIGNMENT_VERSION: i16 = 2;
/// In place of a time: no rebalance.
const NEVER: i64 = i64::MAX;

/// Bytes that no member of this crate wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a member's subscription or assignment is malformed")]
pub struct Malformed;

fn call_code(call: Call) -> i8 {
    match call {
        Call::None => 0,
        Call::Shutdown => 1,
        Call::MissingSourceTopics => 2,
        Call::Failed => 3,
    }
}

fn call_of(code: i8) -> Call {
    match code {
        0 => Call::None,
        1 => Call::Shutdown,
        2 => Call::MissingSourceTopics,
        _ => Call::Failed,
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    let fits = (0..=text.len().min(usize::from(u16::MAX))).rev().find(|end| text.is_char_boundary(*end));
    let text = &text[..fits.unwrap_or(0)];
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn put_task(out: &mut BytesMut, task: TaskId) {
    out.put_u32(task.subtopology as u32);
    out.put_i32(task.partition);
}

impl Subscription {
    /// The bytes.
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(VERSION);
        out.put_i8(call_code(self.call));
        out.put_slice(&self.process.0);
        put_text(&mut out, self.endpoint.as_deref().unwrap_or_default());
        out.put_u32(self.offsets.len() as u32);
        for (task, offset) in &self.offsets {
            put_task(&mut out, *task);
            out.put_i64(*offset);
        }
        out.freeze()
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn read(bytes: &[u8]) -> Result<Subscription, Malformed> {
        subscription(bytes).ok_or(Malformed)
    }
}

fn subscription(mut rest: &[u8]) -> Option<Subscription> {
    let rest = &mut rest;
    version(rest)?;
    let call = call_of(take::<1>(rest)?[0] as i8);
    let process = ProcessId(take::<16>(rest)?);
    let endpoint = Some(text(rest)?).filter(|endpoint| !endpoint.is_empty());
    let mut offsets = BTreeMap::new();
    for _ in 0..int(rest)? {
        offsets.insert(task(rest)?, i64::from_be_bytes(take::<8>(rest)?));
    }
    Some(Subscription { process, endpoint, offsets, call })
}

impl Assignment {
    /// The bytes.
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(ASSIGNMENT_VERSION);
        out.put_i8(call_code(self.call));
        out.put_i64(self.next_rebalance_ms.unwrap_or(NEVER));
        let topics: BTreeSet<&str> = self.tasks.values().flatten().map(|place| place.topic.as_str()).collect();
        out.put_u32(topics.len() as u32);
        topics.iter().for_each(|topic| put_text(&mut out, topic));
        let topics: BTreeMap<&str, u32> = topics.into_iter().zip(0..).collect();
        out.put_u32(self.tasks.len() as u32);
        for (task, partitions) in &self.tasks {
            put_task(&mut out, *task);
            out.put_u32(partitions.len() as u32);
            for place in partitions {
                out.put_u32(topics.get(place.topic.as_str()).copied().unwrap_or(u32::MAX));
                out.put_i32(place.partition);
            }
        }
        let places: BTreeMap<TaskId, u32> = self.tasks.keys().copied().zip(0..).collect();
        let put_set = |out: &mut BytesMut, tasks: &BTreeSet<TaskId>| {
            let known: Vec<u32> = tasks.iter().filter_map(|task| places.get(task).copied()).collect();
            out.put_u32(known.len() as u32);
            known.iter().for_each(|place| out.put_u32(*place));
        };
        put_set(&mut out, &self.active);
        put_set(&mut out, &self.standby);
        out.put_u32(self.hosts.len() as u32);
        for (endpoint, host) in &self.hosts {
            put_text(&mut out, endpoint);
            put_set(&mut out, &host.active);
            put_set(&mut out, &host.standby);
        }
        put_text(&mut out, &self.cause);
        out.freeze()
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn read(bytes: &[u8]) -> Result<Assignment, Malformed> {
        assignment(bytes).ok_or(Malformed)
    }
}

fn assignment(mut rest: &[u8]) -> Option<Assignment> {
    let rest = &mut rest;
    let version = version(rest)?;
    let call = call_of(take::<1>(rest)?[0] as i8);
    let next = i64::from_be_bytes(take::<8>(rest)?);
    // No count reserves memory: what others wrote is read whoever they are.
    let topics = (0..int(rest)?).map(|_| text(rest)).collect::<Option<Vec<String>>>()?;
    let (mut tasks, mut order) = (BTreeMap::new(), Vec::new());
    for _ in 0..int(rest)? {
        let id = task(rest)?;
        let mut partitions = Vec::new();
        for _ in 0..int(rest)? {
            let topic = topics.get(int(rest)? as usize)?;
            partitions.push(TopicPartition::new(topic, int(rest)? as i32));
        }
        order.push(id);
        tasks.insert(id, partitions);
    }
    let set = |rest: &mut &[u8]| -> Option<BTreeSet<TaskId>> {
        (0..int(rest)?).map(|_| order.get(int(rest)? as usize).copied()).collect()
    };
    let (active, standby) = (set(rest)?, set(rest)?);
    let mut hosts = BTreeMap::new();
    for _ in 0..int(rest)? {
        let endpoint = text(rest)?;
        hosts.insert(endpoint, Host { active: set(rest)?, standby: set(rest)? });
    }
    let next_rebalance_ms = Some(next).filter(|next| *next != NEVER);
    let cause = if version >= ASSIGNMENT_VERSION { text(rest)? } else { String::new() };
    Some(Assignment { active, standby, tasks, hosts, next_rebalance_ms, call, cause })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (raw, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*raw)
}

fn version(rest: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(take::<2>(rest)?)).filter(|version| *version >= VERSION)
}

fn int(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take::<4>(rest)?))
}

fn task(rest: &mut &[u8]) -> Option<TaskId> {
    Some(TaskId { subtopology: int(rest)? as usize, partition: int(rest)? as i32 })
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take::<2>(rest)?));
    let (raw, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(raw.to_vec()).ok()
}
