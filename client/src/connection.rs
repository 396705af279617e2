//! One connection to one broker: a task that writes requests as they come and hands each reply to its caller.
//!
//! Called by `metadata.rs`, producer and consumer. Requests are pipelined; a broker answers in the order of requests,
//! and the correlation id confirms it. A call that takes longer than `request.timeout.ms` ends the connection, whether
//! its caller still waits or not, as in Java's `NetworkClient`; a connection that ends fails every call in flight with
//! its address and the cause. Never retries.
//!
//! Not done: client.dns.lookup=resolve_canonical_bootstrap_servers_only.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::IoSlice;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use millstream_base_env::clock::Moment;
use millstream_base_env::{net, task};
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{ApiVersionsRequest, Request, StrBytes};
use millstream_protocol::{frame, request, response};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::config::ConnectionConfig;
use crate::error::{ClientError, check};

/// Keys and certificates in files.
pub(crate) mod store;
// Keys and certificates as Java and openssl keep them by default.
mod pkcs12;
// Keys that Java left incomplete.
mod ec_key;
/// Privacy and proof of who the broker is.
pub mod tls;
/// Who this client is.
pub mod sasl;
/// Tokens from a server or a file.
pub mod oauth;
/// By a password that does not leave this process.
pub mod scram;

/// ApiVersions 3 is understood by every broker since 2.4, or answered with the list in version 0.
const API_VERSIONS: i16 = 3;
/// Larger frames are taken for a peer that does not speak Kafka.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// Memory reserved at once for a frame that is announced; more only as bytes come.
const RESERVE_MAX: usize = 64 << 20;
/// How long what was sent without a reply may take to leave once every handle is gone.
const FINISH_MAX: Duration = Duration::from_secs(30);
/// What one write gathers; more would only wait in memory.
const OUTBOUND_MAX: usize = 1 << 20;

struct Call {
    frame: Bytes,
    /// When it is overdue, and the connection with it.
    deadline: Moment,
    outcome: Outcome,
}

/// Who hears what of a call.
enum Outcome {
    /// The reply with this correlation id.
    Reply(i32, oneshot::Sender<Bytes>),
    /// That it was written; no reply follows (Produce with acks=0).
    Written(oneshot::Sender<()>),
}

/// How a connection ends, and why.
#[derive(Default)]
struct End {
    /// Set once, before anyone can notice.
    cause: Mutex<Option<String>>,
    wanted: Notify,
    /// Calls that were started and have no answer, also those that nobody awaits any more.
    outstanding: AtomicUsize,
}

impl End {
    /// Notes the first cause and wakes the task.
    fn because(&self, cause: String) {
        self.cause.lock().get_or_insert(cause);
        self.wanted.notify_one();
    }
}

struct Shared {
    address: String,
    client_id: String,
    timeout: Duration,
    next_id: AtomicI32,
    end: Arc<End>,
    greeting: Greeting,
    /// When a new connection takes its place, because the broker ends the session soon after (KIP-368).
    until: Option<Moment>,
}

/// What a broker said of itself.
#[derive(Default)]
struct Greeting {
    /// By API key: the lowest and highest version that the broker serves.
    versions: HashMap<i16, (i16, i16)>,
    /// Epoch of the finalised features, -1 from brokers that have none.
    features_epoch: i64,
    /// Level of each.
    features: HashMap<String, i16>,
}

/// A handle on a connection; clones share it. It closes when the last is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), client::error::ClientError> {
/// use client::config::ConnectionConfig;
/// use client::connection::Connection;
///
/// let connection = Connection::open("localhost:9092", &ConnectionConfig::default()).await?;
/// for (key, first, last) in connection.versions() {
///     println!("API {key} from {first} to {last}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connection {
    calls: mpsc::UnboundedSender<Call>,
    shared: Arc<Shared>,
}

/// A request on its way; the order of requests is the order in which they were started.
///
/// ```
/// use std::time::Duration;
///
/// use client::connection::{Connection, Pending};
/// use millstream_protocol::messages::ListGroupsRequest;
///
/// async fn two(connection: &Connection) -> Result<(), client::error::ClientError> {
///     let limit = Duration::from_secs(1);
///     let first: Pending<ListGroupsRequest> = connection.start(i16::MAX, &ListGroupsRequest::default(), limit)?;
///     let second = connection.start(i16::MAX, &ListGroupsRequest::default(), limit)?;
///     println!("{:?} {:?}", first.await_reply().await?, second.await_reply().await?);
///     Ok(())
/// }
/// ```
pub struct Pending<T: Request> {
    connection: Connection,
    version: i16,
    api: &'static str,
    timeout: Duration,
    deadline: Moment,
    reply: oneshot::Receiver<Bytes>,
    kind: PhantomData<fn() -> T>,
}

impl Connection {
    /// Connects to `host:port` and asks which versions the broker serves.
    ///
    /// # Errors
    /// When no address of the host answers, or what answers is no broker.
    pub async fn open(address: &str, config: &ConnectionConfig) -> Result<Self, ClientError> {
        Self::open_after(0, address, config).await
    }

    /// As [`Connection::open`] after `failures` in a row, which lengthen the time that each address of the host has
    /// (Java: `ClusterConnectionStates`; `socket.connection.setup.timeout.max.ms`).
    pub(crate) async fn open_after(
        failures: u32,
        address: &str,
        config: &ConnectionConfig,
    ) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { address: address.to_owned(), source: Arc::new(source) };
        let limit = match failures {
            0 => config.setup_timeout,
            more => backoff(
                more.saturating_add(1),
                config.setup_timeout,
                config.setup_timeout_max.max(config.setup_timeout),
            ),
        };
        let looked_up = tokio::time::timeout(limit, tokio::net::lookup_host(address)).await;
        let looked_up = looked_up.unwrap_or_else(|_| {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the name was not resolved in time"))
        });
        let unresolved = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::TimedOut => error,
            // A kind of its own, which connecting never gives.
            _ => std::io::Error::new(std::io::ErrorKind::NotFound, error),
        };
        let resolved: Vec<SocketAddr> = looked_up.map_err(unresolved).map_err(failed)?.collect();
        Self::open_first(&resolved, limit, address, config).await
    }

    /// To the first of `resolved` that takes the connection, each tried for `limit`.
    async fn open_first(
        resolved: &[SocketAddr],
        limit: Duration,
        address: &str,
        config: &ConnectionConfig,
    ) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { address: address.to_owned(), source: Arc::new(source) };
        let mut last = failed(std::io::Error::other("the name has no address"));
        for resolved in resolved {
            let connected = async {
                let stream = net::connect(*resolved).await.map_err(failed)?;
                Self::run(stream, address, config).await
            };
            match tokio::time::timeout(limit, connected).await {
                Ok(Ok((calls, end))) => return Self::greet(calls, end, address, config).await,
                Ok(Err(error @ ClientError::Connect { .. })) => last = error,
                Ok(Err(error)) => return Err(error),
                Err(_) => last = ClientError::Timeout { doing: format!("connecting to {address} ({resolved})"), limit },
            }
        }
        Err(last)
    }

    /// Starts the task of a connection, under TLS if it is to be.
    async fn run(
        stream: TcpStream,
        address: &str,
        config: &ConnectionConfig,
    ) -> Result<(mpsc::UnboundedSender<Call>, Arc<End>), ClientError> {
        let (calls, receiver) = mpsc::unbounded_channel();
        let end = Arc::new(End::default());
        match &config.security.tls {
            Some(tls) => {
                let (reader, writer) = tokio::io::split(tls.connect(stream, address).await?);
                task::spawn("client connection", run(reader, writer, receiver, end.clone()));
            }
            None => {
                let (reader, writer) = stream.into_split();
                task::spawn("client connection", run(reader, writer, receiver, end.clone()));
            }
        }
        Ok((calls, end))
    }

    async fn greet(
        calls: mpsc::UnboundedSender<Call>,
        end: Arc<End>,
        address: &str,
        config: &ConnectionConfig,
    ) -> Result<Self, ClientError> {
        let shared = |end, greeting, until| Shared {
            address: address.to_owned(),
            client_id: config.client_id.clone(),
            timeout: config.request_timeout,
            next_id: AtomicI32::new(1),
            end,
            greeting,
            until,
        };
        let bare =
            Connection { calls: calls.clone(), shared: Arc::new(shared(end.clone(), Greeting::default(), None)) };
        let hello = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("millstream"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut reply = bare.start_version(API_VERSIONS, &hello, config.request_timeout)?.await_reply().await;
        let refused = |code| code == ErrorCode::UnsupportedVersion.code();
        if reply.as_ref().map_or(true, |reply| refused(reply.error_code)) && bare.is_open() {
            // KIP-511: a broker that does not know the version answers in version 0.
            reply = bare.start_version(0, &ApiVersionsRequest::default(), config.request_timeout)?.await_reply().await;
        }
        let reply = reply?;
        check(reply.error_code, None).map_err(|error| error.at(address))?;
        let served = reply.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let features = reply.finalized_features.iter();
        let greeting = Greeting {
            versions: served.collect(),
            features_epoch: reply.finalized_features_epoch,
            features: features.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect(),
        };
        let connection = Connection { calls: calls.clone(), shared: Arc::new(shared(end.clone(), greeting, None)) };
        let Some(sasl) = &config.security.sasl else { return Ok(connection) };
        let lifetime = sasl.authenticate(&connection).await?;
        // Java: SaslClientAuthenticator re-authenticates after 85 to 95 percent of the session.
        let until = lifetime.map(|lifetime| Moment::now().after(lifetime.mul_f64(0.85)));
        let next_id = AtomicI32::new(connection.shared.next_id.load(Ordering::Relaxed));
        let Ok(shared) = Arc::try_unwrap(connection.shared) else {
            return Err(ClientError::State("the connection is shared early"));
        };
        Ok(Connection { calls, shared: Arc::new(Shared { until, next_id, ..shared }) })
    }

    /// Where it leads, as `host:port`.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the task still runs.
    pub fn is_open(&self) -> bool {
        !self.calls.is_closed() && self.shared.until.is_none_or(|until| Moment::now() < until)
    }

    /// The requests that the broker serves: key, first and last version, by key.
    pub fn versions(&self) -> Vec<(i16, i16, i16)> {
        let mut rows: Vec<_> =
            self.shared.greeting.versions.iter().map(|(key, (low, high))| (*key, *low, *high)).collect();
        rows.sort_unstable();
        rows
    }

    /// Whether the broker serves an API at all.
    pub fn serves(&self, api: ApiKey) -> bool {
        self.shared.greeting.versions.contains_key(&(api as i16))
    }

    /// Whether the broker serves an API in `version` or newer.
    pub fn serves_version(&self, api: ApiKey, version: i16) -> bool {
        self.shared.greeting.versions.get(&(api as i16)).is_some_and(|(_, high)| *high >= version)
    }

    /// The epoch of the cluster's finalised features when the connection was opened, -1 for none.
    pub(crate) fn features_epoch(&self) -> i64 {
        self.shared.greeting.features_epoch
    }

    /// The finalised level of a feature then, 0 when it is not in use.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        self.shared.greeting.features.get(name).copied().unwrap_or(0)
    }

    /// The newest version of `T` that both sides speak and that is not above `at_most`.
    fn version<T: Request>(&self, at_most: i16) -> Result<i16, ClientError> {
        let lacks = |api| ClientError::Unsupported { api, address: self.shared.address.clone() };
        let api = ApiKey::try_from(T::KEY).map_err(|_| lacks("this API"))?.api();
        let (low, high) = self.shared.greeting.versions.get(&T::KEY).ok_or_else(|| lacks(api.name))?;
        let version = at_most.min(*high).min(api.max_version);
        if version < *low || version < api.min_version {
            return Err(lacks(api.name));
        }
        Ok(version)
    }

    /// Sends a request in the newest common version and waits for its reply.
    ///
    /// # Errors
    /// When the connection is lost, the reply takes too long, or the messages cannot be written or read.
    pub async fn call<T: Request>(&self, request: &T) -> Result<T::Response, ClientError> {
        self.call_at_most(i16::MAX, request).await
    }

    /// As [`Connection::call`], in no version above `at_most`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_at_most<T: Request>(&self, at_most: i16, request: &T) -> Result<T::Response, ClientError> {
        self.start(at_most, request, self.shared.timeout)?.await_reply().await
    }

    /// As [`Connection::call_at_most`] for a request that the broker may hold back for `hold`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_held<T: Request>(
        &self,
        at_most: i16,
        request: &T,
        hold: Duration,
    ) -> Result<T::Response, ClientError> {
        self.start(at_most, request, self.shared.timeout + hold)?.await_reply().await
    }

    /// Puts a request behind those that were started before, in no version above `at_most`.
    ///
    /// # Errors
    /// When the connection is gone or the request cannot be written.
    pub fn start<T: Request>(&self, at_most: i16, request: &T, timeout: Duration) -> Result<Pending<T>, ClientError> {
        self.start_version(self.version::<T>(at_most)?, request, timeout)
    }

    fn start_version<T: Request>(
        &self,
        version: i16,
        request: &T,
        timeout: Duration,
    ) -> Result<Pending<T>, ClientError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request::encode(version, id, Some(&self.shared.client_id), request)?;
        let (sender, reply) = oneshot::channel();
        let deadline = Moment::now().after(timeout);
        self.put(Call { frame, deadline, outcome: Outcome::Reply(id, sender) })?;
        let api = ApiKey::try_from(T::KEY).map_or("request", |key| key.api().name);
        Ok(Pending { connection: self.clone(), version, api, timeout, deadline, reply, kind: PhantomData })
    }

    /// Sends a request that has no reply; what comes back resolves when all of it was given to the system.
    ///
    /// # Errors
    /// When the connection is gone or the request cannot be written.
    pub fn send_only<T: Request>(
        &self,
        at_most: i16,
        request: &T,
    ) -> Result<impl Future<Output = Result<(), ClientError>> + Send + 'static, ClientError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request::encode(self.version::<T>(at_most)?, id, Some(&self.shared.client_id), request)?;
        let (sender, written) = oneshot::channel();
        let deadline = Moment::now().after(self.shared.timeout);
        self.put(Call { frame, deadline, outcome: Outcome::Written(sender) })?;
        let connection = self.clone();
        Ok(async move { written.await.map_err(|_| connection.lost()) })
    }

    fn put(&self, call: Call) -> Result<(), ClientError> {
        self.shared.end.outstanding.fetch_add(1, Ordering::Relaxed);
        self.calls.send(call).map_err(|_| self.lost())
    }

    /// How many calls have no answer yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.shared.end.outstanding.load(Ordering::Relaxed)
    }

    fn lost(&self) -> ClientError {
        let cause = self.shared.end.cause.lock().clone().unwrap_or_else(|| "it was closed".to_owned());
        ClientError::Lost { address: self.shared.address.clone(), cause }
    }
}

impl<T: Request> Pending<T> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn await_reply(self) -> Result<T::Response, ClientError> {
        let Ok(frame) = self.reply.await else {
            // The connection's task ends it when a call is overdue; that call is told so, the others that it is lost.
            if Moment::now() < self.deadline {
                return Err(self.connection.lost());
            }
            let doing = format!("{} to {}", self.api, self.connection.shared.address);
            return Err(ClientError::Timeout { doing, limit: self.timeout });
        };
        match response::decode::<T>(self.version, frame) {
            Ok((_, reply)) => Ok(reply),
            Err(error) => {
                let cause = format!("its answer to {} is no message: {error}", self.api);
                let address = self.connection.shared.address.clone();
                self.connection.shared.end.because(cause.clone());
                Err(ClientError::Lost { address, cause })
            }
        }
    }
}

/// Runs until the peer closes, an answer makes no sense, a call takes too long, or every handle is dropped.
async fn run(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    calls: mpsc::UnboundedReceiver<Call>,
    end: Arc<End>,
) {
    let mut wire = Wire::new(end.clone());
    let reason = tokio::select! {
        reason = wire.exchange(reader, writer, calls) => reason,
        () = end.wanted.notified() => String::new(),
    };
    // Before the senders in `wire` are dropped, so that whoever that wakes finds the cause.
    end.because(reason);
}

/// Writes some of `outbound`, or flushes when there is none; how much it wrote.
async fn push(writer: &mut (impl AsyncWrite + Unpin), outbound: &mut Outbound) -> std::io::Result<usize> {
    if !outbound.has_remaining() {
        writer.flush().await?;
        return Ok(0);
    }
    writer.write_buf(outbound).await
}

/// Frames that wait to be written, several in one write, none copied.
#[derive(Default)]
struct Outbound {
    frames: VecDeque<Bytes>,
    size: usize,
}

impl Outbound {
    fn put(&mut self, frame: Bytes) {
        self.size += frame.len();
        self.frames.push_back(frame);
    }
}

impl Buf for Outbound {
    fn remaining(&self) -> usize {
        self.size
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], |frame| frame)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let count = into.len().min(self.frames.len());
        into.iter_mut().zip(&self.frames).for_each(|(slice, frame)| *slice = IoSlice::new(frame));
        count
    }

    fn advance(&mut self, mut by: usize) {
        self.size -= by;
        while let Some(first) = self.frames.front_mut() {
            if by < first.len() {
                first.advance(by);
                return;
            }
            by -= first.len();
            self.frames.pop_front();
        }
    }
}

struct Wire {
    waiting: VecDeque<(i32, oneshot::Sender<Bytes>, Moment)>,
    /// Calls without a reply: the count of all bytes up to their last, and who is told when that has left.
    leaving: VecDeque<(u64, oneshot::Sender<()>, Moment)>,
    /// Bytes taken over for writing.
    queued: u64,
    /// Bytes written.
    written: u64,
    end: Arc<End>,
    /// No call is overdue before; None when none waits.
    alarm: Option<Moment>,
}

impl Wire {
    fn new(end: Arc<End>) -> Self {
        Wire { waiting: VecDeque::new(), leaving: VecDeque::new(), queued: 0, written: 0, end, alarm: None }
    }

    async fn exchange(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        mut calls: mpsc::UnboundedReceiver<Call>,
    ) -> String {
        let (mut inbound, mut outbound) = (BytesMut::with_capacity(64 * 1024), Outbound::default());
        // TLS keeps what a write gave it until it is flushed.
        let mut unflushed = false;
        let mut overdue = Box::pin(task::sleep(Duration::ZERO));
        loop {
            let alarm = self.alarm;
            tokio::select! {
                biased;
                call = calls.recv(), if outbound.size < OUTBOUND_MAX => match call {
                    Some(call) => {
                        self.take(call, &mut outbound);
                        if let Some(sooner) = self.alarm.filter(|at| alarm.is_none_or(|before| *at < before)) {
                            overdue.as_mut().reset(sooner.instant().into());
                        }
                    }
                    None => return Self::finish(writer, outbound).await,
                },
                written = push(&mut writer, &mut outbound), if unflushed || outbound.has_remaining() => match written {
                    Ok(written) => {
                        unflushed = written > 0;
                        self.wrote(written, unflushed);
                    }
                    Err(error) => return error.to_string(),
                },
                read = reader.read_buf(&mut inbound) => match read {
                    Ok(0) => return "the broker closed it".to_owned(),
                    Ok(_) => if let Err(reason) = self.deliver(&mut inbound) {
                        return reason;
                    },
                    Err(error) => return error.to_string(),
                },
                () = &mut overdue, if alarm.is_some() => {
                    // Later replies cannot be told from a late one by a peer that may be confused: start anew.
                    if !self.set_alarm() {
                        return "a request was not answered in time".to_owned();
                    }
                    if let Some(at) = self.alarm {
                        overdue.as_mut().reset(at.instant().into());
                    }
                },
            }
        }
    }

    /// What was sent without a reply still has to leave; nobody is there to hear of a failure.
    async fn finish(mut writer: impl AsyncWrite + Unpin, mut outbound: Outbound) -> String {
        let _ = tokio::time::timeout(FINISH_MAX, async {
            writer.write_all_buf(&mut outbound).await?;
            writer.flush().await
        })
        .await;
        "every handle is gone".to_owned()
    }

    fn take(&mut self, call: Call, outbound: &mut Outbound) {
        self.queued += call.frame.len() as u64;
        outbound.put(call.frame);
        match call.outcome {
            Outcome::Reply(id, sender) => self.waiting.push_back((id, sender, call.deadline)),
            Outcome::Written(sender) => self.leaving.push_back((self.queued, sender, call.deadline)),
        }
        if self.alarm.is_none_or(|at| call.deadline < at) {
            self.alarm = Some(call.deadline);
        }
    }

    /// Tells who waited for what has left by now; under TLS a flush is the sign of it.
    fn wrote(&mut self, bytes: usize, unflushed: bool) {
        self.written += bytes as u64;
        while !unflushed && self.leaving.front().is_some_and(|(last, ..)| *last <= self.written) {
            if let Some((_, sender, _)) = self.leaving.pop_front() {
                self.end.outstanding.fetch_sub(1, Ordering::Relaxed);
                let _ = sender.send(());
            }
        }
    }

    /// Sets the alarm to the first deadline; false when it has passed.
    fn set_alarm(&mut self) -> bool {
        let waiting = self.waiting.iter().map(|(_, _, deadline)| *deadline);
        self.alarm = waiting.chain(self.leaving.iter().map(|(_, _, deadline)| *deadline)).min();
        self.alarm.is_none_or(|first| first > Moment::now())
    }

    /// Hands out whole frames.
    fn deliver(&mut self, inbound: &mut BytesMut) -> Result<(), String> {
        loop {
            match frame::announced(inbound, FRAME_BYTES_MAX).map_err(|error| error.to_string())? {
                Some(size) if inbound.len() >= frame::LENGTH_SIZE + size => {
                    inbound.advance(frame::LENGTH_SIZE);
                    let frame = inbound.split_to(size).freeze();
                    self.answer(frame)?;
                }
                Some(size) => {
                    inbound.reserve((frame::LENGTH_SIZE + size - inbound.len()).min(RESERVE_MAX));
                    return Ok(());
                }
                None => {
                    inbound.reserve(8 * 1024);
                    return Ok(());
                }
            }
        }
    }

    fn answer(&mut self, frame: Bytes) -> Result<(), String> {
        match self.waiting.pop_front() {
            Some((id, sender, _)) if response::correlation_id(&frame) == Some(id) => {
                self.end.outstanding.fetch_sub(1, Ordering::Relaxed);
                // The caller may have stopped waiting.
                let _ = sender.send(frame);
                Ok(())
            }
            Some((id, sender, deadline)) => {
                // Kept until the cause is known, so that its caller learns it.
                self.waiting.push_front((id, sender, deadline));
                Err(format!("an answer does not carry the expected correlation id {id}"))
            }
            None => Err("an answer came that nobody asked for".to_owned()),
        }
    }
}

/// How long to wait before attempt `failures` + 1, growing to `max`, give or take a fifth (Java:
/// `ExponentialBackoff`).
pub(crate) fn backoff(failures: u32, first: Duration, max: Duration) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let grown = first.saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(max);
    grown.mul_f64(rand::random_range(0.8..1.2))
}

/// Runs `work` until it succeeds, fails for good, or `limit` has passed; waits between attempts.
pub(crate) async fn retrying<R, F, W>(
    doing: &str,
    limit: Duration,
    config: &ConnectionConfig,
    mut work: W,
) -> Result<R, ClientError>
where
    F: Future<Output = Result<R, ClientError>>,
    W: FnMut() -> F,
{
    let mut last = None;
    let attempts = async {
        for failures in 1.. {
            match work().await {
                Err(error) if error.is_retriable() => last = Some(error),
                other => return other,
            }
            task::sleep(backoff(failures, config.retry_backoff, config.retry_backoff_max)).await;
        }
        Err(ClientError::State("no attempt left"))
    };
    match tokio::time::timeout(limit, attempts).await {
        Ok(result) => result,
        Err(_) => {
            let nothing = || format!(" (nothing was heard from {})", config.bootstrap.join(","));
            let because = last.map_or_else(nothing, |error| format!(" ({error})"));
            Err(ClientError::Timeout { doing: format!("{doing}{because}"), limit })
        }
    }
}

#[cfg(test)]
mod tests;
