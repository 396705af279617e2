//! Files. `Disk` is the real file system or a faulty one that a test controls.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

/// A cheap handle on a file system.
#[derive(Clone, Debug, Default)]
pub enum Disk {
    /// The machine's own.
    #[default]
    Real,
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
}

/// An open file. All reads and writes name their position; there is no cursor.
#[derive(Clone, Debug)]
pub enum File {
    /// A file of the machine.
    Real(Arc<std::fs::File>),
}

/// An exclusive lock on a folder, released when dropped or when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Disk {
    /// Opens the file at `path`.
    pub fn open(&self, path: &Path, mode: OpenMode) -> io::Result<File> {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create(mode == OpenMode::Create);
        Ok(File::Real(Arc::new(options.open(path)?)))
    }

    /// The whole content of the file at `path`.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
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
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Makes the folder and those above it.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    /// Renames a file or a folder, replacing a file that stands there.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "this is the rename the rest of the project is sent to")]
        std::fs::rename(from, to)
    }

    /// Removes a file.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Removes a folder with all that is in it.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                length: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Whether something stands at `path`.
    pub fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    /// Makes renames, creations and removals inside the folder durable.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::File::open(path)?.sync_all()
    }

    /// Takes the exclusive lock file at `path`, or `WouldBlock` when another process holds it.
    pub fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Lock { _file: file })
    }
}

impl File {
    /// Writes all of `parts`, one after the other, from `position` on.
    pub fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let File::Real(file) = self;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut done = rustix::io::pwritev(file, parts, position)?;
        if done == total {
            return Ok(());
        }
        // A short write (a signal, a nearly full disk): go on part by part, so that the real error shows.
        let mut start = 0;
        for part in parts {
            let end = start + part.len();
            while done < end {
                let written = rustix::io::pwrite(file, &part[done - start..], position + done as u64)?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                done += written;
            }
            start = end;
        }
        Ok(())
    }

    /// Reads up to `into.len()` bytes from `position` on; fewer only at the end of the file.
    pub fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let File::Real(file) = self;
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

    /// Cuts or extends the file.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        let File::Real(file) = self;
        file.set_len(length)
    }

    /// Length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        let File::Real(file) = self;
        Ok(file.metadata()?.len())
    }

    /// Makes content and length durable (fdatasync).
    pub fn sync(&self) -> io::Result<()> {
        let File::Real(file) = self;
        file.sync_data()
    }

    /// The descriptor for `sendfile`, or `None` where there is none and bytes must be copied.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let File::Real(file) = self;
        Some(file.as_fd())
    }
}
