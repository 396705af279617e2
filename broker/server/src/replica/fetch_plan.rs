//! What a fetch reads: partition by partition in the order of the request, within the limits of KIP-74.
//!
//! Called by api/k01_fetch.rs, again each time that a waiting fetch is woken. Reads positions, never bytes. Never waits
//! for the disk on a thread that serves others: what is not in memory is loaded on one that may block.

use std::sync::Arc;

use millstream_base_env::task;
use millstream_broker_log::{Isolation, MinimumOne, Place, ReadError, ReadRequest, ReadResult, Reading, Slice};
use uuid::Uuid;

use crate::replica::partition::{Partition, ReplicaError};

/// One partition of a fetch.
#[derive(Clone)]
pub struct Wanted {
    /// The partition.
    pub partition: Arc<Partition>,
    /// The id of its topic, where the client says it.
    pub topic_id: Option<Uuid>,
    /// First offset wanted.
    pub offset: i64,
    /// The epoch the client knows, -1 when it does not say.
    pub current_leader_epoch: i32,
    /// The epoch of the last record it has, -1 when it does not say (KIP-595).
    pub last_fetched_epoch: i32,
    /// Most bytes wanted of this partition; negative as the client sent it.
    pub bytes_max: i32,
}

impl AsRef<crate::replica::wait::Waiters> for Wanted {
    fn as_ref(&self) -> &crate::replica::wait::Waiters {
        self.partition.as_ref().as_ref()
    }
}

/// Limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Up to where the reader may see.
    pub isolation: Isolation,
    /// Most bytes of the whole answer; the first batch may go over it. Negative as the client sent it.
    pub bytes_max: i32,
    /// The answer waits for this many bytes.
    pub bytes_min: usize,
}

/// What one partition answers.
pub enum Part {
    /// What was read.
    Read(ReadResult),
    /// The client's log differs: largest epoch and its end, from which it is to truncate (KIP-595).
    Diverging {
        /// The epoch.
        epoch: i32,
        /// Where it ends.
        end_offset: i64,
        /// The partition's offsets.
        read: ReadResult,
    },
    /// It was refused.
    Failed(ReplicaError),
}

impl Part {
    /// Bytes of records.
    fn length(&self) -> usize {
        match self {
            Part::Read(read) => read.slice.as_ref().map_or(0, |slice| slice.length),
            Part::Diverging { .. } | Part::Failed(_) => 0,
        }
    }
}

/// What a look at every partition found.
pub struct Plan {
    /// One answer per partition wanted, in order.
    pub parts: Vec<Part>,
    /// Whether the answer goes out now, whatever time is left.
    pub ready: Ready,
    /// Bytes below what the fetch waits for.
    pub lacking: usize,
}

impl Default for Plan {
    /// Of nothing.
    fn default() -> Self {
        Plan { parts: Vec::new(), ready: Ready::Now, lacking: 0 }
    }
}

/// Whether a fetch has what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Enough bytes, an error, a divergence, or data in an older segment (Java: `DelayedFetch` cases A to H).
    Now,
    /// Worth waiting for more.
    Wait,
    /// Not known before some pieces of files are in memory: [`plan_loaded`] loads them.
    Cold,
}

/// How often a plan is made anew after what it needs was loaded; the last time it waits for the disk.
const LOADS_MAX: usize = 4;

/// Looks at every partition, waiting for the disk where need be, on another thread.
pub async fn plan_loaded(wanted: &[Wanted], limits: Limits) -> Plan {
    for _ in 0..LOADS_MAX {
        let plan = plan(wanted, limits, Reading::InMemory);
        if plan.ready != Ready::Cold {
            return plan;
        }
        load(plan).await;
    }
    plan(wanted, limits, Reading::Waits)
}

async fn load(plan: Plan) {
    let cold = |part| match part {
        Part::Failed(ReplicaError::Read(ReadError::Cold(slices))) => slices,
        Part::Failed(_) | Part::Read(_) | Part::Diverging { .. } => Vec::new(),
    };
    let slices: Vec<Slice> = plan.parts.into_iter().flat_map(cold).collect();
    let loading = task::spawn_blocking("cold read", move || {
        for slice in slices {
            // What cannot be read is found by the look that follows.
            if let Err(error) = slice.file.load(slice.position, slice.length) {
                tracing::debug!(%error, "a piece of a log could not be loaded");
            }
        }
    });
    if let Err(error) = loading.await {
        tracing::error!(%error, "a load of a piece of a log did not end");
    }
}

/// Looks at every partition.
pub fn plan(wanted: &[Wanted], limits: Limits, reading: Reading) -> Plan {
    let mut is_cold = false;
    let mut parts = Vec::with_capacity(wanted.len());
    let mut ready = Ready::Wait;
    let mut left = limits.bytes_max;
    let mut bytes = 0usize;
    let mut minimum_one = MinimumOne::Yes;
    for one in wanted {
        let part = read(one, limits.isolation, left, minimum_one, reading);
        match &part {
            Part::Read(result) => {
                let length = part.length();
                if length > 0 {
                    minimum_one = MinimumOne::No;
                    if result.place == Place::Sealed {
                        ready = Ready::Now;
                    }
                }
                bytes += length;
            }
            Part::Failed(ReplicaError::Read(ReadError::Cold(_))) => is_cold = true,
            Part::Diverging { .. } | Part::Failed(_) => ready = Ready::Now,
        }
        // Behind the first partition a negative limit is none left.
        left = left.saturating_sub(i32::try_from(part.length()).unwrap_or(i32::MAX)).max(0);
        parts.push(part);
    }
    if bytes >= limits.bytes_min || wanted.is_empty() {
        ready = Ready::Now;
    }
    let lacking = limits.bytes_min.saturating_sub(bytes);
    Plan { parts, ready: if is_cold { Ready::Cold } else { ready }, lacking }
}

fn read(wanted: &Wanted, isolation: Isolation, left: i32, minimum_one: MinimumOne, reading: Reading) -> Part {
    if wanted.topic_id.is_some_and(|id| id != wanted.partition.topic_id()) {
        return Part::Failed(ReplicaError::InconsistentTopicId);
    }
    let bytes_max = wanted.bytes_max.min(left);
    let request = ReadRequest {
        offset: wanted.offset,
        bytes_max: usize::try_from(bytes_max).unwrap_or(0),
        minimum_one,
        isolation,
    };
    let checked = match wanted.last_fetched_epoch {
        ..0 => Ok(None),
        _ => divergence(wanted),
    };
    match checked {
        Ok(Some(diverging)) => return diverging,
        Ok(None) => {}
        Err(error) => return Part::Failed(error),
    }
    match wanted.partition.read(&request, wanted.current_leader_epoch, reading) {
        // Java finds a negative limit only where there is something to read (`LogSegment.read`).
        Ok(result) if bytes_max < 0 && wanted.offset < visible_end(&result, isolation) => {
            Part::Failed(ReplicaError::NegativeLimit(bytes_max))
        }
        Ok(mut result) => {
            // Records of which the limit cuts off the first batch are no empty answer to Java: the list of aborted
            // transactions is left out (`ReplicaManager.readFromLog`).
            if bytes_max > 0 && result.slice.is_none() && wanted.offset < result.offsets.last_stable {
                result.aborted = None;
            }
            Part::Read(result)
        }
        Err(error) => Part::Failed(error),
    }
}

fn visible_end(read: &ReadResult, isolation: Isolation) -> i64 {
    match isolation {
        Isolation::LogEnd => read.offsets.log_end,
        Isolation::HighWatermark => read.offsets.high_watermark,
        Isolation::Committed => read.offsets.last_stable,
    }
}

/// Whether the reader's log left this one's path; looked at before its offset is (Java: `Partition.readRecords`).
fn divergence(wanted: &Wanted) -> Result<Option<Part>, ReplicaError> {
    wanted.partition.leader_epoch(wanted.current_leader_epoch)?;
    let offsets = wanted.partition.offsets();
    let out_of_range = ReadError::OffsetOutOfRange {
        offset: wanted.offset,
        log_start_offset: offsets.log_start,
        log_end_offset: offsets.log_end,
    };
    let found = wanted.partition.log().end_offset_for_epoch(wanted.last_fetched_epoch);
    let Some((epoch, end_offset)) = found.filter(|_| wanted.offset >= offsets.log_start) else {
        return Err(out_of_range.into());
    };
    if end_offset >= wanted.offset && epoch >= wanted.last_fetched_epoch {
        return Ok(None);
    }
    let read = ReadResult { slice: None, aborted: None, offsets, place: Place::Active };
    Ok(Some(Part::Diverging { epoch, end_offset, read }))
}
