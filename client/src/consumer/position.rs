//! What is read of each partition and from where.
//!
//! Pure; kept by `consumer.rs`, read and moved by `fetch.rs`.

use std::collections::BTreeMap;

use millstream_base_env::clock::Moment;

use super::decode::Fetched;
use super::metrics::OfPartition;
use super::{OffsetAndMetadata, Offsets};
use crate::TopicPartition;
use crate::config::{Isolation, Reset};

/// A partition that is read.
#[derive(Default)]
pub(super) struct Partition {
    /// Offset of the next record to hand out; None until it is found.
    pub position: Option<i64>,
    /// Leader epoch of the record before it, -1 when not known.
    pub epoch: i32,
    /// Epoch of the leader under which the position was last seen to hold, -1 for none.
    pub checked: i32,
    /// A replica to read from rather than the leader (KIP-392), and until when.
    pub preferred: Option<(i32, Moment)>,
    /// Where to begin anew, when that is to be looked up.
    pub reset: Option<Reset>,
    pub paused: bool,
    /// What came and was not handed out yet.
    pub fetched: Option<Fetched>,
    /// Not fetched before; after an error.
    pub not_before: Option<Moment>,
    /// The end of what the isolation lets see, as the last answer told (Java: `SubscriptionState.partitionLag`).
    pub end: Option<i64>,
    /// The first offset that is left.
    pub log_start: Option<i64>,
    pub metrics: OfPartition,
}

impl Partition {
    /// The offset to fetch from, if it is to be fetched.
    pub fn fetchable(&self) -> Option<i64> {
        if self.paused || self.fetched.is_some() || self.reset.is_some() { None } else { self.position }
    }

    /// Whether a leader of this epoch is to be asked first whether all before the position is there.
    pub fn is_unchecked(&self, leader_epoch: i32) -> bool {
        self.epoch >= 0 && leader_epoch >= 0 && self.checked < leader_epoch && self.fetchable().is_some()
    }

    /// Notes the end as a broker's answer told it; -1 for an end of transactions that it does not say.
    pub fn saw_end(&mut self, isolation: Isolation, high_watermark: i64, last_stable: i64) {
        self.end = Some(match isolation {
            Isolation::ReadCommitted if last_stable >= 0 => last_stable,
            _ => high_watermark,
        });
    }

    /// Begins at `offset`.
    pub fn seek(&mut self, offset: i64, epoch: i32) {
        self.position = Some(offset);
        (self.epoch, self.checked) = (epoch, -1);
        self.reset = None;
        self.fetched = None;
    }

    /// Begins where `reset` says, which is to be looked up.
    pub fn reset_by(&mut self, reset: Reset) {
        self.reset = Some(reset);
        self.position = None;
        self.fetched = None;
    }

    /// Takes over how far the fetched bytes were handed out.
    pub fn advance(&mut self) {
        if let Some(fetched) = &self.fetched {
            self.position = Some(fetched.position);
            self.epoch = self.epoch.max(fetched.epoch);
        }
    }
}

/// The partitions that are read, by topic and number.
#[derive(Default)]
pub(super) struct Partitions {
    places: BTreeMap<TopicPartition, usize>,
    list: Vec<Partition>,
}

impl Partitions {
    /// Reads these; those that were read before go on where they stand.
    pub fn assign(&mut self, places: impl IntoIterator<Item = TopicPartition>) {
        let mut before = std::mem::take(self);
        for place in places {
            let kept = before.places.get(&place).and_then(|at| before.list.get_mut(*at)).map(std::mem::take);
            if self.places.insert(place, self.list.len()).is_none() {
                self.list.push(kept.unwrap_or(Partition { epoch: -1, checked: -1, ..Partition::default() }));
            }
        }
    }

    /// Leaders are read from again where `broker` was preferred.
    pub fn prefer_no_more(&mut self, broker: i32) {
        for partition in &mut self.list {
            partition.preferred.take_if(|(preferred, _)| *preferred == broker);
        }
    }

    pub fn places(&self) -> Vec<TopicPartition> {
        self.places.keys().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Lets go of what came of paused partitions, so that others can be read; it is fetched again once they are resumed.
    pub fn release_paused(&mut self) {
        for partition in self.list.iter_mut().filter(|partition| partition.paused) {
            partition.fetched = None;
        }
    }

    pub fn at_mut(&mut self, at: usize) -> Option<&mut Partition> {
        self.list.get_mut(at)
    }

    pub fn get(&self, place: &TopicPartition) -> Option<&Partition> {
        self.list.get(*self.places.get(place)?)
    }

    pub fn get_mut(&mut self, place: &TopicPartition) -> Option<&mut Partition> {
        self.list.get_mut(*self.places.get(place)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.places.iter().filter_map(|(place, at)| Some((place, self.list.get(*at)?)))
    }

    /// Partitions that have no position and none to look up: their committed offset is to be found first.
    pub fn unplaced(&self) -> Vec<TopicPartition> {
        let unplaced = self.iter().filter(|(_, partition)| partition.position.is_none() && partition.reset.is_none());
        unplaced.map(|(place, _)| place.clone()).collect()
    }

    /// Partitions whose beginning is to be looked up.
    pub fn to_reset(&self) -> BTreeMap<TopicPartition, Reset> {
        self.iter().filter_map(|(place, partition)| Some((place.clone(), partition.reset?))).collect()
    }

    /// What a commit of everything handed out says.
    pub fn consumed(&self) -> Offsets {
        let offset = |partition: &Partition| {
            let offset = partition.position?;
            Some(OffsetAndMetadata { offset, leader_epoch: partition.epoch, metadata: String::new() })
        };
        self.iter().filter_map(|(place, partition)| Some((place.clone(), offset(partition)?))).collect()
    }
}
