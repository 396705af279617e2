//! All shards of one coordinator topic on this node, by partition.
//!
//! The replica layer calls [`Shards::lead`] and [`Shards::resign`] when leadership changes; handlers ask by key.

use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::{Clock, task};
use millstream_broker_coordinator::step::Machine;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::coord::shard::{Asked, Loaded, Outside, Phase, Shard, Unavailable};
use crate::coord::storage::Storage;
use crate::coord::timer::Timer;

/// Makes the empty machine of a partition before its log is replayed.
pub type NewMachine<M> = Box<dyn Fn(i32) -> M + Send + Sync>;

/// Pause before a replay that failed is tried again; twice as long each time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// And at most.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The shards of one topic.
pub struct Shards<M: Machine> {
    clock: Clock,
    timer: Timer,
    new_machine: Arc<NewMachine<M>>,
    outside: Arc<Outside<M>>,
    by_partition: RwLock<Vec<Option<Arc<Shard<M>>>>>,
    /// How many loads have not come to their first end.
    loading: watch::Sender<usize>,
}

/// One of the loads that are counted.
struct FirstAttempt(watch::Sender<usize>);

impl FirstAttempt {
    fn of(loading: &watch::Sender<usize>) -> Self {
        loading.send_modify(|count| *count += 1);
        FirstAttempt(loading.clone())
    }
}

impl Drop for FirstAttempt {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl<M: Machine> Shards<M> {
    /// No shards yet.
    pub fn new(clock: Clock, timer: Timer, new_machine: NewMachine<M>, outside: Outside<M>) -> Self {
        Shards {
            clock,
            timer,
            new_machine: Arc::new(new_machine),
            outside: Arc::new(outside),
            by_partition: RwLock::new(Vec::new()),
            loading: watch::Sender::new(0),
        }
    }

    /// This node leads `partition` from now on: replays its log (an empty one at once, another on a thread that
    /// may block) and takes requests. A replay that fails is tried again for as long as this node leads.
    pub fn lead(&self, partition: i32, storage: Storage) {
        let shard = self.shard_or_new(partition);
        if !shard.begin_load(storage.leader_epoch()) {
            return;
        }
        if storage.is_empty() && shard.load((self.new_machine)(partition), storage.clone()) != Loaded::Failed {
            return;
        }
        let first = FirstAttempt::of(&self.loading);
        // Where it began empty and failed all the same, this is the second attempt.
        shard.begin_again(storage.leader_epoch());
        task::spawn("coordinator load", load(shard, self.new_machine.clone(), storage, first));
    }

    /// Waits until every load that has begun came to an end once, a good one or a bad.
    pub async fn settled(&self) {
        // An error would mean that the sender is gone, which this holds.
        let mut loading = self.loading.subscribe();
        let _settled = loading.wait_for(|count| *count == 0).await;
    }

    /// How many shards stand in each of these phases.
    pub fn count<const N: usize>(&self, phases: [Phase; N]) -> [usize; N] {
        let standing: Vec<Phase> = self.all().iter().map(|shard| shard.phase()).collect();
        phases.map(|phase| standing.iter().filter(|other| **other == phase).count())
    }

    /// This node leads `partition` no more: everything parked is answered at once.
    pub fn resign(&self, partition: i32) {
        if let Some(shard) = self.shard(partition) {
            shard.unload();
        }
    }

    /// The shard of `partition`, if this node ever led it.
    pub fn shard(&self, partition: i32) -> Option<Arc<Shard<M>>> {
        self.by_partition.read().get(usize::try_from(partition).ok()?)?.clone()
    }

    /// Every shard this node ever led, loaded or not.
    pub fn all(&self) -> Vec<Arc<Shard<M>>> {
        self.by_partition.read().iter().flatten().cloned().collect()
    }

    /// Asks the shard of `partition`.
    pub fn ask(&self, partition: i32, request: M::Request) -> Asked<M> {
        match self.shard(partition) {
            Some(shard) => shard.ask(request),
            None => Asked::Unavailable(Unavailable::NotCoordinator, request),
        }
    }

    fn shard_or_new(&self, partition: i32) -> Arc<Shard<M>> {
        let index = partition.max(0) as usize;
        let mut by_partition = self.by_partition.write();
        if by_partition.len() <= index {
            by_partition.resize_with(index + 1, || None);
        }
        by_partition[index]
            .get_or_insert_with(|| {
                Arc::new(Shard::new(partition, self.clock.clone(), self.timer.slot(), self.outside.clone()))
            })
            .clone()
    }
}

/// Replays until it is done, or the partition is led elsewhere.
async fn load<M: Machine>(
    shard: Arc<Shard<M>>,
    new_machine: Arc<NewMachine<M>>,
    storage: Storage,
    first: FirstAttempt,
) {
    let (epoch, partition) = (storage.leader_epoch(), shard.partition());
    let mut first = Some(first);
    let mut pause = RETRY_PAUSE;
    loop {
        let (loading, new_machine, storage) = (shard.clone(), new_machine.clone(), storage.clone());
        let replay = move || loading.load(new_machine(partition), storage);
        let loaded = task::spawn_blocking("coordinator load", replay).await.unwrap_or_else(|error| {
            tracing::error!(partition, %error, "the replay of a coordinator partition panicked, will be tried again");
            shard.load_failed(epoch)
        });
        first.take();
        if loaded != Loaded::Failed {
            return;
        }
        task::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
        if !shard.begin_again(epoch) {
            return;
        }
    }
}
