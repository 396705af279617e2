//! One connection to one broker: a task that writes requests as they come and hands each reply to its caller.
//!
//! Called by `metadata.rs`. Requests are pipelined; a broker answers in the order of requests, and the correlation id
//! confirms it. Never retries: a lost connection fails every request in flight.
//!
//! Not done: a time limit for each call, TLS, SASL.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use millstream_base_env::{net, task};
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::messages::{ApiVersionsRequest, Request, StrBytes};
use millstream_protocol::{request, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::error::{ClientError, check};

const CLIENT_ID: &str = "millstream";
/// ApiVersions 3 is understood by every broker since 2.4, or answered with the list in version 0.
const API_VERSIONS: i16 = 3;
/// Larger frames are taken for a peer that does not speak Kafka.
const FRAME_BYTES_MAX: usize = 1 << 30;

struct Call {
    frame: Bytes,
    /// None when no reply follows (Produce with acks=0).
    reply: Option<(i32, oneshot::Sender<Bytes>)>,
}

/// A handle on a connection; clones share it. It closes when the last is dropped.
#[derive(Clone)]
pub struct Connection {
    calls: mpsc::UnboundedSender<Call>,
    next_id: Arc<AtomicI32>,
    /// By API key: the lowest and highest version that the broker serves.
    versions: Arc<HashMap<i16, (i16, i16)>>,
}

impl Connection {
    /// Connects to `host:port` and asks which versions the broker serves.
    ///
    /// # Errors
    /// When no address of the host answers, or what answers is no broker.
    pub async fn open(address: &str) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { address: address.to_owned(), source };
        let mut last = std::io::Error::other("the name has no address");
        for resolved in tokio::net::lookup_host(address).await.map_err(failed)? {
            match net::connect(resolved).await {
                Ok(stream) => return Self::greet(stream).await,
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    async fn greet(stream: TcpStream) -> Result<Self, ClientError> {
        let (calls, receiver) = mpsc::unbounded_channel();
        task::spawn("client connection", run(stream, receiver));
        let mut connection =
            Connection { calls, next_id: Arc::new(AtomicI32::new(0)), versions: Arc::new(HashMap::new()) };
        let hello = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("millstream"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let reply = connection.call_version(API_VERSIONS, &hello).await?;
        check(reply.error_code, None)?;
        let served = reply.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        connection.versions = Arc::new(served.collect());
        Ok(connection)
    }

    /// Whether the task still runs.
    pub fn is_open(&self) -> bool {
        !self.calls.is_closed()
    }

    /// Whether the broker serves an API at all.
    pub fn serves(&self, api: ApiKey) -> bool {
        self.versions.contains_key(&(api as i16))
    }

    /// The newest version of `T` that both sides speak and that is not above `at_most`.
    fn version<T: Request>(&self, at_most: i16) -> Result<i16, ClientError> {
        let api = ApiKey::try_from(T::KEY).map_err(|_| ClientError::Unsupported("this API"))?.api();
        let (low, high) = self.versions.get(&T::KEY).ok_or(ClientError::Unsupported(api.name))?;
        let version = at_most.min(*high).min(api.max_version);
        if version < *low || version < api.min_version {
            return Err(ClientError::Unsupported(api.name));
        }
        Ok(version)
    }

    /// Sends a request in the newest common version and waits for its reply.
    ///
    /// # Errors
    /// When the connection is lost, or the messages cannot be written or read.
    pub async fn call<T: Request>(&self, request: &T) -> Result<T::Response, ClientError> {
        self.call_at_most(i16::MAX, request).await
    }

    /// As [`Connection::call`], in no version above `at_most`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_at_most<T: Request>(&self, at_most: i16, request: &T) -> Result<T::Response, ClientError> {
        self.call_version(self.version::<T>(at_most)?, request).await
    }

    async fn call_version<T: Request>(&self, version: i16, request: &T) -> Result<T::Response, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request::encode(version, id, Some(CLIENT_ID), request)?;
        let (sender, receiver) = oneshot::channel();
        self.calls.send(Call { frame, reply: Some((id, sender)) }).map_err(|_| ClientError::Lost)?;
        let frame = receiver.await.map_err(|_| ClientError::Lost)?;
        let (_, reply) = response::decode::<T>(version, frame)?;
        Ok(reply)
    }

    /// Sends a request that has no reply.
    ///
    /// # Errors
    /// When the connection is gone or the request cannot be written.
    pub fn send_only<T: Request>(&self, at_most: i16, request: &T) -> Result<(), ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request::encode(self.version::<T>(at_most)?, id, Some(CLIENT_ID), request)?;
        self.calls.send(Call { frame, reply: None }).map_err(|_| ClientError::Lost)
    }
}

/// Runs until the peer closes, an answer makes no sense, or every handle is dropped.
async fn run(stream: TcpStream, mut calls: mpsc::UnboundedReceiver<Call>) {
    let (mut reader, mut writer) = stream.into_split();
    let (mut inbound, mut outbound) = (BytesMut::with_capacity(64 * 1024), BytesMut::new());
    let mut waiting: VecDeque<(i32, oneshot::Sender<Bytes>)> = VecDeque::new();
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some(call) = call else {
                    // What was sent without a reply still has to leave; nobody is there to hear of a failure.
                    let _ = writer.write_all(&outbound).await;
                    return;
                };
                outbound.extend_from_slice(&call.frame);
                waiting.extend(call.reply);
            }
            written = writer.write_buf(&mut outbound), if !outbound.is_empty() => {
                if written.is_err() {
                    return;
                }
            }
            read = reader.read_buf(&mut inbound) => {
                if !matches!(read, Ok(1..)) || !deliver(&mut inbound, &mut waiting) {
                    return;
                }
            }
        }
    }
}

/// Hands out whole frames; false when the peer does not keep to the protocol.
fn deliver(inbound: &mut BytesMut, waiting: &mut VecDeque<(i32, oneshot::Sender<Bytes>)>) -> bool {
    while let Some(size) = inbound.first_chunk::<4>().map(|raw| u32::from_be_bytes(*raw) as usize) {
        if size > FRAME_BYTES_MAX {
            return false;
        }
        if inbound.len() < 4 + size {
            inbound.reserve(4 + size - inbound.len());
            return true;
        }
        inbound.advance(4);
        let frame = inbound.split_to(size).freeze();
        match waiting.pop_front() {
            Some((id, sender)) if response::correlation_id(&frame) == Some(id) => {
                // The caller may have stopped waiting.
                let _ = sender.send(frame);
            }
            _ => return false,
        }
    }
    true
}
