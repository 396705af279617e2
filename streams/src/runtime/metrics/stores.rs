//! What stores of a task have done and are (Java: `StateStoreMetrics`, `NamedCacheMetrics`, `RocksDBMetrics`).
//!
//! The tag that names a store tells its kind, as in Java: `rocksdb-window-state-id`, `in-memory-state-id`. Calls are counted
//! at any level; `-latency-avg` and `-latency-max` are in nanoseconds and have values from DEBUG on, but for those of commits
//! and restorations.
//!
//! Not done: `put-all` is no call of these stores, and flushes of stores are none of Java 4.3 any more; both are told as they
//! are where nobody calls them. A cache's `hit-ratio` is that of its life at the end of each turn, weighted by the turn's
//! hits, where Java has it at each hit.

use client::metrics::{Metric, Series, Tags, told};

use super::{CACHE, STORE};
use crate::store::tally::{CALLS, Call, Gauge, Scope, StoreTally};

/// Names of a call's rate and of its average and longest latency.
type Names = [&'static str; 3];

/// All calls, by their numbers.
const ALL: [(Call, Names); CALLS] = [
    (Call::Put, ["put-rate", "put-latency-avg", "put-latency-max"]),
    (Call::PutIfAbsent, ["put-if-absent-rate", "put-if-absent-latency-avg", "put-if-absent-latency-max"]),
    (Call::Get, ["get-rate", "get-latency-avg", "get-latency-max"]),
    (Call::Delete, ["delete-rate", "delete-latency-avg", "delete-latency-max"]),
    (Call::All, ["all-rate", "all-latency-avg", "all-latency-max"]),
    (Call::Range, ["range-rate", "range-latency-avg", "range-latency-max"]),
    (Call::PrefixScan, ["prefix-scan-rate", "prefix-scan-latency-avg", "prefix-scan-latency-max"]),
    (Call::Fetch, ["fetch-rate", "fetch-latency-avg", "fetch-latency-max"]),
    (Call::Remove, ["remove-rate", "remove-latency-avg", "remove-latency-max"]),
    (Call::Commit, ["commit-rate", "commit-latency-avg", "commit-latency-max"]),
    (Call::Restore, ["restore-rate", "restore-latency-avg", "restore-latency-max"]),
];
/// Of calls that nobody makes.
const NEVER: [Names; 2] = [
    ["flush-rate", "flush-latency-avg", "flush-latency-max"],
    ["put-all-rate", "put-all-latency-avg", "put-all-latency-max"],
];

/// Whether a store of that kind has such a call.
fn has(scope: Scope, call: Call) -> bool {
    match call {
        Call::Put | Call::Commit | Call::Restore => true,
        Call::Fetch => scope != Scope::Keys,
        Call::Remove => scope == Scope::Sessions,
        _ => scope == Scope::Keys,
    }
}

#[derive(Default)]
struct OfCall {
    count: Series,
    took: Series,
}

/// Bytes of which the rows tell how many there were since they were opened.
struct Moved {
    total: &'static str,
    rate: &'static str,
    before: Option<f64>,
    bytes: Series,
}

impl Moved {
    fn new(total: &'static str, rate: &'static str) -> Moved {
        Moved { total, rate, before: None, bytes: Series::default() }
    }
}

pub(super) struct OfStore {
    name: String,
    scope: Scope,
    is_on_disk: bool,
    calls: [OfCall; CALLS],
    ages: Series,
    iterated: Series,
    held: (Series, Series),
    moved: [Moved; 2],
    gauges: Vec<Gauge>,
    pub is_cached: bool,
    pub cached_bytes: f64,
    /// Found in the cache, and not, since the task began.
    looked_up: (f64, f64),
    hit_ratio: Series,
}

impl OfStore {
    pub fn new(tally: &StoreTally) -> OfStore {
        OfStore {
            name: tally.name.clone(),
            scope: tally.scope(),
            is_on_disk: tally.is_on_disk,
            calls: Default::default(),
            ages: Series::default(),
            iterated: Series::default(),
            held: Default::default(),
            moved: [
                Moved::new("bytes-read-total", "bytes-read-rate"),
                Moved::new("bytes-written-total", "bytes-written-rate"),
            ],
            gauges: Vec::new(),
            is_cached: tally.is_cached.get(),
            cached_bytes: 0.0,
            looked_up: (0.0, 0.0),
            hit_ratio: Series::default(),
        }
    }

    pub fn note(&mut self, tally: &StoreTally, now_ms: i64) {
        for ((call, _), of_call) in ALL.iter().zip(&mut self.calls) {
            let (count, took) = tally.of(*call);
            let count = count.take();
            if count > 0 {
                of_call.count.record(count as f64, now_ms);
            }
            if let Some(taken) = took.take() {
                taken.record(&mut of_call.took, now_ms);
            }
        }
        for (taken, series) in [
            (tally.ages.take(), &mut self.ages),
            (tally.iterated.take(), &mut self.iterated),
            (tally.held.0.take(), &mut self.held.0),
            (tally.held.1.take(), &mut self.held.1),
        ] {
            if let Some(taken) = taken {
                taken.record(series, now_ms);
            }
        }
        self.note_cache(tally, now_ms);
        if let Some(told) = tally.gauges.take() {
            self.note_gauges(told, now_ms);
        }
    }

    fn note_cache(&mut self, tally: &StoreTally, now_ms: i64) {
        self.cached_bytes = tally.cached_bytes.get() as f64;
        let (hits, misses) = (tally.looked_up.0.take() as f64, tally.looked_up.1.take() as f64);
        self.looked_up.0 += hits;
        self.looked_up.1 += misses;
        if hits > 0.0 {
            let ratio = self.looked_up.0 / (self.looked_up.0 + self.looked_up.1);
            self.hit_ratio.record_all(ratio * hits, hits, (ratio, ratio), now_ms);
        }
    }

    fn note_gauges(&mut self, told: Vec<Gauge>, now_ms: i64) {
        let (moved, gauges): (Vec<Gauge>, Vec<Gauge>) =
            told.into_iter().partition(|(name, _)| self.moved.iter().any(|moved| moved.total == *name));
        for (name, total) in moved {
            for moved in self.moved.iter_mut().filter(|moved| moved.total == name) {
                let before = moved.before.replace(total).unwrap_or(0.0);
                if total > before {
                    moved.bytes.record(total - before, now_ms);
                }
            }
        }
        self.gauges = gauges;
    }

    /// Java's `storeLevelTagMap`, by the scopes of the suppliers.
    fn tag(&self) -> &'static str {
        match (self.scope, self.is_on_disk) {
            (Scope::Keys | Scope::Uncounted, true) => "rocksdb-state-id",
            (Scope::Keys | Scope::Uncounted, false) => "in-memory-state-id",
            (Scope::Windows, true) => "rocksdb-window-state-id",
            (Scope::Windows, false) => "in-memory-window-state-id",
            (Scope::Sessions, true) => "rocksdb-session-state-id",
            (Scope::Sessions, false) => "in-memory-session-state-id",
            (Scope::Suppression, _) => "in-memory-suppression-state-id",
        }
    }

    pub fn tell(&self, tags: &Tags, now_ms: i64, all: &mut Vec<Metric>) {
        let mut of_store = tags.clone();
        of_store.insert(self.tag(), self.name.clone());
        let mut values = match self.scope {
            Scope::Uncounted => Vec::new(),
            Scope::Suppression => self.suppression(now_ms),
            Scope::Keys | Scope::Windows | Scope::Sessions => self.values(now_ms),
        };
        if self.is_on_disk {
            for moved in &self.moved {
                values.extend([(moved.total, moved.bytes.total), (moved.rate, moved.bytes.rate(now_ms))]);
            }
        }
        values.extend(self.gauges.iter().copied());
        values.sort_unstable_by_key(|(name, _)| *name);
        all.append(&mut told(STORE, &of_store, &values));
        if self.is_cached {
            let mut of_cache = tags.clone();
            of_cache.insert("record-cache-id", self.name.clone());
            let ratio = &self.hit_ratio;
            let values = [
                ("hit-ratio-avg", ratio.avg(now_ms)),
                ("hit-ratio-max", ratio.max(now_ms)),
                ("hit-ratio-min", ratio.min(now_ms)),
            ];
            all.append(&mut told(CACHE, &of_cache, &values));
        }
    }

    fn values(&self, now_ms: i64) -> Vec<Gauge> {
        let mut values = Vec::new();
        for ((call, [rate, avg, max]), of_call) in ALL.iter().zip(&self.calls) {
            if has(self.scope, *call) {
                let (count, took) = (&of_call.count, &of_call.took);
                values.extend([(*rate, count.rate(now_ms)), (*avg, took.avg(now_ms)), (*max, took.max(now_ms))]);
            }
        }
        for [rate, avg, max] in NEVER.into_iter().take(if self.scope == Scope::Keys { 2 } else { 1 }) {
            values.extend([(rate, 0.0), (avg, f64::NAN), (max, f64::NAN)]);
        }
        values.extend([
            ("record-e2e-latency-avg", self.ages.avg(now_ms)),
            ("record-e2e-latency-max", self.ages.max(now_ms)),
            ("record-e2e-latency-min", self.ages.min(now_ms)),
            ("iterator-duration-avg", self.iterated.avg(now_ms)),
            ("iterator-duration-max", self.iterated.max(now_ms)),
            // No iterator outlives the call that made it.
            ("num-open-iterators", 0.0),
            ("oldest-iterator-open-since-ms", 0.0),
        ]);
        values
    }

    fn suppression(&self, now_ms: i64) -> Vec<Gauge> {
        let (count, size) = &self.held;
        vec![
            ("suppression-buffer-count-avg", count.avg(now_ms)),
            ("suppression-buffer-count-max", count.max(now_ms)),
            ("suppression-buffer-size-avg", size.avg(now_ms)),
            ("suppression-buffer-size-max", size.max(now_ms)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_at_their_numbers() {
        for (number, (call, [rate, ..])) in ALL.iter().enumerate() {
            assert_eq!(*call as usize, number, "{rate}");
        }
    }
}
