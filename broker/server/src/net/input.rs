//! Bytes that were read from a connection and are not handled yet, cut into frames.
//!
//! An idle connection holds no buffer. A frame's memory is reserved as its bytes arrive, never because its length
//! says so (a client that claims 100 MiB and sends nothing costs nothing).

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What one read takes at least: several small requests, or a good part of a large one.
const READ_BYTES_MIN: usize = 32 * 1024;
/// What one read takes at most, reached by a connection whose reads come back full.
const READ_BYTES_MAX: usize = 256 * 1024;

/// The unread bytes of a connection.
#[derive(Debug, Default)]
pub struct Input {
    buffer: BytesMut,
    /// Bytes still missing from the frame at the front, 0 when its length is not known.
    missing: usize,
    /// Whether the last read filled its room.
    last_read: LastRead,
}

/// What the last read tells about the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastRead {
    /// It took all that was there.
    #[default]
    Partial,
    /// More may be there.
    Full,
}

/// What stands at the front of the input.
#[derive(Debug)]
pub enum Front {
    /// A whole frame, without its length.
    Frame(Bytes),
    /// Not a whole frame yet.
    Partial,
    /// The length is negative or over the limit.
    IllegalLength(i32),
}

impl Input {
    /// Takes the next whole frame.
    pub fn next_frame(&mut self, length_max: usize) -> Front {
        let Some(length) = self.buffer.first_chunk::<4>() else {
            self.missing = 0;
            return Front::Partial;
        };
        let length = i32::from_be_bytes(*length);
        let Some(size) = usize::try_from(length).ok().filter(|size| *size <= length_max) else {
            return Front::IllegalLength(length);
        };
        let have = self.buffer.len() - 4;
        if have < size {
            self.missing = size - have;
            return Front::Partial;
        }
        self.missing = 0;
        self.buffer.advance(4);
        Front::Frame(self.buffer.split_to(size).freeze())
    }

    /// The API key of the frame at the front, once its first bytes are here.
    pub fn peek_key(&self) -> Option<i16> {
        let start = self.buffer.get(4..6)?;
        Some(i16::from_be_bytes([start[0], start[1]]))
    }

    /// Reads what is there; pending until something is. 0 means that the client closed its side.
    ///
    /// A read that does not fill the buffer tells tokio that the socket is empty, which saves the system call that
    /// would find it out.
    pub fn poll_fill(&mut self, task: &mut std::task::Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<usize>> {
        if stream.poll_read_ready(task)?.is_pending() {
            return Poll::Pending;
        }
        let wanted = match self.last_read {
            LastRead::Full => READ_BYTES_MAX,
            LastRead::Partial => self.missing.clamp(READ_BYTES_MIN, READ_BYTES_MAX),
        };
        self.buffer.reserve(wanted);
        let read = pin!(stream.read_buf(&mut self.buffer)).poll(task);
        let is_full = self.buffer.len() == self.buffer.capacity();
        self.last_read = if is_full { LastRead::Full } else { LastRead::Partial };
        if read.is_pending() {
            self.release_when_empty();
        }
        read
    }

    /// Reads what is there without waiting; `None` when nothing is, or the socket failed.
    pub fn try_fill(&mut self, stream: &TcpStream) -> Option<usize> {
        self.buffer.reserve(READ_BYTES_MIN);
        let read = stream.try_read_buf(&mut self.buffer).ok();
        if read.is_none() {
            self.release_when_empty();
        }
        read
    }

    /// Bytes that are here and not handled.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the buffer back while there is nothing in it.
    pub fn release_when_empty(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}
