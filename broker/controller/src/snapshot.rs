//! The state machine behind the log: applies committed entries to the image and publishes it, and writes the
//! image as a snapshot so that the log can be cut.
//!
//! ```text
//! snapshot: length of the header, 4 bytes | header as JSON: last log id, membership | records that make the image
//! ```

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use millstream_base_env::Disk;
use openraft::storage::RaftStateMachine;
use openraft::{
    EmptyNode, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageIOError, StoredMembership,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::publish::Publisher;
use crate::raft_types::{Applied, Change, RaftEntry, RaftLogId, RaftStorageError, Types};
use crate::record;
use crate::room::{self, Room};
use crate::state_file::{self, StateFileError};

/// Clones share the image.
#[derive(Clone)]
pub(crate) struct ImageMachine {
    shared: Arc<Shared>,
}

struct Shared {
    publisher: Arc<Publisher>,
    disk: Disk,
    path: PathBuf,
    state: Mutex<State>,
    room: Room,
}

#[derive(Clone)]
struct State {
    image: Arc<Image>,
    header: Header,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Header {
    last_applied: Option<RaftLogId>,
    membership: StoredMembership<u64, EmptyNode>,
}

const LENGTH_BYTES: usize = 4;

impl ImageMachine {
    /// The image of the snapshot at `path`, an empty one when there is none.
    pub(crate) fn load(
        disk: Disk,
        path: PathBuf,
        publisher: Arc<Publisher>,
        room: Room,
    ) -> Result<Self, StateFileError> {
        let state = match state_file::read(&disk, &path)? {
            None => State { image: Arc::default(), header: Header::default() },
            Some(content) => {
                decode(&content).map_err(|reason| StateFileError::Damaged { path: path.clone(), reason })?
            }
        };
        publisher.publish(state.image.clone());
        Ok(ImageMachine { shared: Arc::new(Shared { publisher, disk, path, state: Mutex::new(state), room }) })
    }

    /// Id of the last entry in the image.
    pub(crate) fn last_applied(&self) -> Option<RaftLogId> {
        self.shared.state.lock().header.last_applied
    }

    fn apply_entry(state: &mut State, entry: RaftEntry) -> Result<(), String> {
        let log_id = entry.log_id;
        let mut image = match &entry.payload {
            EntryPayload::Normal(Change(bytes)) => {
                let records = record::decode_all(bytes).map_err(|error| error.to_string())?;
                state.image.apply(&records).map_err(|error| error.to_string())?
            }
            EntryPayload::Blank => (*state.image).clone(),
            EntryPayload::Membership(membership) => {
                state.header.membership = StoredMembership::new(Some(log_id), membership.clone());
                (*state.image).clone()
            }
        };
        image.offset = log_id.index as i64;
        image.epoch = log_id.leader_id.term as i32;
        image.controller_id = log_id.leader_id.node_id as i32;
        state.image = Arc::new(image);
        state.header.last_applied = Some(log_id);
        Ok(())
    }

    fn snapshot_of(state: &State, content: Vec<u8>) -> Snapshot<Types> {
        let snapshot_id = match state.header.last_applied {
            Some(log_id) => format!("{}-{}", log_id.index, log_id.leader_id.term),
            None => "empty".to_owned(),
        };
        let meta = SnapshotMeta {
            last_log_id: state.header.last_applied,
            last_membership: state.header.membership.clone(),
            snapshot_id,
        };
        Snapshot { meta, snapshot: Box::new(Cursor::new(content)) }
    }
}

fn encode(state: &State) -> Vec<u8> {
    let header = serde_json::to_vec(&state.header).expect("log ids and sets of numbers are always valid JSON");
    let mut content = BytesMut::new();
    content.extend_from_slice(&(header.len() as u32).to_be_bytes());
    content.extend_from_slice(&header);
    record::encode_all(&state.image.records(), &mut content);
    content.to_vec()
}

fn decode(content: &[u8]) -> Result<State, String> {
    let (length, rest) = content.split_at_checked(LENGTH_BYTES).ok_or("it is cut short")?;
    let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
    let (header, records) = rest.split_at_checked(length).ok_or("its header is cut short")?;
    let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let records = record::decode_all(records).map_err(|error| error.to_string())?;
    let mut image = Image::default().apply(&records).map_err(|error| error.to_string())?;
    if let Some(log_id) = header.last_applied {
        image.offset = log_id.index as i64;
        image.epoch = log_id.leader_id.term as i32;
        image.controller_id = log_id.leader_id.node_id as i32;
    }
    Ok(State { image: Arc::new(image), header })
}

fn failed(verb: ErrorVerb, error: impl std::fmt::Display) -> RaftStorageError {
    let cause = openraft::AnyError::error(error.to_string());
    StorageIOError::new(ErrorSubject::StateMachine, verb, cause).into()
}

impl RaftStateMachine<Types> for ImageMachine {
    type SnapshotBuilder = ImageMachine;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<RaftLogId>, StoredMembership<u64, EmptyNode>), RaftStorageError> {
        let state = self.shared.state.lock();
        Ok((state.header.last_applied, state.header.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, RaftStorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        let mut state = self.shared.state.lock();
        for entry in entries {
            let index = entry.log_id.index;
            Self::apply_entry(&mut state, entry)
                .map_err(|error| failed(ErrorVerb::Write, format!("entry {index} cannot be applied: {error}")))?;
            answers.push(Applied { offset: index as i64 });
        }
        self.shared.publisher.publish(state.image.clone());
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> ImageMachine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, RaftStorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, EmptyNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), RaftStorageError> {
        let content = snapshot.into_inner();
        let installed = decode(&content).map_err(|error| failed(ErrorVerb::Read, error))?;
        write(&self.shared, content).await?;
        let image = installed.image.clone();
        *self.shared.state.lock() = installed;
        self.shared.publisher.publish(image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, RaftStorageError> {
        let content =
            state_file::read(&self.shared.disk, &self.shared.path).map_err(|error| failed(ErrorVerb::Read, error))?;
        let Some(content) = content else { return Ok(None) };
        let state = decode(&content).map_err(|error| failed(ErrorVerb::Read, error))?;
        Ok(Some(Self::snapshot_of(&state, content)))
    }
}

impl RaftSnapshotBuilder<Types> for ImageMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, RaftStorageError> {
        // The image is immutable: whatever is applied meanwhile goes into another one.
        let state = self.shared.state.lock().clone();
        let content = encode(&state);
        write(&self.shared, content.clone()).await?;
        Ok(Self::snapshot_of(&state, content))
    }
}

async fn write(shared: &Arc<Shared>, content: Vec<u8>) -> Result<(), RaftStorageError> {
    let content: Arc<[u8]> = content.into();
    let written = shared.room.wait(|| {
        let (shared, content) = (shared.clone(), content.clone());
        async move {
            tokio::task::spawn_blocking(move || state_file::write(&shared.disk, &shared.path, &content))
                .await
                .map_err(std::io::Error::other)?
                .map_err(room::of_file)
        }
    });
    written.await.map_err(|error| failed(ErrorVerb::Write, error))
}
