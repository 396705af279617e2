//! What happens to logs without a request: retention, checkpoints, flush by time, compaction, removal of deleted
//! files, expiry of producers, another attempt at what could not be opened.
//!
//! One task for each rhythm, started by start.rs; the work runs where blocking is allowed, and ends between two
//! partitions when the broker stops.

use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::task;
use tokio::task::JoinSet;

use crate::coord::leadership;
use crate::node::Node;
use crate::replica::partition::Partition;

/// How often deleted files are looked for; they wait `file.delete.delay.ms`.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);
/// How often logs are looked at for sealed segments to flush, and at most for `flush.ms`, where
/// `log.flush.scheduler.interval.ms` says nothing.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often partitions that could not be opened are tried again, and offline log directories reported.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Starts every task; they end when the set is dropped.
pub fn start(node: &Arc<Node>) -> JoinSet<()> {
    let every = |key: &str| Duration::from_millis(node.config.number(key).max(1) as u64);
    let mut tasks = JoinSet::new();
    tasks.spawn(repeat(node.clone(), every("log.retention.check.interval.ms"), "retention", retain));
    tasks.spawn(repeat(node.clone(), every("log.flush.offset.checkpoint.interval.ms"), "checkpoint", checkpoint));
    tasks.spawn(repeat(node.clone(), PURGE_INTERVAL, "purge", purge));
    tasks.spawn(reopen(node.clone()));
    tasks.spawn(flush_in_time(node.clone()));
    tasks.spawn(repeat(node.clone(), every("producer.id.expiration.check.interval.ms"), "producers", expire));
    if node.config.flag("log.cleaner.enable") {
        tasks.spawn(keep_cleaning(node.clone(), every("log.cleaner.backoff.ms")));
    }
    tasks
}

async fn repeat(node: Arc<Node>, every: Duration, name: &'static str, work: fn(&Node)) {
    loop {
        task::sleep(every).await;
        let node = node.clone();
        if let Err(error) = task::spawn_blocking(name, move || work(&node)).await {
            tracing::error!(name, %error, "background work panicked");
        }
    }
}

/// Opens what could not be opened when its topic came, once descriptors or space are there again, and tells the
/// controller which log directories are left, so that it places nothing in those that failed (KIP-858).
async fn reopen(node: Arc<Node>) {
    let mut told = node.partitions.online_directory_ids();
    loop {
        task::sleep(REOPEN_INTERVAL).await;
        let opening = node.clone();
        let opened = task::spawn_blocking("reopen", move || {
            for change in opening.partitions.open_missing() {
                leadership::changed(&opening, change);
            }
        });
        if let Err(error) = opened.await {
            tracing::error!(%error, "opening partitions again panicked");
        }
        let online = node.partitions.online_directory_ids();
        if online != told {
            told.clone_from(&online);
            if let Err(refusal) = node.controller.register_directories(online).await {
                tracing::error!(?refusal, "the controller cannot be told which log directories are offline");
            }
        }
    }
}

/// Flushes each log within its `flush.ms`; with `log.flush.scheduler.interval.ms` in that rhythm, as Apache does.
async fn flush_in_time(node: Arc<Node>) {
    let scheduled = node.config.number("log.flush.scheduler.interval.ms");
    let scheduled = (scheduled != i64::MAX).then(|| Duration::from_millis(scheduled.max(1) as u64));
    let mut wait = FLUSH_INTERVAL;
    loop {
        task::sleep(scheduled.unwrap_or(wait)).await;
        let node = node.clone();
        wait = match task::spawn_blocking("flush", move || flush(&node)).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(name = "flush", %error, "background work panicked");
                FLUSH_INTERVAL
            }
        };
    }
}

/// Keeps as many cleaners at work as `log.cleaner.threads` says now; each ends when nothing is left to clean.
async fn keep_cleaning(node: Arc<Node>, every: Duration) {
    let mut cleaners = JoinSet::new();
    loop {
        task::sleep(every).await;
        while let Some(ended) = cleaners.try_join_next() {
            if let Ok(Err(error)) = ended {
                tracing::error!(name = "cleaner", %error, "background work panicked");
            }
        }
        let threads = usize::try_from(node.number("log.cleaner.threads")).unwrap_or(0);
        while cleaners.len() < threads {
            let node = node.clone();
            cleaners.spawn(task::spawn_blocking("cleaner", move || clean(&node, threads)));
        }
    }
}

fn retain(node: &Node) {
    for partition in partitions(node) {
        let before = partition.offsets().log_start;
        match partition.log().apply_retention() {
            Ok(_) if partition.offsets().log_start != before => partition.wake(),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(topic = %partition.topic(), partition = partition.index(), %error, "retention failed")
            }
        }
    }
}

fn checkpoint(node: &Node) {
    for dir in node.partitions.dirs() {
        if let Err(error) = dir.checkpoint() {
            tracing::warn!(dir = %dir.path().display(), %error, "checkpoint failed");
        }
    }
}

fn purge(node: &Node) {
    for dir in node.partitions.dirs() {
        if let Err(error) = dir.purge() {
            tracing::warn!(dir = %dir.path().display(), %error, "removal of deleted files failed");
        }
    }
}

/// Answers when to look again.
fn flush(node: &Node) -> Duration {
    let mut look_in_ms = FLUSH_INTERVAL.as_millis() as i64;
    for partition in partitions(node) {
        let log = partition.log();
        if log.is_flush_due()
            && let Err(error) = log.flush()
        {
            tracing::warn!(topic = %partition.topic(), partition = partition.index(), %error, "flush failed");
        }
        look_in_ms = look_in_ms.min(log.flush_look_in_ms());
    }
    Duration::from_millis(look_in_ms as u64)
}

/// The partitions one after the other, until the broker stops.
fn partitions(node: &Node) -> impl Iterator<Item = Arc<Partition>> {
    node.partitions.all().into_iter().take_while(|_| node.is_ready())
}

fn expire(node: &Node) {
    for partition in partitions(node) {
        partition.log().expire_producers();
    }
}

/// One of `threads` cleaners, which share memory and speed.
fn clean(node: &Node, threads: usize) {
    let map_bytes = usize::try_from(node.number("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX) / threads;
    let bytes_per_second = node.decimal("log.cleaner.io.max.bytes.per.second") / threads as f64;
    for dir in node.partitions.dirs() {
        loop {
            match dir.clean_one(map_bytes, bytes_per_second) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(dir = %dir.path().display(), %error, "compaction failed");
                    break;
                }
            }
        }
    }
}
