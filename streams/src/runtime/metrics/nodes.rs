//! What nodes of a task have done (Java: `ProcessorNodeMetrics`): records of sources, ages of records at sources and at nodes
//! without children, results of suppressions and of closed windows.
//!
//! Ages need no clock of their own: at a source they are as of the time at which the task's turn began, at the other end as
//! of the time at which it ended.

use client::metrics::{Metric, Series, Tags, told};

use super::NODE;
use crate::task::tally::{NodeCounts, NodeTally};

pub(super) struct OfNode {
    node: String,
    kind: NodeCounts,
    records: Series,
    times: Series,
}

impl OfNode {
    pub fn new(tally: &NodeTally) -> OfNode {
        OfNode { node: tally.node.to_string(), kind: tally.kind, records: Series::default(), times: Series::default() }
    }

    /// Takes what was counted until the wall clock was at `ended_ms`.
    pub fn note(&mut self, tally: &NodeTally, ended_ms: i64, now_ms: i64) {
        let records = tally.records.take();
        if records > 0 {
            self.records.record(records as f64, now_ms);
        }
        if let Some(taken) = tally.times.take() {
            let taken = if self.kind == NodeCounts::Terminal { taken.ago(ended_ms) } else { taken };
            taken.record(&mut self.times, now_ms);
        }
    }

    pub fn tell(&self, tags: &Tags, now_ms: i64, all: &mut Vec<Metric>) {
        let mut tags = tags.clone();
        tags.insert("processor-node-id", self.node.clone());
        let (rate, total) = (self.records.rate(now_ms), self.records.total);
        let (avg, min, max) = (self.times.avg(now_ms), self.times.min(now_ms), self.times.max(now_ms));
        let ages = [("record-e2e-latency-avg", avg), ("record-e2e-latency-max", max), ("record-e2e-latency-min", min)];
        let mut values = match self.kind {
            NodeCounts::Source => {
                let mut values = vec![("process-rate", rate), ("process-total", total)];
                values.extend(ages);
                values
            }
            NodeCounts::Terminal => ages.to_vec(),
            NodeCounts::Suppression => vec![("suppression-emit-rate", rate), ("suppression-emit-total", total)],
            NodeCounts::Final => vec![
                ("window-aggregate-final-emit-rate", rate),
                ("window-aggregate-final-emit-total", total),
                ("window-aggregate-final-emit-latency-avg", avg),
                ("window-aggregate-final-emit-latency-max", max),
            ],
        };
        values.sort_unstable_by_key(|(name, _)| *name);
        all.append(&mut told(NODE, &tags, &values));
    }
}
