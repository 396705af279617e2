//! What happens to logs without a request: retention, checkpoints, flush by time, compaction, removal of deleted
//! files, expiry of producers, another attempt at what could not be opened.
//!
//! One task for each rhythm, started by start.rs; the work runs where blocking is allowed.

use std::sync::Arc;
use std::time::Duration;

use millstream_base_env::task;
use tokio::task::JoinSet;

use crate::coord::leadership;
use crate::node::Node;

/// How often deleted files are looked for; they wait `file.delete.delay.ms`.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);
/// How often logs with `flush.ms` are looked at.
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
    tasks.spawn(repeat(node.clone(), FLUSH_INTERVAL, "flush", flush));
    tasks.spawn(repeat(node.clone(), every("producer.id.expiration.check.interval.ms"), "producers", expire));
    if node.config.flag("log.cleaner.enable") {
        tasks.spawn(repeat(node.clone(), every("log.cleaner.backoff.ms"), "cleaner", clean));
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

fn retain(node: &Node) {
    for partition in node.partitions.all() {
        let before = partition.offsets().log_start;
        match partition.log().apply_retention() {
            Ok(_) if partition.offsets().log_start != before => partition.wake(),
            Ok(_) => {}
            Err(error) => tracing::warn!(topic = %partition.topic(), partition = partition.index(), %error, "retention failed"),
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

fn flush(node: &Node) {
    for partition in node.partitions.all() {
        if !partition.log().is_flush_due() {
            continue;
        }
        if let Err(error) = partition.log().flush() {
            tracing::warn!(topic = %partition.topic(), partition = partition.index(), %error, "flush failed");
        }
    }
}

fn expire(node: &Node) {
    for partition in node.partitions.all() {
        partition.log().expire_producers();
    }
}

fn clean(node: &Node) {
    let map_bytes = usize::try_from(node.number("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX);
    let bytes_per_second = node.decimal("log.cleaner.io.max.bytes.per.second");
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
