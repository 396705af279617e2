//! Sends output to a socket: memory by write, ranges of files by sendfile, whole pieces in order.
//!
//! A sendfile of bytes that lie on the disk alone would stop this thread and every connection that it serves: such bytes
//! are first brought into memory by a thread that may block.

use std::io;

use bytes::Buf;
use millstream_base_env::disk::Residence;
use millstream_base_env::net::{self, More};
use millstream_base_env::task;
use millstream_broker_log::Slice;
use tokio::net::TcpStream;

use crate::api::reply::{Chunk, Output};

/// How far ahead of the socket bytes are looked at, and loaded.
const AHEAD_BYTES: usize = 1 << 20;
/// What is copied at a time from a file that has no descriptor (the faulty disk of tests).
const COPY_BYTES: usize = 64 * 1024;

/// Sends some of `output` and takes it off, waiting until the socket takes at least one byte. It may be dropped at
/// any time: what is left of `output` is what was not sent.
///
/// # Errors
/// The socket's, or the file's: then the answer is torn and the connection must be closed.
pub async fn send_some(stream: &TcpStream, output: &mut Output) -> io::Result<()> {
    let Some(front) = output.chunks().pop_front() else { return Ok(()) };
    // A header goes into one packet with the records behind it.
    let more = if output.is_empty() { More::No } else { More::Yes };
    output.chunks().push_front(front);
    let is_sent = match output.chunks().front_mut() {
        None => true,
        Some(Chunk::Bytes(bytes)) if bytes.is_empty() => true,
        Some(Chunk::Bytes(bytes)) => {
            let sent = net::send(stream, bytes, more).await?;
            bytes.advance(sent);
            bytes.is_empty()
        }
        Some(Chunk::File(slice)) => {
            send_slice(stream, slice).await?;
            slice.length == 0
        }
    };
    if is_sent {
        output.chunks().pop_front();
    }
    Ok(())
}

async fn send_slice(stream: &TcpStream, slice: &mut Slice) -> io::Result<()> {
    if slice.length == 0 {
        return Ok(());
    }
    let length = AHEAD_BYTES.min(slice.length);
    load_if_cold(slice, length).await?;
    let sent = match slice.file.descriptor() {
        Some(descriptor) => net::send_file(stream, &descriptor, slice.position, length).await?,
        None => copy_some(stream, slice).await?,
    };
    if sent == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    slice.position += sent as u64;
    slice.length -= sent;
    Ok(())
}

async fn load_if_cold(slice: &Slice, length: usize) -> io::Result<()> {
    if slice.file.residence(slice.position, length) == Residence::Memory {
        return Ok(());
    }
    let (file, position) = (slice.file.clone(), slice.position);
    task::spawn_blocking("cold read", move || file.load(position, length)).await.map_err(io::Error::other)?
}

async fn copy_some(stream: &TcpStream, slice: &Slice) -> io::Result<usize> {
    let mut buffer = vec![0; COPY_BYTES.min(slice.length)];
    let read = slice.file.read_at(&mut buffer, slice.position)?;
    if read == 0 {
        return Ok(0);
    }
    net::send(stream, &buffer[..read], More::No).await
}
