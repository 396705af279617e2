//! Files. `Disk` is the real file system or a faulty one that a test controls.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::faulty::{FaultyDisk, FaultyFile, FaultyLock};

/// A cheap handle on a file system.
#[derive(Clone, Debug, Default)]
pub enum Disk {
    /// The machine's own.
    #[default]
    Real,
    /// One in memory that loses, tears and fails as a test orders.
    Faulty(Arc<FaultyDisk>),
}

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read only; must exist.
    Read,
    /// Read and write; must exist.
    ReadWrite,
    /// Read and write; made when it does not exist, kept as it is when it does.
    Create,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bare name.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes (0 for a folder).
    pub length: u64,
    /// Last modification, milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub total: u64,
    /// What an unprivileged process may still use.
    pub usable: u64,
}

/// Distance between the pages that [`File::residence`] looks at: what Linux reads ahead unless told otherwise.
pub const RESIDENCE_STRIDE: usize = 128 * 1024;

/// Where bytes of a file lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// In the page cache.
    Memory,
    /// Some of them only on the disk.
    Disk,
}

/// An open file. All reads and writes name their position; there is no cursor.
#[derive(Clone, Debug)]
pub enum File {
    /// A file of the machine.
    Real(Arc<std::fs::File>),
    /// A file of a faulty disk.
    Faulty(FaultyFile),
}

/// An exclusive lock on a folder, released when dropped or when the process ends.
#[derive(Debug)]
pub struct Lock {
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop only")]
enum Held {
    Real(std::fs::File),
    Faulty(FaultyLock),
}

impl Disk {
    /// Opens the file at `path`.
    pub fn open(&self, path: &Path, mode: OpenMode) -> io::Result<File> {
        match self {
            Disk::Real => {
                let mut options = std::fs::OpenOptions::new();
                options.read(true).write(mode != OpenMode::Read).create(mode == OpenMode::Create);
                Ok(File::Real(Arc::new(options.open(path)?)))
            }
            Disk::Faulty(disk) => Ok(File::Faulty(disk.open(path, mode)?)),
        }
    }

    /// The whole content of the file at `path`.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self {
            Disk::Real => std::fs::read(path),
            Disk::Faulty(disk) => disk.read(path),
        }
    }

    /// Makes or overwrites the file at `path`. Not safe against a crash; [`Disk::replace`] is.
    pub fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let file = self.open(path, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_at(0, &[IoSlice::new(content)])
    }

    /// Replaces the file at `path` by `content` so that a crash leaves the old or the new one, never a
    /// mixture: write beside it, sync, rename, sync the folder.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let beside = Path::new(&beside);
        let file = self.open(beside, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_at(0, &[IoSlice::new(content)])?;
        file.sync()?;
        self.rename(beside, path)?;
        match path.parent() {
            // A bare name lies in the working directory.
            Some(parent) if parent.as_os_str().is_empty() => self.sync_dir(Path::new(".")),
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Makes the folder and those above it.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Real => std::fs::create_dir_all(path),
            Disk::Faulty(disk) => disk.create_dir_all(path),
        }
    }

    /// Makes one folder, whose parent exists; an error of kind `AlreadyExists` when it is there.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Real => std::fs::create_dir(path),
            Disk::Faulty(disk) => disk.create_dir(path),
        }
    }

    /// Renames a file or a folder, replacing a file that stands there.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Disk::Real =>
            {
                #[expect(clippy::disallowed_methods, reason = "this is the rename the rest of the project is sent to")]
                std::fs::rename(from, to)
            }
            Disk::Faulty(disk) => disk.rename(from, to),
        }
    }

    /// Removes a file.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Real => std::fs::remove_file(path),
            Disk::Faulty(disk) => disk.remove_file(path),
        }
    }

    /// Removes a folder with all that is in it.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Real => std::fs::remove_dir_all(path),
            Disk::Faulty(disk) => disk.remove_dir_all(path),
        }
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = match self {
            Disk::Real => list_real(path)?,
            Disk::Faulty(disk) => disk.list(path)?,
        };
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Whether something stands at `path`.
    pub fn exists(&self, path: &Path) -> bool {
        match self {
            Disk::Real => path.exists(),
            Disk::Faulty(disk) => disk.exists(path),
        }
    }

    /// Makes renames, creations and removals inside the folder durable.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Real => std::fs::File::open(path)?.sync_all(),
            Disk::Faulty(disk) => disk.sync_dir(path),
        }
    }

    /// Takes the exclusive lock file at `path`, or `WouldBlock` when another process holds it.
    pub fn lock(&self, path: &Path) -> io::Result<Lock> {
        let held = match self {
            Disk::Real => {
                let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
                rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
                Held::Real(file)
            }
            Disk::Faulty(disk) => Held::Faulty(disk.lock(path)?),
        };
        Ok(Lock { _held: held })
    }

    /// Room on the file system that holds `path`.
    pub fn space(&self, path: &Path) -> io::Result<Space> {
        match self {
            Disk::Real => {
                let stat = rustix::fs::statvfs(path)?;
                Ok(Space { total: stat.f_blocks * stat.f_frsize, usable: stat.f_bavail * stat.f_frsize })
            }
            Disk::Faulty(disk) => Ok(disk.space()),
        }
    }
}

fn list_real(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            is_dir: metadata.is_dir(),
            length: if metadata.is_dir() { 0 } else { metadata.len() },
            modified_ms: metadata.modified().map_or(0, millis),
        });
    }
    Ok(entries)
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

impl File {
    /// Writes all of `parts`, one after the other, from `position` on.
    pub fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        match self {
            File::Real(file) => write_real(file, position, parts),
            File::Faulty(file) => file.write_at(position, parts),
        }
    }

    /// Reads up to `into.len()` bytes from `position` on; fewer only at the end of the file.
    pub fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let file = match self {
            File::Real(file) => file,
            File::Faulty(file) => return file.read_at(into, position),
        };
        let mut done = 0;
        while done < into.len() {
            match rustix::io::pread(file, &mut into[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// As [`File::read_at`], but never waits for the disk: an error of kind `WouldBlock` when some of the bytes are
    /// not in memory. Bytes that stand nowhere, behind the end of the file, count as such.
    pub fn read_in_memory(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let File::Real(file) = self else { return self.read_at(into, position) };
        let wanted = into.len();
        match read_without_waiting(file, into, position) {
            Ok(read) if read == wanted => Ok(read),
            Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
            Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            // A system that cannot tell, or an error that a plain read reports as well.
            Err(_) => self.read_at(into, position),
        }
    }

    /// Whether `length` bytes from `position` on can be read without waiting for the disk. Looks at one page in every
    /// [`RESIDENCE_STRIDE`] and at the last: the system reads and drops pages in runs. A file system that cannot tell
    /// counts as memory.
    pub fn residence(&self, position: u64, length: usize) -> Residence {
        let File::Real(file) = self else { return Residence::Memory };
        let Some(last) = length.checked_sub(1) else { return Residence::Memory };
        let strides = (0..=last).step_by(RESIDENCE_STRIDE).chain([last]);
        for ahead in strides {
            match read_without_waiting(file, &mut [0], position + ahead as u64) {
                Err(rustix::io::Errno::AGAIN) => return Residence::Disk,
                Ok(_) => {}
                // What is wrong shows when the bytes are read.
                Err(_) => return Residence::Memory,
            }
        }
        Residence::Memory
    }

    /// Brings `length` bytes from `position` on into memory. Blocks on the disk.
    pub fn load(&self, position: u64, length: usize) -> io::Result<()> {
        let mut buffer = vec![0; length.min(RESIDENCE_STRIDE)];
        let mut done = 0;
        while done < length {
            let part = buffer.len().min(length - done);
            let read = self.read_at(&mut buffer[..part], position + done as u64)?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(())
    }

    /// Cuts or extends the file. One that has that length is left alone: ext4 would otherwise take an empty file for one
    /// that is being replaced, and write it to the disk when it is closed.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        match self {
            File::Real(file) if file.metadata()?.len() == length => Ok(()),
            File::Real(file) => file.set_len(length),
            File::Faulty(file) => file.set_len(length),
        }
    }

    /// Length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            File::Real(file) => Ok(file.metadata()?.len()),
            File::Faulty(file) => file.length(),
        }
    }

    /// Reserves room for the first `length` bytes without changing the file's length. A file system that
    /// cannot is no error: preallocation only saves time.
    pub fn reserve(&self, length: u64) -> io::Result<()> {
        match self {
            File::Real(file) => match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, length) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
                Err(error) => Err(error.into()),
            },
            File::Faulty(_) => Ok(()),
        }
    }

    /// Sets the time of last modification, milliseconds since the Unix epoch.
    pub fn set_modified(&self, modified_ms: i64) -> io::Result<()> {
        match self {
            File::Real(file) => {
                file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms.max(0).unsigned_abs()))
            }
            File::Faulty(file) => file.set_modified(modified_ms),
        }
    }

    /// Makes content and length durable (fdatasync).
    pub fn sync(&self) -> io::Result<()> {
        match self {
            File::Real(file) => file.sync_data(),
            File::Faulty(file) => file.sync(),
        }
    }

    /// The descriptor for `sendfile`, or `None` where there is none and bytes must be copied.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            File::Real(file) => Some(file.as_fd()),
            File::Faulty(_) => None,
        }
    }
}

fn read_without_waiting(file: &std::fs::File, into: &mut [u8], position: u64) -> rustix::io::Result<usize> {
    let mut parts = [io::IoSliceMut::new(into)];
    rustix::io::preadv2(file, &mut parts, position, rustix::io::ReadWriteFlags::NOWAIT)
}

fn write_real(file: &std::fs::File, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut done = match rustix::io::pwritev(file, parts, position) {
        Ok(done) => done,
        Err(rustix::io::Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    if done == total {
        return Ok(());
    }
    // A short write (a signal, a nearly full disk): go on part by part, so that the real error shows.
    let mut start = 0;
    for part in parts {
        let end = start + part.len();
        while done < end {
            match rustix::io::pwrite(file, &part[done - start..], position + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_lie_on_the_disk_alone_are_told_and_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = Disk::Real.open(&folder.path().join("f"), OpenMode::Create).unwrap();
        let content: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
        file.write_at(0, &[IoSlice::new(&content)]).unwrap();
        file.sync().unwrap();
        assert_eq!(file.residence(0, content.len()), Residence::Memory);
        rustix::fs::fadvise(file.descriptor().unwrap(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if file.residence(0, content.len()) == Residence::Memory {
            // A file system that lives in memory drops nothing.
            return;
        }
        let mut read = [0; 100];
        assert_eq!(file.read_in_memory(&mut read, 300_000).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        file.load(0, content.len()).unwrap();
        assert_eq!(file.residence(0, content.len()), Residence::Memory);
        assert_eq!(file.read_in_memory(&mut read, 300_000).unwrap(), 100);
        assert_eq!(read, content[300_000..300_100]);
    }

    #[test]
    fn a_length_that_is_set_is_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = Disk::Real.open(&folder.path().join("f"), OpenMode::Create).unwrap();
        for length in [0, 10, 10, 3, 0] {
            file.set_len(length).unwrap();
            assert_eq!(file.length().unwrap(), length);
        }
    }

    #[test]
    fn a_bare_name_is_replaced_in_the_working_directory() {
        let name = format!("millstream-disk-{}.json", std::process::id());
        let path = Path::new(&name);
        let replaced = Disk::Real.replace(path, b"new");
        let content = Disk::Real.read(path);
        let removed = Disk::Real.remove_file(path);
        assert!(replaced.is_ok() && removed.is_ok(), "{replaced:?} {removed:?}");
        assert_eq!(content.unwrap(), b"new");
    }
}
