//! Sends output to a socket: memory by write, ranges of files by sendfile, whole pieces in order.

use std::io;

use bytes::Buf;
use millstream_base_env::net::{self, More};
use millstream_broker_log::Slice;
use tokio::net::TcpStream;

use crate::api::reply::{Chunk, Output};

/// What is copied at a time from a file that has no descriptor (the faulty disk of tests).
const COPY_BYTES: usize = 64 * 1024;

/// Sends all of `output`.
///
/// # Errors
/// The socket's, or the file's: then the answer is torn and the connection must be closed.
pub async fn send(stream: &TcpStream, output: &mut Output) -> io::Result<()> {
    while let Some(mut chunk) = output.chunks().pop_front() {
        // A header goes into one packet with the records behind it.
        let more = if output.is_empty() { More::No } else { More::Yes };
        match &mut chunk {
            Chunk::Bytes(bytes) => {
                while !bytes.is_empty() {
                    let sent = net::send(stream, bytes, more).await?;
                    bytes.advance(sent);
                }
            }
            Chunk::File(slice) => send_slice(stream, slice).await?,
        }
    }
    Ok(())
}

async fn send_slice(stream: &TcpStream, slice: &mut Slice) -> io::Result<()> {
    if slice.file.descriptor().is_none() {
        return copy_slice(stream, slice).await;
    }
    while slice.length > 0 {
        let sent = match slice.file.descriptor() {
            Some(descriptor) => net::send_file(stream, &descriptor, slice.position, slice.length).await?,
            None => 0,
        };
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        slice.position += sent as u64;
        slice.length -= sent;
    }
    Ok(())
}

async fn copy_slice(stream: &TcpStream, slice: &mut Slice) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(slice.length)];
    while slice.length > 0 {
        let want = buffer.len().min(slice.length);
        let read = slice.file.read_at(&mut buffer[..want], slice.position)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut part = &buffer[..read];
        while !part.is_empty() {
            let sent = net::send(stream, part, More::No).await?;
            part = &part[sent..];
        }
        slice.position += read as u64;
        slice.length -= read;
    }
    Ok(())
}
