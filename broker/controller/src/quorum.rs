//! openraft's wiring: opens the metadata log, starts the single voter and brings it to leadership.
//!
//! A lone voter needs no clock: ticks, heartbeats and elections by timeout are off, the one election is asked for.
//! A voter that led before it stopped goes on leading under the same term, without a vote to be written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use millstream_base_env::{Clock, Disk};
use millstream_broker_log::{LogConfig, LogDir};
use openraft::error::Fatal;
use openraft::storage::RaftLogStorage;
use openraft::{Config, EmptyNode, SnapshotPolicy};

use crate::controller::StartError;
use crate::publish::Publisher;
use crate::raft_log::RaftLog;
use crate::raft_net::Alone;
use crate::raft_types::{Applied, Change, Raft};
use crate::room::Room;
use crate::snapshot::ImageMachine;
use crate::state_file::{HardState, StateFileError};

/// Topic of the metadata log.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka's id of that topic.
const METADATA_TOPIC_ID: uuid::Uuid = uuid::Uuid::from_u128(1);
const STATE_FILE: &str = "raft-state";
const SNAPSHOT_FILE: &str = "image-snapshot";
/// A folder inside the metadata folder that takes what Apache Kafka left there.
pub(crate) const APACHE_FOLDER: &str = "apache-kafka";

/// Entries after which the image is written and the log cut.
const SNAPSHOT_EVERY: u64 = 5_000;
/// Nothing happens on a timer; openraft wants numbers all the same and its ticker sleeps for the first.
const HEARTBEAT_MS: u64 = 3_600_000;

/// The running voter.
pub(crate) struct Quorum {
    pub(crate) raft: Raft,
    log: RaftLog,
    node_id: u64,
    room: Room,
}

/// What DescribeQuorum shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// Node id of the leader, -1 for none.
    pub leader_id: i32,
    /// Raft term.
    pub leader_epoch: i32,
    /// Offset behind the last committed entry.
    pub high_watermark: i64,
    /// Offset behind the last entry.
    pub log_end_offset: i64,
}

/// What openraft is asked for. Boxed, so that its generic code is compiled in this crate once, and not again in each program
/// that awaits it.
type Asked<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Quorum {
    /// Opens everything, and answers when this node leads and the image holds all that was committed.
    pub(crate) fn start(
        disk: Disk,
        clock: Clock,
        log_dir: Arc<LogDir>,
        node_id: i32,
        publisher: Arc<Publisher>,
    ) -> Asked<'static, Result<Quorum, StartError>> {
        Box::pin(Quorum::started(disk, clock, log_dir, node_id, publisher))
    }

    async fn started(
        disk: Disk,
        clock: Clock,
        log_dir: Arc<LogDir>,
        node_id: i32,
        publisher: Arc<Publisher>,
    ) -> Result<Quorum, StartError> {
        let room = Room::default();
        let opened = {
            let (disk, publisher, room) = (disk.clone(), publisher.clone(), room.clone());
            tokio::task::spawn_blocking(move || open(disk, clock, log_dir, publisher, room))
                .await
                .map_err(|error| StartError::Quorum(error.to_string()))??
        };
        let (mut log, machine) = opened;
        let node_id = node_id as u64;
        let empty =
            log.get_log_state().await.map_err(|error| StartError::Quorum(error.to_string()))?.last_log_id.is_none();
        let replayed = machine.last_applied();
        let raft = Raft::new(node_id, Arc::new(config()?), Alone, log.clone(), machine)
            .await
            .map_err(|error| StartError::Quorum(error.to_string()))?;
        if empty && replayed.is_none() {
            raft.initialize(BTreeMap::from([(node_id, EmptyNode::default())]))
                .await
                .map_err(|error| StartError::Quorum(error.to_string()))?;
        } else {
            // Does nothing when it leads already.
            raft.trigger().elect().await.map_err(|error| StartError::Quorum(error.to_string()))?;
        }
        let quorum = Quorum { raft, log, node_id, room };
        quorum.caught_up().await?;
        Ok(quorum)
    }

    /// Waits until this node leads and has applied all that its log held at start.
    async fn caught_up(&self) -> Result<(), StartError> {
        let last = self.log.log_end_offset() - 1;
        let applied = |index: Option<u64>| index.is_some_and(|index| index as i64 >= last);
        self.raft
            .wait(None)
            .metrics(
                |metrics| {
                    let led = metrics.current_leader == Some(self.node_id);
                    led && applied(metrics.last_applied.map(|log_id| log_id.index))
                },
                "this node leads and has applied its log",
            )
            .await
            .map(drop)
            .map_err(|error| StartError::Quorum(error.to_string()))
    }

    /// Commits one change; answers once it is on disk and in the image.
    pub(crate) fn write(&self, change: Vec<u8>) -> Asked<'_, Result<Applied, String>> {
        Box::pin(async move {
            let written = self.raft.client_write(Change(change)).await.map_err(|error| error.to_string())?;
            Ok(written.data)
        })
    }

    /// Completes when openraft ended by itself: its storage failed, or a record could not be applied. Says why.
    pub(crate) async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            match &metrics.borrow_and_update().running_state {
                Ok(()) => {}
                Err(Fatal::Stopped) => break,
                Err(fatal) => return fatal.to_string(),
            }
            if metrics.changed().await.is_err() {
                break;
            }
        }
        // It was told to stop.
        std::future::pending().await
    }

    /// Completes when the metadata log has waited for `time` for room on a full disk.
    pub(crate) async fn lacking_room_for(&self, time: std::time::Duration) {
        self.room.lacking_for(time).await;
    }

    /// A full disk is waited for no longer.
    pub(crate) fn end_waiting(&self) {
        self.room.end();
    }

    /// Ends it.
    pub(crate) fn stop(&self) -> Asked<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.raft.shutdown().await {
                tracing::error!(%error, "metadata quorum did not stop cleanly");
            }
        })
    }

    pub(crate) fn state(&self) -> QuorumState {
        let metrics = self.raft.metrics().borrow().clone();
        QuorumState {
            leader_id: metrics.current_leader.map_or(-1, |leader| leader as i32),
            leader_epoch: metrics.current_term as i32,
            high_watermark: metrics.last_applied.map_or(0, |log_id| log_id.index as i64 + 1),
            log_end_offset: self.log.log_end_offset(),
        }
    }
}

fn config() -> Result<Config, StartError> {
    let config = Config {
        cluster_name: METADATA_TOPIC.to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: HEARTBEAT_MS * 2,
        election_timeout_max: HEARTBEAT_MS * 3,
        enable_tick: false,
        enable_heartbeat: false,
        enable_elect: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Quorum(error.to_string()))
}

fn open(
    disk: Disk,
    clock: Clock,
    log_dir: Arc<LogDir>,
    publisher: Arc<Publisher>,
    room: Room,
) -> Result<(RaftLog, ImageMachine), StartError> {
    let folder = log_dir.path().join(format!("{METADATA_TOPIC}-0"));
    let state_path = folder.join(STATE_FILE);
    let state = HardState::load(&disk, &state_path)?;
    if state.is_none() {
        set_aside_apache(&disk, &folder)?;
    }
    let config = Arc::new(LogConfig {
        // Entries are as large as a request makes them; the records inside were bounded by `decide`.
        max_message_bytes: i32::MAX as u32,
        retention_ms: -1,
        retention_bytes: -1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    });
    let log = log_dir.open_partition(METADATA_TOPIC, 0, METADATA_TOPIC_ID, config)?;
    let machine = ImageMachine::load(disk.clone(), folder.join(SNAPSHOT_FILE), publisher, room.clone())?;
    let state = match state {
        Some(state) => state,
        // The vote is written before the first entry is acknowledged.
        None if log.log_end_offset() > 1 || machine.last_applied().is_some() => {
            return Err(StartError::Damaged {
                path: state_path,
                reason: "it is missing, but the metadata log beside it is not empty".to_owned(),
            });
        }
        None => HardState::default(),
    };
    let first_wanted = machine.last_applied().map_or(0, |log_id| log_id.index as i64 + 1);
    if log.log_start_offset() > first_wanted {
        return Err(StartError::Damaged {
            path: folder.join(SNAPSHOT_FILE),
            reason: format!(
                "it ends at offset {first_wanted}, but the metadata log beside it starts at {}",
                log.log_start_offset()
            ),
        });
    }
    Ok((RaftLog::new(log, log_dir, disk, clock, state_path, state, room), machine))
}

/// Apache Kafka keeps its own metadata log under the same name. In a folder copied from it the files are moved
/// into a folder of their own, where they harm nobody and can be moved back from.
fn set_aside_apache(disk: &Disk, folder: &Path) -> Result<(), StartError> {
    if !disk.exists(&folder.join("quorum-state")) {
        return Ok(());
    }
    let aside = folder.join(APACHE_FOLDER);
    let failed = |doing: &'static str, path: PathBuf| {
        move |source| StartError::State(StateFileError::Io { doing, path, source })
    };
    disk.create_dir_all(&aside).map_err(failed("cannot make", aside.clone()))?;
    let mut entries = disk.list(folder).map_err(failed("cannot list", folder.to_owned()))?;
    // `quorum-state` goes last: a crash in between finds it and goes on.
    entries.sort_by_key(|entry| entry.name == "quorum-state");
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let from = folder.join(&entry.name);
        disk.rename(&from, &aside.join(&entry.name)).map_err(failed("cannot move", from.clone()))?;
    }
    disk.sync_dir(folder).map_err(failed("cannot sync", folder.to_owned()))?;
    tracing::warn!(folder = %aside.display(), "metadata log of Apache Kafka set aside");
    Ok(())
}
