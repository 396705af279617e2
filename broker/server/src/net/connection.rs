//! One connection: bytes -> frames -> dispatch -> answers in the order of the requests.
//!
//! Started by net/listener.rs, one task a connection. Everything that can be answered at once is read, handled
//! and answered in this task's own poll: no queue, no other thread. A request whose answer comes later holds those
//! behind it, as Apache Kafka mutes the channel, except appends behind an append that waits for replicas or fsync.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use millstream_base_env::task;
use millstream_protocol::messages::ApiKey;
use millstream_protocol::request::RequestHeader;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::api::context::{ConnectionFacts, Context};
use crate::api::dispatch::dispatch;
use crate::api::reply::{Later, Next, Output, Reply};
use crate::net::input::{Front, Input};
use crate::net::request_memory::{Held, TooSlow};
use crate::net::send::send_some;
use crate::node::Node;

/// Output is sent once it holds this much, even if more frames wait.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Requests that came while others were handled are handled too before the answers are sent, up to this many bytes.
const GATHER_BYTES_MAX: usize = 32 * 1024;
/// Answers that may wait behind one another before reading stops.
const WAITING_MAX: usize = 64;
/// A connection is looked at this often per idle time: it closes between 1 and 1.25 times the limit.
const IDLE_TICKS: u32 = 4;

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The client closed it.
    Closed,
    /// It broke a rule; the text says which.
    Refused(&'static str),
    /// It was silent for `connections.max.idle.ms`.
    Idle,
    /// The socket or a file failed.
    Io(io::Error),
}

/// An answer in the queue of those that are not sent yet.
enum Waiting {
    Ready(Output),
    /// With the bytes of its request, which it may still need.
    Pending(Later<Option<Output>>, Next, usize),
}

/// What woke the connection.
enum Woken {
    Input(io::Result<usize>),
    Answer(Option<Output>),
    Tick,
    /// The socket failed while only an answer was awaited.
    HangUp,
    /// It holds back others and brings nothing.
    TooSlow,
}

/// How long nothing was read from or written to a connection. As in Java's `Selector`, a connection counts as idle
/// while a request of it waits, and while it takes no bytes of an answer.
struct Idle<'a> {
    timer: Pin<&'a mut Sleep>,
    tick: Duration,
    silent_ticks: u32,
}

impl Idle<'_> {
    fn poll_tick(&mut self, task: &mut std::task::Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(task)
    }

    /// Begins the next tick; the connection ends when too many passed.
    fn ticked(&mut self) -> Result<(), End> {
        self.silent_ticks += 1;
        if self.silent_ticks > IDLE_TICKS {
            return Err(End::Idle);
        }
        self.timer.set(task::sleep(self.tick));
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    context: Context,
    input: Input,
    output: Output,
    waiting: VecDeque<Waiting>,
    /// Whether the client closed its side; it still gets what it asked for.
    is_half_closed: bool,
    held: Held,
    frame_bytes_max: usize,
}

/// Serves `stream` until it ends.
pub async fn serve(stream: TcpStream, node: Arc<Node>, facts: Arc<ConnectionFacts>) -> End {
    let frame_bytes_max = node.limits.socket_request_max_bytes;
    let idle = node.limits.connections_max_idle;
    let held = Held::new(node.request_memory.clone());
    let context = Context { node, connection: facts, header: unread_header() };
    let mut connection = Connection {
        stream,
        context,
        input: Input::default(),
        output: Output::default(),
        waiting: VecDeque::new(),
        is_half_closed: false,
        held,
        frame_bytes_max,
    };
    connection.run(idle).await
}

/// Stands in the context until the first request came.
fn unread_header() -> RequestHeader {
    RequestHeader { api_key: ApiKey::ApiVersions, api_version: 0, correlation_id: 0, client_id: None }
}

impl Connection {
    async fn run(&mut self, idle: Duration) -> End {
        let tick = (idle / IDLE_TICKS).max(Duration::from_millis(1));
        let timer = pin!(task::sleep(tick));
        let mut idle = Idle { timer, tick, silent_ticks: 0 };
        loop {
            let frames = self.handle_all_that_came();
            self.held.set(self.input.len() + self.waiting_bytes());
            // What was answered before a refused frame still goes out.
            if let Err(end) = self.send_output(&mut idle).await {
                return end;
            }
            match frames {
                Ok(Frames::Left) => continue,
                Ok(Frames::Done) if self.is_half_closed && self.waiting.is_empty() => return End::Closed,
                Ok(Frames::Done) => {}
                Err(end) => return end,
            }
            let woken =
                if self.may_read() { self.input_or_answer(&mut idle).await } else { self.answer(&mut idle).await };
            match woken {
                Woken::Input(Ok(0)) => self.is_half_closed = true,
                Woken::Input(Ok(_)) => idle.silent_ticks = 0,
                Woken::Input(Err(error)) => return End::Io(error),
                Woken::Answer(Some(answer)) => self.release_answers(answer),
                Woken::Answer(None) => return End::Refused("a request that cannot be answered"),
                Woken::HangUp => return End::Closed,
                Woken::TooSlow => return self.too_slow(),
                Woken::Tick => {
                    if let Err(end) = idle.ticked() {
                        return end;
                    }
                }
            }
        }
    }

    /// Sends all of the output; a client that takes nothing of it is idle.
    async fn send_output(&mut self, idle: &mut Idle<'_>) -> Result<(), End> {
        while !self.output.is_empty() {
            let sent = {
                let mut send = pin!(send_some(&self.stream, &mut self.output));
                poll_fn(|context| match send.as_mut().poll(context) {
                    Poll::Ready(sent) => Poll::Ready(Some(sent)),
                    Poll::Pending => idle.poll_tick(context).map(|()| None),
                })
                .await
            };
            match sent {
                Some(Ok(())) => idle.silent_ticks = 0,
                Some(Err(error)) => return Err(End::Io(error)),
                None => idle.ticked()?,
            }
        }
        // Pieces of no length may be left, and room that was held.
        self.output.clear();
        Ok(())
    }

    async fn input_or_answer(&mut self, idle: &mut Idle<'_>) -> Woken {
        poll_fn(|context| {
            if let Poll::Ready(answer) = poll_front(&mut self.waiting, context) {
                return Poll::Ready(Woken::Answer(answer));
            }
            match self.held.poll_read_allowed(context) {
                Poll::Ready(Ok(())) => {
                    if let Poll::Ready(read) = self.input.poll_fill(context, &mut self.stream) {
                        return Poll::Ready(Woken::Input(read));
                    }
                }
                Poll::Ready(Err(TooSlow)) => return Poll::Ready(Woken::TooSlow),
                Poll::Pending => {}
            }
            idle.poll_tick(context).map(|()| Woken::Tick)
        })
        .await
    }

    /// Waits for the front answer without reading. A client that only closed its sending side may still read, so
    /// that this alone ends nothing; a connection that was reset has nobody to answer.
    async fn answer(&mut self, idle: &mut Idle<'_>) -> Woken {
        let mut hang_up = pin!(self.stream.ready(Interest::ERROR));
        poll_fn(|context| {
            if let Poll::Ready(answer) = poll_front(&mut self.waiting, context) {
                return Poll::Ready(Woken::Answer(answer));
            }
            if hang_up.as_mut().poll(context).is_ready() {
                return Poll::Ready(Woken::HangUp);
            }
            idle.poll_tick(context).map(|()| Woken::Tick)
        })
        .await
    }

    /// Handles what was read, then what came meanwhile, so that one wake-up and one write serve every request of a
    /// client that has several in flight. Stops after some bytes: the first answer must not wait for long.
    fn handle_all_that_came(&mut self) -> Result<Frames, End> {
        let mut gathered = 0;
        loop {
            let frames = self.handle_frames()?;
            if frames == Frames::Left || self.output.is_empty() || !self.may_read() || gathered >= GATHER_BYTES_MAX {
                return Ok(frames);
            }
            match self.input.try_fill(&self.stream) {
                // The poll below finds the same end or error again, after the answers are sent.
                None | Some(0) => return Ok(frames),
                Some(count) => gathered += count,
            }
        }
    }

    /// Handles every whole frame that may be handled now.
    fn handle_frames(&mut self) -> Result<Frames, End> {
        loop {
            if self.waiting.len() >= WAITING_MAX || self.must_wait() {
                return Ok(Frames::Done);
            }
            if self.output.memory_bytes() >= OUTPUT_BYTES_MAX {
                return Ok(Frames::Left);
            }
            if !self.waiting.is_empty() && self.input.peek_key() != Some(ApiKey::Produce as i16) {
                return Ok(Frames::Done);
            }
            match self.input.next_frame(self.frame_bytes_max) {
                Front::Frame(frame) => self.handle(frame)?,
                Front::Partial => {
                    self.input.release_when_empty();
                    return Ok(Frames::Done);
                }
                Front::IllegalLength(length) => {
                    tracing::info!(peer = %self.context.connection.peer, length, "illegal request size");
                    return Err(End::Refused("illegal request size"));
                }
            }
        }
    }

    fn too_slow(&self) -> End {
        tracing::warn!(
            peer = %self.context.connection.peer,
            "the memory for requests is full (queued.max.request.bytes) and this connection's comes too slowly, closed"
        );
        End::Refused("a request that comes too slowly while the memory for requests is full")
    }

    /// Bytes of the requests that wait for their answers.
    fn waiting_bytes(&self) -> usize {
        let bytes = self.waiting.iter().map(|waiting| match waiting {
            Waiting::Pending(_, _, bytes) => *bytes,
            Waiting::Ready(_) => 0,
        });
        bytes.sum()
    }

    fn handle(&mut self, frame: Bytes) -> Result<(), End> {
        self.held.end_overdraft();
        let bytes = frame.len();
        if self.waiting.is_empty() {
            return match dispatch(&mut self.context, frame, &mut self.output) {
                Reply::Later { answer, next } => {
                    self.waiting.push_back(Waiting::Pending(answer, next, bytes));
                    Ok(())
                }
                reply => finish(reply),
            };
        }
        let mut output = Output::default();
        match dispatch(&mut self.context, frame, &mut output) {
            Reply::Later { answer, next } => self.waiting.push_back(Waiting::Pending(answer, next, bytes)),
            reply => {
                finish(reply)?;
                self.waiting.push_back(Waiting::Ready(output));
            }
        }
        Ok(())
    }

    /// The answer at the front came: it and those ready behind it may go.
    fn release_answers(&mut self, answer: Output) {
        self.waiting.pop_front();
        self.output.append(answer);
        while matches!(self.waiting.front(), Some(Waiting::Ready(_))) {
            if let Some(Waiting::Ready(output)) = self.waiting.pop_front() {
                self.output.append(output);
            }
        }
    }

    /// Whether an answer is awaited behind which nothing may be handled.
    fn must_wait(&self) -> bool {
        matches!(self.waiting.back(), Some(Waiting::Pending(_, Next::Wait, _)))
    }

    fn may_read(&self) -> bool {
        self.waiting.len() < WAITING_MAX && !self.must_wait() && !self.is_half_closed
    }
}

fn poll_front(waiting: &mut VecDeque<Waiting>, task: &mut std::task::Context<'_>) -> Poll<Option<Output>> {
    match waiting.front_mut() {
        Some(Waiting::Pending(answer, ..)) => answer.as_mut().poll(task),
        Some(Waiting::Ready(_)) | None => Poll::Pending,
    }
}

/// Whether whole frames are left that may be handled as soon as the output is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frames {
    Done,
    Left,
}

fn finish(reply: Reply) -> Result<(), End> {
    match reply {
        Reply::Done | Reply::Silent => Ok(()),
        Reply::Close(reason) => Err(End::Refused(reason)),
        Reply::Later { .. } => unreachable!("both callers keep an answer that comes later"),
    }
}
