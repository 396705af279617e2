//! A file system in memory that loses power, fills up and fails on order.
//!
//! It keeps what a real one may keep: a file's content is durable up to its last `sync`, a folder's entries
//! up to its last `sync_dir`. At power loss each file keeps a random number of its later writes, the last one
//! torn, and each folder a random number of its later entries changes, in order; the generator is seeded.
//! A killed process is simpler: nothing is lost, the disk is handed to the next life as it is.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::disk::{Entry, OpenMode, Space};

/// An operation that a test can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write into a file.
    Write,
    /// A sync of a file.
    Sync,
    /// A read of a file.
    Read,
    /// A rename.
    Rename,
    /// An open of a file, which may make it.
    Open,
    /// A removal.
    Remove,
    /// A cut of a file.
    SetLength,
}

/// A failure that was ordered.
#[derive(Clone, Copy, Debug)]
struct Failure {
    operation: Operation,
    errno: i32,
    /// How many of its kind go well before.
    after: u64,
}

/// The disk. Shared as `Arc`, through [`crate::Disk::Faulty`].
#[derive(Debug)]
pub struct FaultyDisk {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: SmallRng,
    files: BTreeMap<u64, Content>,
    /// What stands where now.
    entries: BTreeMap<PathBuf, Node>,
    /// What would stand where after losing power now.
    durable: BTreeMap<PathBuf, Node>,
    /// Changes of entries since the last sync of their folder, oldest first.
    changes: Vec<Change>,
    locks: Vec<PathBuf>,
    next_file: u64,
    capacity: u64,
    powered: bool,
    /// Files opened before the power was lost belong to an earlier life.
    life: u64,
    failures: Vec<Failure>,
    crash: Option<Crash>,
    renames: u64,
    mutations: u64,
    now_ms: i64,
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    AtRename(u64),
    AtMutation(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync, oldest first.
    later: Vec<Later>,
    modified_ms: i64,
}

#[derive(Debug)]
enum Later {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// An open file of a [`FaultyDisk`].
#[derive(Clone, Debug)]
pub struct FaultyFile {
    disk: Arc<FaultyDisk>,
    file: u64,
    life: u64,
}

/// A held lock of a [`FaultyDisk`].
#[derive(Debug)]
pub struct FaultyLock {
    disk: Arc<FaultyDisk>,
    path: PathBuf,
    life: u64,
}

impl FaultyDisk {
    /// An empty disk without limit; `seed` decides what survives a power loss.
    pub fn new(seed: u64) -> Arc<FaultyDisk> {
        Arc::new(FaultyDisk {
            state: Mutex::new(State {
                rng: SmallRng::seed_from_u64(seed),
                files: BTreeMap::new(),
                entries: BTreeMap::from([(PathBuf::from("/"), Node::Folder)]),
                durable: BTreeMap::from([(PathBuf::from("/"), Node::Folder)]),
                changes: Vec::new(),
                locks: Vec::new(),
                next_file: 1,
                capacity: u64::MAX,
                powered: true,
                life: 0,
                failures: Vec::new(),
                crash: None,
                renames: 0,
                mutations: 0,
                now_ms: 0,
            }),
        })
    }

    /// Takes the power away: every later call fails until [`FaultyDisk::power_on`].
    pub fn power_off(&self) {
        self.state.lock().powered = false;
    }

    /// Gives the power back with what survived.
    pub fn power_on(&self) {
        let mut state = self.state.lock();
        state.survive();
        state.powered = true;
        state.life += 1;
        state.crash = None;
        state.failures.clear();
        state.locks.clear();
    }

    /// The process was killed: nothing is lost but its locks and its open files.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.powered = true;
        state.life += 1;
        state.crash = None;
        state.failures.clear();
        state.locks.clear();
    }

    /// The power goes at the `nth` rename from now on (1 = the next), before it happens.
    pub fn crash_at_rename(&self, nth: u64) {
        let mut state = self.state.lock();
        state.crash = Some(Crash::AtRename(state.renames + nth));
    }

    /// The power goes at the `nth` change of any kind from now on, before it happens.
    pub fn crash_at_mutation(&self, nth: u64) {
        let mut state = self.state.lock();
        state.crash = Some(Crash::AtMutation(state.mutations + nth));
    }

    /// Whether the power is on.
    pub fn is_powered(&self) -> bool {
        self.state.lock().powered
    }

    /// The next `operation` fails with the system's error number `errno` (5 = EIO, 28 = ENOSPC).
    pub fn fail_next(&self, operation: Operation, errno: i32) {
        self.fail_nth(operation, errno, 1);
    }

    /// As [`FaultyDisk::fail_next`], but the `nth` from now on (1 = the next).
    pub fn fail_nth(&self, operation: Operation, errno: i32, nth: u64) {
        self.state.lock().failures.push(Failure { operation, errno, after: nth.saturating_sub(1) });
    }

    /// Takes back every failure that was ordered and has not come yet; answers how many.
    pub fn forgive(&self) -> usize {
        std::mem::take(&mut self.state.lock().failures).len()
    }

    /// The disk holds `bytes` at most; writes beyond fail with ENOSPC, keeping what fitted.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Renames so far.
    pub fn renames(&self) -> u64 {
        self.state.lock().renames
    }

    /// Moves the time that files are stamped with.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.state.lock().now_ms = now_ms;
    }

    pub(crate) fn open(self: &Arc<Self>, path: &Path, mode: OpenMode) -> io::Result<FaultyFile> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.check_failure(Operation::Open)?;
        let file = match state.entries.get(path) {
            Some(Node::File(file)) => *file,
            Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            None if mode == OpenMode::Create => {
                state.check_parent(path)?;
                state.mutate()?;
                let file = state.next_file;
                state.next_file += 1;
                let now_ms = state.now_ms;
                state.files.insert(file, Content { modified_ms: now_ms, ..Content::default() });
                state.change(Change::Put(path.to_path_buf(), Node::File(file)));
                file
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(FaultyFile { disk: Arc::clone(self), file, life: state.life })
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.check_failure(Operation::Read)?;
        match state.entries.get(path) {
            Some(Node::File(file)) => Ok(state.files[file].now.clone()),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        for folder in ancestors {
            match self.create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        if state.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.check_parent(path)?;
        state.mutate()?;
        state.change(Change::Put(path.to_path_buf(), Node::Folder));
        Ok(())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.check_failure(Operation::Rename)?;
        if !state.entries.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.renames += 1;
        if matches!(state.crash, Some(Crash::AtRename(nth)) if state.renames >= nth) {
            state.powered = false;
            return Err(power_is_off());
        }
        state.mutate()?;
        state.change(Change::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.check_failure(Operation::Remove)?;
        match state.entries.get(path) {
            Some(Node::File(_)) => {}
            Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        state.mutate()?;
        state.change(Change::Remove(path.to_path_buf()));
        Ok(())
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        let inside: Vec<PathBuf> = state.entries.keys().filter(|entry| entry.starts_with(path)).cloned().collect();
        if inside.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for entry in inside.into_iter().rev() {
            state.mutate()?;
            state.change(Change::Remove(entry));
        }
        Ok(())
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        state.check_power()?;
        if state.entries.get(path) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.entries.iter().filter(|(entry, _)| entry.parent() == Some(path));
        Ok(inside
            .map(|(entry, node)| Entry {
                name: entry.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                is_dir: *node == Node::Folder,
                length: match node {
                    Node::Folder => 0,
                    Node::File(file) => state.files[file].now.len() as u64,
                },
                modified_ms: match node {
                    Node::Folder => 0,
                    Node::File(file) => state.files[file].modified_ms,
                },
            })
            .collect())
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.state.lock().entries.contains_key(path)
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.check_failure(Operation::Sync)?;
        let (of_folder, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.changes).into_iter().partition(|change| change.folder() == Some(path));
        state.changes = others;
        for change in of_folder {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    pub(crate) fn lock(self: &Arc<Self>, path: &Path) -> io::Result<FaultyLock> {
        self.open(path, OpenMode::Create)?;
        let mut state = self.state.lock();
        if state.locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(path.to_path_buf());
        Ok(FaultyLock { disk: Arc::clone(self), path: path.to_path_buf(), life: state.life })
    }

    pub(crate) fn space(&self) -> Space {
        let state = self.state.lock();
        Space { total: state.capacity, usable: state.capacity.saturating_sub(state.used()) }
    }
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.life == self.life {
            state.locks.retain(|held| *held != self.path);
        }
    }
}

impl FaultyFile {
    pub(crate) fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut state = self.disk.state.lock();
        self.check_life(&state)?;
        state.check_failure(Operation::Write)?;
        state.mutate()?;
        let free = state.capacity.saturating_sub(state.used());
        let now_ms = state.now_ms;
        let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
        content.modified_ms = now_ms;
        let grows = (position + bytes.len() as u64).saturating_sub(content.now.len() as u64);
        let kept = if grows > free { bytes.len().saturating_sub((grows - free) as usize) } else { bytes.len() };
        put(&mut content.now, position, &bytes[..kept]);
        content.later.push(Later::Write(position, bytes[..kept].to_vec()));
        if kept < bytes.len() {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }

    pub(crate) fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        self.check_life(&state)?;
        state.check_failure(Operation::Read)?;
        let content = &state.files[&self.file].now;
        let start = (position as usize).min(content.len());
        let end = (start + into.len()).min(content.len());
        into[..end - start].copy_from_slice(&content[start..end]);
        Ok(end - start)
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.check_life(&state)?;
        state.check_failure(Operation::SetLength)?;
        state.mutate()?;
        let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
        content.now.resize(length as usize, 0);
        content.later.push(Later::Length(length));
        Ok(())
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        self.check_life(&state)?;
        Ok(state.files[&self.file].now.len() as u64)
    }

    pub(crate) fn set_modified(&self, modified_ms: i64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.check_life(&state)?;
        if let Some(content) = state.files.get_mut(&self.file) {
            content.modified_ms = modified_ms;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.check_life(&state)?;
        if let Err(error) = state.check_failure(Operation::Sync) {
            // What a failed fsync leaves in the page cache is marked clean: it looks written, and is not.
            if let Some(content) = state.files.get_mut(&self.file) {
                content.later.clear();
            }
            return Err(error);
        }
        state.mutate()?;
        let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
        content.durable = content.now.clone();
        content.later.clear();
        Ok(())
    }

    fn check_life(&self, state: &State) -> io::Result<()> {
        state.check_power()?;
        if self.life == state.life { Ok(()) } else { Err(power_is_off()) }
    }
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(path, _) => path.parent(),
        }
    }

    fn apply(&self, entries: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Put(path, node) => {
                entries.insert(path.clone(), *node);
            }
            Change::Remove(path) => {
                entries.remove(path);
            }
            Change::Rename(from, to) => {
                let moved: Vec<PathBuf> = entries.keys().filter(|entry| entry.starts_with(from)).cloned().collect();
                for old in moved {
                    let Ok(rest) = old.strip_prefix(from) else { continue };
                    let new = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    if let Some(node) = entries.remove(&old) {
                        entries.insert(new, node);
                    }
                }
            }
        }
    }

    /// After a folder moves, changes still waiting inside it belong to the new place.
    fn moved(&mut self, from: &Path, to: &Path) {
        let follow = |path: &mut PathBuf| {
            if let Ok(rest) = path.strip_prefix(from)
                && !rest.as_os_str().is_empty()
            {
                *path = to.join(rest);
            }
        };
        match self {
            Change::Put(path, _) | Change::Remove(path) => follow(path),
            Change::Rename(source, target) => {
                follow(source);
                follow(target);
            }
        }
    }
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(power_is_off()) }
    }

    fn check_failure(&mut self, operation: Operation) -> io::Result<()> {
        let mut due = None;
        for (index, failure) in
            self.failures.iter_mut().enumerate().filter(|(_, failure)| failure.operation == operation)
        {
            match failure.after.checked_sub(1) {
                Some(after) => failure.after = after,
                None => due = due.or(Some(index)),
            }
        }
        match due {
            Some(index) => Err(io::Error::from_raw_os_error(self.failures.remove(index).errno)),
            None => Ok(()),
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.entries.get(parent) != Some(&Node::Folder) => Err(io::ErrorKind::NotFound.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn mutate(&mut self) -> io::Result<()> {
        self.mutations += 1;
        if matches!(self.crash, Some(Crash::AtMutation(nth)) if self.mutations >= nth) {
            self.powered = false;
            return Err(power_is_off());
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        if let Change::Rename(from, to) = &change {
            // Entries that are durable inside a folder move with it; only its own name is at stake.
            for waiting in &mut self.changes {
                waiting.moved(from, to);
            }
        }
        self.changes.push(change);
    }

    fn used(&self) -> u64 {
        let linked = self.entries.values().filter_map(|node| match node {
            Node::File(file) => self.files.get(file),
            Node::Folder => None,
        });
        linked.map(|content| content.now.len() as u64).sum()
    }

    fn survive(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let mut folders: Vec<PathBuf> =
            changes.iter().filter_map(|change| Some(change.folder()?.to_path_buf())).collect();
        folders.sort();
        folders.dedup();
        for folder in folders {
            let of_folder: Vec<&Change> = changes.iter().filter(|change| change.folder() == Some(&folder)).collect();
            let kept = self.rng.random_range(0..=of_folder.len());
            for change in &of_folder[..kept] {
                change.apply(&mut self.durable);
            }
        }
        // An entry whose folder did not survive is unreachable.
        let reachable = self.durable.clone();
        self.durable
            .retain(|path, _| path.ancestors().skip(1).all(|above| reachable.get(above) == Some(&Node::Folder)));
        self.entries = self.durable.clone();
        for content in self.files.values_mut() {
            let later = std::mem::take(&mut content.later);
            let kept = self.rng.random_range(0..=later.len());
            for (index, change) in later.iter().take(kept).enumerate() {
                match change {
                    Later::Length(length) => content.durable.resize(*length as usize, 0),
                    Later::Write(position, bytes) if index + 1 == kept => {
                        let torn = self.rng.random_range(0..=bytes.len());
                        put(&mut content.durable, *position, &bytes[..torn]);
                    }
                    Later::Write(position, bytes) => put(&mut content.durable, *position, bytes),
                }
            }
            content.now = content.durable.clone();
        }
    }
}

fn put(content: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    let start = position as usize;
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;

    fn write(disk: &Disk, path: &str, bytes: &[u8]) -> crate::File {
        let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
        file.write_at(file.length().unwrap(), &[IoSlice::new(bytes)]).unwrap();
        file
    }

    #[test]
    fn what_was_synced_survives_a_power_loss_and_the_rest_survives_in_part() {
        for seed in 0..50 {
            let faulty = FaultyDisk::new(seed);
            let disk = Disk::Faulty(Arc::clone(&faulty));
            disk.create_dir_all(Path::new("/a")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            let file = write(&disk, "/a/x", b"synced");
            file.sync().unwrap();
            disk.sync_dir(Path::new("/a")).unwrap();
            write(&disk, "/a/x", b"-not");
            write(&disk, "/a/y", b"never");
            faulty.power_off();
            assert!(file.length().is_err());
            faulty.power_on();
            let survived = disk.read(Path::new("/a/x")).unwrap();
            assert!(b"synced-not".starts_with(&survived) && survived.len() >= 6, "{survived:?}");
        }
    }

    #[test]
    fn a_full_disk_keeps_what_fitted_and_says_so() {
        let faulty = FaultyDisk::new(1);
        let disk = Disk::Faulty(Arc::clone(&faulty));
        let file = write(&disk, "/x", b"12345");
        faulty.set_capacity(8);
        let error = file.write_at(5, &[IoSlice::new(b"6789a")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.read(Path::new("/x")).unwrap(), b"12345678");
    }

    #[test]
    fn the_power_goes_at_the_named_rename() {
        let faulty = FaultyDisk::new(1);
        let disk = Disk::Faulty(Arc::clone(&faulty));
        write(&disk, "/x", b"1");
        faulty.crash_at_rename(2);
        disk.rename(Path::new("/x"), Path::new("/y")).unwrap();
        disk.rename(Path::new("/y"), Path::new("/z")).unwrap_err();
        assert!(!faulty.is_powered());
        faulty.kill();
        assert!(disk.exists(Path::new("/y")));
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let disk = Disk::Faulty(FaultyDisk::new(1));
        let held = disk.lock(Path::new("/.lock")).unwrap();
        assert_eq!(disk.lock(Path::new("/.lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        disk.lock(Path::new("/.lock")).unwrap();
    }
}
