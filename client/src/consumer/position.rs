//! What is read of each partition and from where.
//!
//! Kept by `consumer.rs`, read and moved by `fetch.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_base_env::clock::Moment;
use uuid::Uuid;

use super::decode::Fetched;
use super::metrics::OfPartition;
use super::{OffsetAndMetadata, Offsets};
use crate::TopicPartition;
use crate::config::{Isolation, Reset};
use crate::metadata::{Cluster, Leader, TopicView};

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
    /// Nobody is asked about it before; after an error, or while nothing is as late as is looked for.
    pub not_before: Option<Moment>,
    /// At which count of assignments it came.
    pub since: u64,
    /// Its committed offset is being looked up.
    pub placing: bool,
    /// The end of what the isolation lets see, as the last answer told (Java: `SubscriptionState.partitionLag`).
    pub end: Option<i64>,
    /// The first offset that is left.
    pub log_start: Option<i64>,
    pub metrics: OfPartition,
    /// As metadata last said; None for nobody.
    pub leader: Option<Leader>,
    pub topic_id: Uuid,
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
        (self.fetched, self.not_before) = (None, None);
    }

    /// Begins where `reset` says, which is to be looked up.
    pub fn reset_by(&mut self, reset: Reset) {
        self.reset = Some(reset);
        self.position = None;
        (self.fetched, self.not_before) = (None, None);
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
    places: BTreeMap<Arc<TopicPartition>, usize>,
    list: Vec<Partition>,
    /// The version of the cluster's metadata that leaders were taken from.
    seen: Option<u64>,
    /// How often partitions came or went.
    count: u64,
}

impl Partitions {
    /// Reads these; those that were read before go on where they stand.
    pub fn assign(&mut self, places: impl IntoIterator<Item = TopicPartition>) {
        let mut before = std::mem::take(self);
        self.count = before.count + 1;
        for place in places {
            // Named twice, it is one.
            if self.places.contains_key(&place) {
                continue;
            }
            let (place, kept) = match before.places.remove_entry(&place) {
                Some((known, at)) => (known, before.list.get_mut(at).map(std::mem::take)),
                None => (Arc::new(place), None),
            };
            self.places.insert(place, self.list.len());
            self.list.push(kept.unwrap_or(Partition {
                epoch: -1,
                checked: -1,
                since: self.count,
                ..Partition::default()
            }));
        }
    }

    /// Takes over leaders, if anything is known since the last time.
    pub fn look(&mut self, cluster: &Cluster) {
        let version = cluster.version();
        if self.seen.replace(version) == Some(version) {
            return;
        }
        let mut known: Option<(&str, Option<Arc<TopicView>>)> = None;
        for (place, at) in &self.places {
            let view = match &known {
                Some((topic, view)) if *topic == place.topic => view,
                _ => &known.insert((&place.topic, cluster.known_topic(&place.topic))).1,
            };
            let Some(partition) = self.list.get_mut(*at) else { continue };
            partition.leader = view.as_ref().and_then(|view| view.leader(place.partition));
            partition.topic_id = view.as_ref().map_or(Uuid::nil(), |view| view.id);
        }
    }

    /// Whether one of them is so.
    pub fn any(&self, is: impl FnMut(&Partition) -> bool) -> bool {
        self.list.iter().any(is)
    }

    /// Leaders are read from again where `broker` was preferred.
    pub fn prefer_no_more(&mut self, broker: i32) {
        for partition in &mut self.list {
            partition.preferred.take_if(|(preferred, _)| *preferred == broker);
        }
    }

    pub fn places(&self) -> Vec<TopicPartition> {
        self.places.keys().map(|place| (**place).clone()).collect()
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
        self.shared().map(|(place, partition)| (&**place, partition))
    }

    /// As `iter`, for who keeps what a partition is called.
    pub fn shared(&self) -> impl Iterator<Item = (&Arc<TopicPartition>, &Partition)> {
        self.places.iter().filter_map(|(place, at)| Some((place, self.list.get(*at)?)))
    }

    /// Partitions that have no position and none to look up, and since when they are here: their committed offset is to be
    /// found first. They count as being looked up from now on.
    pub fn unplaced(&mut self) -> Vec<(TopicPartition, u64)> {
        let is =
            |partition: &Partition| partition.position.is_none() && partition.reset.is_none() && !partition.placing;
        // Polls come often, and this is rare.
        if !self.any(is) {
            return Vec::new();
        }
        let unplaced: Vec<_> =
            self.iter().filter(|(_, own)| is(own)).map(|(place, own)| (place.clone(), own.since)).collect();
        self.list.iter_mut().filter(|own| is(own)).for_each(|own| own.placing = true);
        unplaced
    }

    /// Partitions whose beginning is to be looked up now, with their leaders.
    pub fn to_reset(&self) -> Vec<(TopicPartition, Reset, Option<Leader>)> {
        if !self.any(|partition| partition.reset.is_some()) {
            return Vec::new();
        }
        let now = Moment::now();
        let due = self.iter().filter(|(_, partition)| partition.not_before.is_none_or(|at| at <= now));
        due.filter_map(|(place, partition)| Some((place.clone(), partition.reset?, partition.leader))).collect()
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
