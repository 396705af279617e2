//! One of the two brokers: its connection, and what it told us.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use millstream_protocol::api_key::ApiKey;
use millstream_protocol::schema;

use crate::generate::Request;
use crate::slot::{Learnt, Slot};
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
    stream: Option<TcpStream>,
    correlation_id: i32,
    /// What it told us.
    pub learnt: Learnt,
}

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

impl Side {
    /// A broker at `address`; connects at the first request.
    pub fn new(name: &'static str, address: SocketAddr) -> Side {
        Side { name, address, stream: None, correlation_id: 0, learnt: Learnt::default() }
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// When no connection can be made, or the request itself cannot be written.
    pub fn call(&mut self, request: &Request) -> anyhow::Result<Outcome> {
        let body = self.learnt.resolve(&request.body);
        if let Err(error) = self.send(request.api_key, request.version, &body)? {
            return Ok(self.lost(&error));
        }
        if request.api_key == 0 && body.int_of("Acks") == Some(0) {
            return self.silence();
        }
        let outcome = self.receive(request.api_key, request.version)?;
        if let Outcome::Answer(answer) = &outcome {
            learn(&mut self.learnt, request.api_key, &body, answer);
        }
        Ok(outcome)
    }

    fn silence(&mut self) -> anyhow::Result<Outcome> {
        // Whether the connection is still there shows with the next request.
        let api_versions = ApiKey::ApiVersions.number();
        if let Err(error) = self.send(api_versions, 0, &Value::Struct(Vec::new()))? {
            return Ok(self.lost(&error));
        }
        Ok(match self.receive(api_versions, 0)? {
            Outcome::Answer(_) => Outcome::Silence,
            other => other,
        })
    }

    fn send(&mut self, key: i16, version: i16, body: &Value) -> anyhow::Result<std::io::Result<()>> {
        let (message, _) = schema::messages(key).context("an API without a definition")?;
        let api = ApiKey::try_from(key).ok().context("an API without a key")?.api();
        self.correlation_id += 1;
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&self.correlation_id.to_be_bytes());
        frame.extend_from_slice(&[0, 4]);
        frame.extend_from_slice(b"diff");
        if api.request_header_version(version) >= 2 {
            frame.push(0);
        }
        frame.extend_from_slice(&value::encode(message, version, body).with_context(|| format!("{} v{version}", message.name))?);
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).with_context(|| format!("cannot connect to {}", self.name))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            self.stream = Some(stream);
        }
        Ok(self.stream.as_mut().context("just connected")?.write_all(&frame))
    }

    fn receive(&mut self, key: i16, version: i16) -> anyhow::Result<Outcome> {
        let stream = self.stream.as_mut().context("a request was just sent")?;
        let mut length = [0; 4];
        let mut read = || -> std::io::Result<Vec<u8>> {
            stream.read_exact(&mut length)?;
            let mut frame = vec![0; i32::from_be_bytes(length).max(0) as usize];
            stream.read_exact(&mut frame)?;
            Ok(frame)
        };
        let frame = match read() {
            Ok(frame) => frame,
            Err(error) => return Ok(self.lost(&error)),
        };
        let (_, message) = schema::messages(key).context("an API without a definition")?;
        let api = ApiKey::try_from(key).ok().context("an API without a key")?.api();
        let header = 4 + api.response_header_version(version) as usize;
        if frame.get(..4) != Some(&self.correlation_id.to_be_bytes()[..]) || frame.len() < header {
            return Ok(Outcome::Garbled(format!("header {:02x?}", &frame[..frame.len().min(8)])));
        }
        Ok(match value::decode(message, version, &frame[header..]) {
            Ok((value, 0)) => Outcome::Answer(value),
            Ok((_, left)) => Outcome::Garbled(format!("{left} bytes behind the message")),
            Err(error) => Outcome::Garbled(format!("{error:#}")),
        })
    }

    fn lost(&mut self, error: &std::io::Error) -> Outcome {
        self.stream = None;
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::TimedOut,
            _ => Outcome::Closed,
        }
    }
}

/// Takes ids and epochs out of an answer.
fn learn(learnt: &mut Learnt, key: i16, body: &Value, answer: &Value) {
    let is_fine = answer.int_of("ErrorCode").is_none_or(|code| code == 0);
    match key {
        1 if is_fine => {
            if let Some(session) = answer.int_of("SessionId").filter(|id| *id != 0) {
                learnt.learn(Slot::Session, Value::Int(session));
            }
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
                learnt.learn(Slot::Member(group.to_owned()), Value::Text(member.to_owned()));
            }
            if let (true, Some(generation)) = (is_fine, answer.get("GenerationId")) {
                learnt.learn(Slot::Generation(group.to_owned()), generation.clone());
            }
        }
        13 if is_fine => {
            if let Some(group) = body.text_of("GroupId") {
                learnt.learn(Slot::Member(group.to_owned()), Value::Text(String::new()));
            }
        }
        22 | 26 if is_fine => learn_producer(learnt, body, answer),
        _ => {}
    }
}

fn learn_producer(learnt: &mut Learnt, body: &Value, answer: &Value) {
    let label = body.text_of("TransactionalId").unwrap_or_default().to_owned();
    if let (Some(id), Some(epoch)) = (answer.get("ProducerId"), answer.get("ProducerEpoch"))
        && id.int().is_some_and(|id| id >= 0)
    {
        learnt.learn(Slot::ProducerId(label.clone()), id.clone());
        learnt.learn(Slot::ProducerEpoch(label), epoch.clone());
    }
}
