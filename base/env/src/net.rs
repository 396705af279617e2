//! Sockets: listen, connect, zero-copy send.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

/// Connections waiting to be accepted (Kafka: `socket.listen.backlog.size` 50; more costs nothing here).
const BACKLOG: i32 = 1024;

/// Listens on `addr`. IPv6 wildcard addresses take IPv4 as well. Must be called inside a tokio runtime.
///
/// # Errors
/// The system's own: address in use, no permission, no such address.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The address that a host, by name or number, stands for; of several an IPv4 one, as Java prefers them. Blocks.
///
/// # Errors
/// When the name is not known, or nobody answers who knows it.
pub fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"))
}

/// Connects to `addr` without Nagle's delay.
///
/// # Errors
/// The system's own: refused, unreachable, timed out.
pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends up to `length` bytes of `file` from `position` on to `stream` without copying them through this
/// process, waiting until the socket takes at least one. Returns how many went; 0 means the file ended.
///
/// # Errors
/// The system's own, of the socket or of the file.
pub async fn send_file(stream: &TcpStream, file: &impl AsFd, position: u64, length: usize) -> io::Result<usize> {
    stream
        .async_io(Interest::WRITABLE, || {
            let mut offset = position;
            Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), length)?)
        })
        .await
}

/// Whether more bytes follow at once, so that the system may wait with a packet that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// These are the last for now.
    No,
    /// More follow.
    Yes,
}

/// Sends some of `bytes`, waiting until the socket takes at least one. Returns how many went.
///
/// # Errors
/// The system's own.
pub async fn send(stream: &TcpStream, bytes: &[u8], more: More) -> io::Result<usize> {
    use rustix::net::SendFlags;
    let flags = SendFlags::NOSIGNAL | if more == More::Yes { SendFlags::MORE } else { SendFlags::empty() };
    stream.async_io(Interest::WRITABLE, || Ok(rustix::net::send(stream, bytes, flags)?)).await
}
