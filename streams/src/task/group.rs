//! The partitions of a task: which record is next, and whether the task should wait for more (PartitionGroup).
//! Called by the task alone. Never decodes: queues do.

use super::context::Context;
use super::errors::TaskError;
use super::heap::Heap;
use super::queue::Queue;

/// `max.task.idle.ms` that never waits.
const NEVER_WAIT: i64 = -1;

struct Slot {
    queue: Box<dyn Queue>,
    /// How many records the broker has beyond what was fetched; None if it has not said so.
    lag: Option<i64>,
    /// Until when to wait for more, once there are known to be none.
    deadline: Option<i64>,
}

pub(crate) struct Group {
    slots: Vec<Slot>,
    by_time: Heap<usize>,
    max_idle_ms: i64,
    /// How often a record was let pass though a partition had none.
    enforced: u64,
}

impl Group {
    pub(crate) fn new(max_idle_ms: i64) -> Group {
        Group { slots: Vec::new(), by_time: Heap::new(), max_idle_ms, enforced: 0 }
    }

    pub(crate) fn add_queue(&mut self, queue: Box<dyn Queue>) {
        self.slots.push(Slot { queue, lag: None, deadline: None });
    }

    pub(crate) fn add(
        &mut self,
        input: usize,
        push: impl FnOnce(&mut dyn Queue),
        context: &mut Context,
    ) -> Result<(), TaskError> {
        let queue = &mut self.slots[input].queue;
        let was_empty = queue.is_empty();
        push(queue.as_mut());
        queue.refresh(context)?;
        if was_empty && !queue.is_empty() {
            self.by_time.push(queue.head_timestamp(), input);
        }
        Ok(())
    }

    pub(crate) fn has_records(&self) -> bool {
        self.by_time.len() > 0
    }

    pub(crate) fn buffered(&self, input: usize) -> usize {
        self.slots[input].queue.len()
    }

    pub(crate) fn head_offset(&self, input: usize) -> Option<i64> {
        self.slots[input].queue.head_offset()
    }

    pub(crate) fn partition_time(&self, input: usize) -> i64 {
        self.slots[input].queue.partition_time()
    }

    pub(crate) fn set_partition_time(&mut self, input: usize, timestamp: i64) {
        self.slots[input].queue.set_partition_time(timestamp);
    }

    pub(crate) fn set_lag(&mut self, input: usize, lag: Option<i64>) {
        // Before the start there are no queues, and nothing to wait for.
        if let Some(slot) = self.slots.get_mut(input) {
            slot.lag = lag;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.queue.clear());
        self.by_time = Heap::new();
    }

    /// Forgets what waits of one partition, for which nothing waits any more.
    pub(crate) fn clear_input(&mut self, input: usize) {
        let Some(slot) = self.slots.get_mut(input) else { return };
        slot.queue.clear();
        slot.lag = Some(0);
        self.by_time = Heap::new();
        for (place, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.queue.is_empty()) {
            self.by_time.push(slot.queue.head_timestamp(), place);
        }
    }

    /// PartitionGroup.readyToProcess: an empty partition is waited for while the broker has more, and a while longer.
    pub(crate) fn is_ready(&mut self, now: i64) -> bool {
        if self.max_idle_ms == NEVER_WAIT {
            return true;
        }
        let (mut queued, mut enforced) = (false, false);
        for slot in &mut self.slots {
            if !slot.queue.is_empty() {
                slot.deadline = None;
                queued = true;
                continue;
            }
            if slot.lag != Some(0) {
                slot.deadline = None;
                return false;
            }
            let deadline = *slot.deadline.get_or_insert(now.saturating_add(self.max_idle_ms));
            if now < deadline {
                return false;
            }
            enforced = true;
        }
        self.enforced += u64::from(queued && enforced);
        queued || !enforced
    }

    pub(crate) fn enforced(&self) -> u64 {
        self.enforced
    }

    /// Takes out the record with the smallest time: its partition, time and offset.
    pub(crate) fn next(&mut self, context: &mut Context) -> Result<Option<(usize, i64, i64)>, TaskError> {
        let Some((_, input)) = self.by_time.pop() else { return Ok(None) };
        let queue = &mut self.slots[input].queue;
        let (timestamp, offset) = queue.take(context)?;
        if !queue.is_empty() {
            self.by_time.push(queue.head_timestamp(), input);
        }
        context.take_time(timestamp);
        Ok(Some((input, timestamp, offset)))
    }

    pub(crate) fn queue(&mut self, input: usize) -> &mut dyn Queue {
        self.slots[input].queue.as_mut()
    }
}
