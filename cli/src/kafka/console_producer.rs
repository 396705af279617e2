//! kafka-console-producer: standard input to a topic, a record a line (Java: `ConsoleProducer`).
//!
//! A thread of its own reads lines, so that what was typed is sent while the next line is awaited. As with Apache's, each
//! record that cannot be written is named on standard error when that is known (`ErrorLoggingCallback`) and the rest goes
//! on; only a line that cannot be read ends the tool with 1. A signal closes the producer first, so that what was sent and
//! still lingers is written; a second one gives it up. What was read and not sent is counted on standard
//! error; what is still in the pipe, or has no end of a line yet, is not read.
//!
//! Not done: --line-reader with a class of one's own, --socket-buffer-size.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::config::ProducerConfig;
use client::error::ClientError;
use client::metadata::Cluster;
use client::producer::{Delivery, Header, NewRecord, Producer};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use millstream_base_env::task;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Ended;
use crate::kafka::line_reader::{LineReader, Typed};
use crate::kafka::options::{Given, Options};
use crate::kafka::{block_on, named_server};
use crate::signals::{Signals, tell};

const ABOUT: &str = "This tool helps to read data from standard input and publish it to Kafka.";
/// Lines that wait for the producer at most, besides those that came with them.
const LINES_MAX: usize = 1024;
/// Records of which nobody knows yet whether they are written, at most; `buffer.memory` bounds them by their bytes.
const DELIVERIES_MAX: usize = 1 << 16;
/// Flags that set a key of the producer, with the values that they have when they are not given.
const SETTINGS: [(&str, &str, &str); 9] = [
    ("timeout", "linger.ms", "1000"),
    ("request-required-acks", "acks", "-1"),
    ("request-timeout-ms", "request.timeout.ms", "1500"),
    ("message-send-max-retries", "retries", "3"),
    ("retry-backoff-ms", "retry.backoff.ms", "100"),
    ("max-memory-bytes", "buffer.memory", "33554432"),
    ("batch-size", "batch.size", "16384"),
    ("metadata-expiry-ms", "metadata.max.age.ms", "300000"),
    ("max-block-ms", "max.block.ms", "60000"),
];

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-console-producer", ABOUT)
        .value("topic", "topic", "REQUIRED: The topic to write to.")
        .servers("server to connect to")
        .flag("sync", "Send a record only when the one before is written.")
        .optional_value("compression-codec", "compression-codec", "none, gzip, snappy, lz4 or zstd; gzip without a value.")
        .value("batch-size", "size", "Bytes of a batch (batch.size).")
        .value("message-send-max-retries", "number", "How often a batch is sent again (retries).")
        .value("retry-backoff-ms", "ms", "How long to wait before it is (retry.backoff.ms).")
        .value("timeout", "timeout_ms", "How long a record waits for others to join its batch (linger.ms).")
        .value("request-required-acks", "request required acks", "When a record counts as written: 0, 1, all (acks).")
        .value("request-timeout-ms", "request timeout ms", "How long an answer is awaited (request.timeout.ms).")
        .value("metadata-expiry-ms", "metadata expiration interval", "How long metadata is trusted (metadata.max.age.ms).")
        .value("max-block-ms", "max block on send", "How long to wait for a topic or for memory (max.block.ms).")
        .value("max-memory-bytes", "total memory in bytes", "Memory of records that wait (buffer.memory).")
        .value("max-partition-memory-bytes", "memory in bytes per partition", "(Deprecated) As --batch-size.")
        .value("line-reader", "reader_class", "The class that reads lines; only LineMessageReader is there.")
        .value("socket-buffer-size", "size", "Accepted and left to the system.")
        .value("property", "prop", "(Deprecated) As --reader-property.")
        .value(
            "reader-property",
            "prop",
            "How a line is read, key=value: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, \
             headers.key.separator, ignore.error, null.marker.",
        )
        .value("reader-config", "config file", "The same from a properties file.")
        .value("producer-property", "producer_prop", "(Deprecated) As --command-property.")
        .value("command-property", "producer_prop", "A config of the producer, key=value.")
        .value("producer.config", "config file", "(Deprecated) As --command-config.")
        .producer_config("config file")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let started = options().read(words).and_then(checked).and_then(|given| {
        let reader = LineReader::new(&reader_properties(&given)?).map_err(Ended::Failed)?;
        let (config, unknown) = ProducerConfig::from_properties(producer_properties(&given)?)
            .map_err(|error| Ended::Failed(error.to_string()))?;
        unknown.iter().for_each(|key| eprintln!("kafka-console-producer: {key} is no config of a producer; left out"));
        block_on(write_all(&given, reader, config))
    });
    started.map_or_else(|ended| ended, |()| Ended::Well)
}

fn checked(given: Given) -> Result<Given, Ended> {
    given.required(&["topic"])?;
    for (old, new) in [
        ("producer.config", "command-config"),
        ("producer-property", "command-property"),
        ("property", "reader-property"),
    ] {
        if given.has(old) && given.has(new) {
            return given.misuse(format!("Options --{new} and --{old} cannot be specified together."));
        }
    }
    for (old, new) in [
        ("producer-property", "command-property"),
        ("producer.config", "command-config"),
        ("property", "reader-property"),
    ] {
        if given.has(old) {
            println!("Warning: --{old} is deprecated and will be removed in a future version. Use --{new} instead.");
        }
    }
    if given.has("max-partition-memory-bytes") {
        println!(
            "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. Use --batch-size instead."
        );
    }
    named_server(&given)?;
    if let Some(class) = given.one("line-reader")?.filter(|class| !class.ends_with("LineMessageReader")) {
        return Err(Ended::Failed(format!("there is no reader {class}; leave --line-reader out")));
    }
    Ok(given)
}

fn reader_properties(given: &Given) -> Result<HashMap<String, String>, Ended> {
    let mut properties = given.properties("reader-config")?;
    properties.extend(given.pairs("property")?);
    properties.extend(given.pairs("reader-property")?);
    Ok(properties)
}

fn producer_properties(given: &Given) -> Result<HashMap<String, String>, Ended> {
    let mut properties = given.properties("producer.config")?;
    properties.extend(given.properties("command-config")?);
    properties.extend(given.pairs("producer-property")?);
    properties.extend(given.pairs("command-property")?);
    let mut set = |key: &str, value: &str| properties.insert(key.to_owned(), value.to_owned());
    set("bootstrap.servers", given.one("bootstrap-server")?.unwrap_or_default());
    let codec = given.one("compression-codec")?.map(|codec| if codec.is_empty() { "gzip" } else { codec });
    set("compression.type", codec.unwrap_or("none"));
    properties.entry("client.id".to_owned()).or_insert_with(|| "console-producer".to_owned());
    for (flag, key, fallback) in SETTINGS {
        if let Some(value) = given.one(flag)? {
            properties.insert(key.to_owned(), value.to_owned());
        }
        properties.entry(key.to_owned()).or_insert_with(|| fallback.to_owned());
    }
    if let Some(size) = given.one("max-partition-memory-bytes")? {
        properties.insert("batch.size".to_owned(), size.to_owned());
    }
    Ok(properties)
}

async fn write_all(given: &Given, reader: LineReader, config: ProducerConfig) -> Result<(), Ended> {
    let topic = given.one("topic")?.unwrap_or_default();
    let mut signals = Signals::new()?;
    let producer = Producer::new(Cluster::with_config(config.connection.clone()), config);
    let (deliveries, sent) = mpsc::unbounded_channel::<Sent<Delivery>>();
    let named = topic.to_owned();
    let telling = tell_failures(sent, move |error: &ClientError| not_written(&named, error));
    let telling = task::spawn("failures of a console producer", telling);
    let mode = if given.has("sync") { Mode::OneByOne } else { Mode::Together };
    let mut writing = Writing {
        producer: &producer,
        topic,
        mode,
        reader,
        lines: Lines::of_stdin(),
        deliveries,
        room: Arc::new(Semaphore::new(DELIVERIES_MAX)),
        held: 0,
        awaited: None,
    };
    let read = tokio::select! {
        read = writing.write_lines() => read,
        signal = signals.caught() => Err(Ended::Signalled(signal)),
    };
    let unsent = writing.unsent();
    if unsent > 0 {
        tell(&format!("kafka-console-producer: {unsent} record(s) that were read are not sent to topic {topic}"));
    }
    let Writing { deliveries, awaited, .. } = writing;
    if let Some(sent) = awaited {
        // When it is taken no more, that is said below.
        let _ = deliveries.send(sent);
    }
    drop(deliveries);
    let ended = close(&producer, &mut signals, read).await;
    // Every record is settled by now.
    if telling.await.is_err() {
        tell("kafka-console-producer: not every failure could be told");
    }
    ended
}

/// Whether a record waits for the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `--sync`
    OneByOne,
    Together,
}

/// A record that was sent, until it is known what became of it.
struct Sent<D> {
    delivery: D,
    /// Its place among [`DELIVERIES_MAX`].
    room: OwnedSemaphorePermit,
}

/// Lines on their way to records.
struct Writing<'a> {
    producer: &'a Producer,
    topic: &'a str,
    mode: Mode,
    reader: LineReader,
    lines: Lines,
    /// Records that were sent, to who tells what became of them.
    deliveries: mpsc::UnboundedSender<Sent<Delivery>>,
    room: Arc<Semaphore>,
    /// Records that are being sent.
    held: usize,
    /// With `--sync`: the record that was sent.
    awaited: Option<Sent<Delivery>>,
}

impl Writing<'_> {
    async fn write_lines(&mut self) -> Result<(), Ended> {
        while let Some(line) = self.lines.next().await {
            let line = line.map_err(|error| Ended::Failed(format!("cannot read standard input: {error}")))?;
            let typed = self.reader.read(&line).map_err(Ended::Failed)?;
            self.held = 1;
            self.write(&typed).await?;
        }
        Ok(())
    }

    async fn write(&mut self, typed: &Typed) -> Result<(), Ended> {
        let headers: Vec<Header<'_>> =
            typed.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().map(str::as_bytes))).collect();
        let record = NewRecord {
            topic: self.topic,
            key: typed.key.as_deref().map(str::as_bytes),
            value: typed.value.as_deref().map(str::as_bytes),
            headers: &headers,
            ..NewRecord::default()
        };
        let failed = |error: ClientError| Ended::Failed(error.to_string());
        // Room comes first: nothing is sent of which nobody would tell.
        let room = self.room.clone().acquire_owned().await;
        let Some(room) = room.ok().filter(|_| !self.deliveries.is_closed()) else {
            return Err(Ended::Failed("failures cannot be told any more".to_owned()));
        };
        let sent = self.producer.send(record).await;
        self.held = 0;
        match (self.mode, sent) {
            (Mode::Together, Ok(delivery)) => {
                // When it is taken no more, the next record finds out.
                let _ = self.deliveries.send(Sent { delivery, room });
            }
            (Mode::Together, Err(error)) => not_written(self.topic, &error),
            (Mode::OneByOne, sent) => {
                let sent = Sent { delivery: sent.map_err(failed)?, room };
                let written = (&mut self.awaited.insert(sent).delivery).await;
                self.awaited = None;
                written.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Records that were read and not sent.
    fn unsent(&mut self) -> usize {
        self.held + self.lines.close()
    }
}

fn not_written(topic: &str, error: &ClientError) {
    tell(&format!("kafka-console-producer: a record to topic {topic} was not written: {error}"));
}

/// Tells of each record that was sent and not written as soon as that is known: one that waits holds no other up.
async fn tell_failures<D, T>(mut sent: mpsc::UnboundedReceiver<Sent<D>>, mut tell: impl FnMut(&ClientError))
where
    D: Future<Output = Result<T, ClientError>>,
{
    let mut waiting: FuturesUnordered<_> = sent.recv().await.into_iter().map(outcome).collect();
    let mut open = true;
    while open || !waiting.is_empty() {
        let settled = tokio::select! {
            next = sent.recv(), if open => {
                match next {
                    Some(next) => waiting.push(outcome(next)),
                    None => open = false,
                }
                continue;
            }
            Some(settled) = waiting.next(), if !waiting.is_empty() => settled,
        };
        if let Err(error) = settled {
            tell(&error);
        }
    }
}

/// What became of a record; from then on another has its room.
async fn outcome<D, T>(sent: Sent<D>) -> Result<T, ClientError>
where
    D: Future<Output = Result<T, ClientError>>,
{
    let Sent { delivery, room } = sent;
    let settled = delivery.await;
    drop(room);
    settled
}

/// Waits until what was sent is settled; the second signal ends that. Gives back how the tool ended.
async fn close(producer: &Producer, signals: &mut Signals, mut ended: Result<(), Ended>) -> Result<(), Ended> {
    let mut signalled = matches!(ended, Err(Ended::Signalled(_)));
    let mut closing = Box::pin(producer.close(Duration::MAX));
    let closed = loop {
        tokio::select! {
            closed = &mut closing => break closed,
            signal = signals.caught() => {
                ended = ended.and(Err(Ended::Signalled(signal)));
                if signalled {
                    break producer.close(Duration::ZERO).await;
                }
                signalled = true;
            }
        }
    };
    if let Err(error) = closed {
        tell(&format!("kafka-console-producer: {error}"));
    }
    ended
}

/// Lines of standard input as they come.
struct Lines {
    coming: mpsc::Receiver<std::io::Result<String>>,
    /// How many have come, those that still wait for room included.
    read: Arc<AtomicUsize>,
    taken: usize,
}

impl Lines {
    /// With a prompt before each when a person types.
    fn of_stdin() -> Self {
        let (lines, coming) = mpsc::channel(LINES_MAX);
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        std::thread::spawn(move || {
            let typed = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
            let prompt = || {
                if typed {
                    print!(">");
                    // Without a prompt one can type all the same.
                    let _ = std::io::stdout().flush();
                }
            };
            read_lines(std::io::stdin().lock(), &counted, &lines, prompt);
        });
        Lines { coming, read, taken: 0 }
    }

    async fn next(&mut self) -> Option<std::io::Result<String>> {
        let next = self.coming.recv().await;
        self.taken += usize::from(matches!(next, Some(Ok(_))));
        next
    }

    /// Takes no more; how many have come and were not taken.
    fn close(&mut self) -> usize {
        self.coming.close();
        self.read.load(Ordering::Acquire) - self.taken
    }
}

/// Reads lines to the end, or until nobody takes them. All that came at once are counted before the first waits for room.
fn read_lines(
    mut input: impl BufRead,
    read: &AtomicUsize,
    lines: &mpsc::Sender<std::io::Result<String>>,
    prompt: impl Fn(),
) {
    let mut text = Vec::new();
    loop {
        if text.is_empty() {
            prompt();
        }
        let known = text.len();
        let count = match input.fill_buf() {
            Ok(more) => {
                text.extend_from_slice(more);
                more.len()
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                // Nobody listens any more when the producer has given up.
                let _ = lines.blocking_send(Err(error));
                return;
            }
        };
        input.consume(count);
        let whole = match text[known..].iter().rposition(|byte| *byte == b'\n') {
            Some(last) => known + last + 1,
            // The last line of all may have no end.
            None if count == 0 => text.len(),
            None => continue,
        };
        let rest = text.split_off(whole);
        let split = lines_of(&text);
        text = rest;
        read.fetch_add(split.len(), Ordering::Release);
        for line in split {
            if lines.blocking_send(Ok(line)).is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

/// The lines of a text that ends where one does. Java's readLine ends a line at a lone carriage return too.
fn lines_of(text: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        lines.extend(line.strip_suffix('\r').unwrap_or(line).split('\r').map(str::to_owned));
    }
    lines
}

#[cfg(test)]
mod tests {
    use futures_util::future::{BoxFuture, FutureExt};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn lines_that_wait_for_room_are_counted() {
        let (lines, coming) = mpsc::channel(1);
        let mut own = Lines { coming, read: Arc::default(), taken: 0 };
        let read = own.read.clone();
        let reading = std::thread::spawn(move || read_lines(&b"a\nb\rc\r\n\nd"[..], &read, &lines, || ()));
        assert_eq!(own.next().await.unwrap().unwrap(), "a");
        // One is in the channel at most; d may be half a line yet.
        assert_eq!(own.read.load(Ordering::Acquire) - own.taken, 3);
        for line in ["b", "c", "", "d"] {
            assert_eq!(own.next().await.unwrap().unwrap(), line);
        }
        assert!(own.next().await.is_none());
        assert_eq!(own.close(), 0);
        reading.join().unwrap();
    }

    #[tokio::test]
    async fn a_failure_is_told_while_an_earlier_record_waits() {
        let (deliveries, sent) = mpsc::unbounded_channel::<Sent<BoxFuture<'static, Result<(), ClientError>>>>();
        let (told, mut heard) = mpsc::unbounded_channel();
        let telling =
            tell_failures(sent, move |error: &ClientError| told.send(error.to_string()).expect("somebody hears"));
        let telling = task::spawn("telling", telling);
        let (leader, awaited) = oneshot::channel::<()>();
        let stuck = async { awaited.await.map_err(|_| ClientError::State("the leader stays away")) };
        let refused = async { Err::<(), _>(ClientError::State("it is refused")) };
        let room = Arc::new(Semaphore::new(2));
        for delivery in [stuck.boxed(), refused.boxed()] {
            let room = room.clone().acquire_owned().await.unwrap();
            assert!(deliveries.send(Sent { delivery, room }).is_ok());
        }
        let first = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.expect("told at once").unwrap();
        assert!(first.contains("it is refused"), "{first}");
        assert_eq!(room.available_permits(), 1, "another record takes its place");
        drop((leader, deliveries));
        telling.await.unwrap();
        assert!(heard.recv().await.unwrap().contains("the leader stays away"));
    }
}
