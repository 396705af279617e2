//! All shards of one coordinator topic on this node, by partition.
//!
//! The replica layer calls [`Shards::lead`] and [`Shards::resign`] when leadership changes; handlers ask by key.

use std::sync::Arc;

use millstream_base_env::{Clock, task};
use millstream_broker_coordinator::step::Machine;
use parking_lot::RwLock;

use crate::coord::shard::{Asked, Outside, Shard, Unavailable};
use crate::coord::storage::Storage;
use crate::coord::timer::Timer;

/// Makes the empty machine of a partition before its log is replayed.
pub type NewMachine<M> = Box<dyn Fn(i32) -> M + Send + Sync>;

/// The shards of one topic.
pub struct Shards<M: Machine> {
    clock: Clock,
    timer: Timer,
    new_machine: NewMachine<M>,
    outside: Arc<Outside<M>>,
    by_partition: RwLock<Vec<Option<Arc<Shard<M>>>>>,
}

impl<M: Machine> Shards<M> {
    /// No shards yet.
    pub fn new(clock: Clock, timer: Timer, new_machine: NewMachine<M>, outside: Outside<M>) -> Self {
        Shards { clock, timer, new_machine, outside: Arc::new(outside), by_partition: RwLock::new(Vec::new()) }
    }

    /// This node leads `partition` from now on: replays its log (an empty one at once, another on a thread that
    /// may block) and takes requests.
    pub fn lead(&self, partition: i32, storage: Storage) {
        let shard = self.shard_or_new(partition);
        if !shard.begin_load(storage.leader_epoch()) {
            return;
        }
        let machine = (self.new_machine)(partition);
        if storage.is_empty() {
            shard.load(machine, storage);
        } else {
            task::spawn_blocking("coordinator load", move || shard.load(machine, storage));
        }
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
