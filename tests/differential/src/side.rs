//! One of the two brokers: its connections, and what it told us.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::schema;

use crate::generate::{Frame, Request};
use crate::slot::{Learnt, Slot, label};
use crate::value::{self, Value};

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A message.
    Answer(Value),
    /// Nothing, as asked for (acks=0).
    Silence,
    /// The broker closed the connection.
    Closed,
    /// Nothing for a long time.
    TimedOut,
    /// Bytes that are no message of this API and version.
    Garbled(String),
}

impl Outcome {
    /// The message, if there is one.
    pub fn answer(&self) -> Option<&Value> {
        match self {
            Outcome::Answer(value) => Some(value),
            _ => None,
        }
    }
}

/// One broker.
pub struct Side {
    /// Its name in reports.
    pub name: &'static str,
    address: SocketAddr,
    connections: HashMap<u8, Connection>,
    correlation_id: i32,
    /// What it told us.
    pub learnt: Learnt,
}

/// A connection with at most one request under way.
struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

impl Side {
    /// A broker at `address`; connects at the first request.
    pub fn new(name: &'static str, address: SocketAddr) -> Side {
        Side { name, address, connections: HashMap::new(), correlation_id: 0, learnt: Learnt::default() }
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// When no connection can be made, or the request itself cannot be written.
    pub fn call(&mut self, request: &Request) -> anyhow::Result<Outcome> {
        let body = self.learnt.resolve(&request.body);
        if let Some(lost) = self.write(request, &body)? {
            return Ok(lost);
        }
        if request.api_key == 0 && body.int_of("Acks").map(|acks| acks as i16) == Some(0) {
            return self.silence(request.connection);
        }
        self.read(request, &body)
    }

    /// Sends a request whose answer has to wait for another connection; [`Side::collect`] takes the answer.
    ///
    /// # Errors
    /// As [`Side::call`].
    pub fn post(&mut self, request: &Request) -> anyhow::Result<Option<Outcome>> {
        let body = self.learnt.resolve(&request.body);
        self.write(request, &body)
    }

    /// The answer of a request that was posted.
    ///
    /// # Errors
    /// When nothing was posted on its connection.
    pub fn collect(&mut self, request: &Request) -> anyhow::Result<Outcome> {
        let body = self.learnt.resolve(&request.body);
        self.read(request, &body)
    }

    fn write(&mut self, request: &Request, body: &Value) -> anyhow::Result<Option<Outcome>> {
        let frame = self.frame(request, body)?;
        Ok(match self.send(request.connection, &frame)? {
            Ok(()) => None,
            Err(error) => Some(self.lost(request.connection, &error)),
        })
    }

    fn read(&mut self, request: &Request, body: &Value) -> anyhow::Result<Outcome> {
        let answered = match request.frame {
            // A version that nobody knows is answered by a list of those that are known.
            Frame::Version(_) if request.api_key == ApiKey::ApiVersions.number() => 0,
            _ => request.version,
        };
        let outcome = self.receive(request.connection, request.api_key, answered)?;
        if let Outcome::Answer(answer) = &outcome {
            learn(&mut self.learnt, request, body, answer);
        }
        Ok(outcome)
    }

    fn silence(&mut self, connection: u8) -> anyhow::Result<Outcome> {
        // Whether the connection is still there shows with the next request.
        let api_versions = ApiKey::ApiVersions.number();
        let body = Value::Struct(Vec::new());
        let request = Request::on(connection, api_versions, 0, body.clone());
        if let Some(lost) = self.write(&request, &body)? {
            return Ok(lost);
        }
        Ok(match self.receive(connection, api_versions, 0)? {
            Outcome::Answer(_) => Outcome::Silence,
            other => other,
        })
    }

    /// The bytes of a request with its length in front.
    fn frame(&mut self, request: &Request, body: &Value) -> anyhow::Result<Vec<u8>> {
        const UNKNOWN_TAG: [u8; 4] = [1, 100, 1, 7];
        let (key, version) = (request.api_key, request.version);
        let (message, _) = schema::messages(key).context("an API without a definition")?;
        let api = ApiKey::try_from(key).ok().context("an API without a key")?.api();
        let (shown_key, shown_version) = match request.frame {
            Frame::Key(key) => (key, version),
            Frame::Version(version) => (key, version),
            _ => (key, version),
        };
        self.correlation_id += 1;
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&shown_key.to_be_bytes());
        frame.extend_from_slice(&shown_version.to_be_bytes());
        frame.extend_from_slice(&self.correlation_id.to_be_bytes());
        match request.frame {
            Frame::NullClient => frame.extend_from_slice(&[0xff, 0xff]),
            _ => frame.extend_from_slice(b"\0\x04diff"),
        }
        if api.request_header_version(version) >= 2 {
            match request.frame {
                Frame::HeaderTag => frame.extend_from_slice(&UNKNOWN_TAG),
                _ => frame.push(0),
            }
        }
        frame.extend_from_slice(
            &value::encode(message, version, body).with_context(|| format!("{} v{version}", message.name))?,
        );
        match request.frame {
            Frame::Cut(count) => frame.truncate(frame.len().saturating_sub(count).max(4)),
            Frame::Trailing => frame.extend_from_slice(b"more"),
            // The last byte of a flexible message counts its tagged fields; those that have some stay as they are.
            Frame::Tag if schema::within(message.flexible, version) && frame.last() == Some(&0) => {
                frame.pop();
                frame.extend_from_slice(&UNKNOWN_TAG);
            }
            _ => {}
        }
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn send(&mut self, connection: u8, frame: &[u8]) -> anyhow::Result<std::io::Result<()>> {
        if !self.connections.contains_key(&connection) {
            let stream =
                TcpStream::connect(self.address).with_context(|| format!("cannot connect to {}", self.name))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            self.connections.insert(connection, Connection { stream, correlation_id: 0 });
        }
        let to = self.connections.get_mut(&connection).context("just connected")?;
        to.correlation_id = self.correlation_id;
        Ok(to.stream.write_all(frame))
    }

    fn receive(&mut self, connection: u8, key: i16, version: i16) -> anyhow::Result<Outcome> {
        let Connection { stream, correlation_id } =
            self.connections.get_mut(&connection).context("a request was just sent")?;
        let correlation_id = *correlation_id;
        let mut length = [0; 4];
        let mut read = || -> std::io::Result<Vec<u8>> {
            stream.read_exact(&mut length)?;
            let mut frame = vec![0; i32::from_be_bytes(length).max(0) as usize];
            stream.read_exact(&mut frame)?;
            Ok(frame)
        };
        let frame = match read() {
            Ok(frame) => frame,
            Err(error) => return Ok(self.lost(connection, &error)),
        };
        let (_, message) = schema::messages(key).context("an API without a definition")?;
        let api = ApiKey::try_from(key).ok().context("an API without a key")?.api();
        let header = 4 + api.response_header_version(version) as usize;
        if frame.get(..4) != Some(&correlation_id.to_be_bytes()[..]) || frame.len() < header {
            return Ok(Outcome::Garbled(format!("header {:02x?}", &frame[..frame.len().min(8)])));
        }
        Ok(match value::decode(message, version, &frame[header..]) {
            Ok((value, 0)) => Outcome::Answer(value),
            Ok((_, left)) => Outcome::Garbled(format!("{left} bytes behind the message")),
            Err(error) => Outcome::Garbled(format!("{error:#}")),
        })
    }

    fn lost(&mut self, connection: u8, error: &std::io::Error) -> Outcome {
        self.connections.remove(&connection);
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::TimedOut,
            _ => Outcome::Closed,
        }
    }
}

/// Takes ids and epochs out of an answer.
fn learn(learnt: &mut Learnt, request: &Request, body: &Value, answer: &Value) {
    let (key, connection) = (request.api_key, request.connection);
    let is_fine = answer.int_of("ErrorCode").is_none_or(|code| code == 0);
    match key {
        1 if is_fine => {
            let Some(session) = answer.int_of("SessionId").filter(|id| *id != 0) else { return };
            learnt.learn(Slot::Session(connection), Value::Int(session));
            let epoch = body.int_of("SessionEpoch").unwrap_or(0);
            learnt.learn(Slot::SessionEpoch(connection), Value::Int(epoch + 1));
        }
        3 | 19 | 75 => {
            for topic in answer.get("Topics").map(Value::items).unwrap_or_default() {
                if let (Some(name), Some(id)) = (topic.text_of("Name"), topic.get("TopicId"))
                    && topic.int_of("ErrorCode") == Some(0)
                {
                    learnt.learn(Slot::TopicId(name.to_owned()), id.clone());
                }
            }
        }
        11 => {
            let Some(group) = body.text_of("GroupId") else { return };
            if let Some(member) = answer.text_of("MemberId").filter(|id| !id.is_empty())
                && (is_fine || answer.int_of("ErrorCode") == Some(79))
            {
                learnt.learn(Slot::Member(label(group, connection)), Value::Text(member.to_owned()));
            }
            if let (true, Some(generation)) = (is_fine, answer.get("GenerationId")) {
                learnt.learn(Slot::Generation(label(group, connection)), generation.clone());
            }
        }
        // A member that was refused stays, and its group would wait for it.
        13 if is_fine
            && !answer
                .get("Members")
                .map(Value::items)
                .unwrap_or_default()
                .iter()
                .any(|member| member.int_of("ErrorCode") != Some(0)) =>
        {
            if let Some(group) = body.text_of("GroupId") {
                learnt.learn(Slot::Member(label(group, connection)), Value::Text(String::new()));
            }
        }
        22 | 26 if is_fine => learn_producer(learnt, connection, body, answer),
        _ => {}
    }
}

fn learn_producer(learnt: &mut Learnt, connection: u8, body: &Value, answer: &Value) {
    let label = body.text_of("TransactionalId").map_or_else(|| label("", connection), str::to_owned);
    if let (Some(id), Some(epoch)) = (answer.get("ProducerId"), answer.get("ProducerEpoch"))
        && id.int().is_some_and(|id| id >= 0)
    {
        learnt.learn(Slot::ProducerId(label.clone()), id.clone());
        learnt.learn(Slot::ProducerEpoch(label), epoch.clone());
    }
}
