//! The scenarios: each starts a broker of its own on an empty folder, loads it and answers its figures.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_base_env::clock::Moment;
use millstream_protocol::messages::ApiVersionsRequest;

use crate::broker::{Broker, Kind};
use crate::figures::{Figure, Slices, percentile};
use crate::floor;
use crate::load::{Connection, batch, produce_frame};

const TOPIC: &str = "bench";
/// Requests before the clock starts: Java compiles what is hot.
const WARM_SMALL: usize = 30_000;
const SMALL_COUNT: usize = 200_000;
/// Parts of a run, each beside a part of the floor.
const SLICES: usize = 5;
const LARGE_BYTES: usize = 1_000_000_000;
const LARGE_RECORDS: usize = 600;
const FETCH_BYTES: usize = 1 << 20;
const LATENCY_RECORDS: usize = 5_000;
const LATENCY_INTERVAL: Duration = Duration::from_millis(2);
const PARTITIONS: usize = 5_000;
const PARTITIONS_PER_TOPIC: usize = 100;
const IDLE_CONNECTIONS: usize = 5_000;
/// How long memory settles before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// A scenario by name.
pub type Scenario = fn(&Kind, &Path) -> anyhow::Result<Vec<Figure>>;

/// Every scenario that needs a broker.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("start", start),
    ("produce-small", produce_small),
    ("produce-large", produce_large),
    ("fetch", fetch),
    ("latency", latency),
    ("partitions-5000", partitions),
    ("idle-connections", idle_connections),
];

/// A connection to a broker that may not serve yet, although its port is open.
fn connect(broker: &Broker) -> anyhow::Result<Connection> {
    let started = Moment::now();
    loop {
        let answered = Connection::open(broker.address()).and_then(|mut connection| {
            connection.call(0, &ApiVersionsRequest::default())?;
            Ok(connection)
        });
        match answered {
            Ok(connection) => return Ok(connection),
            Err(error) if started.elapsed() > Duration::from_secs(60) => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn start(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    connect(&broker)?;
    thread::sleep(SETTLE);
    let idle = broker.resident_mb()?;
    let (before, since) = (broker.cpu_seconds()?, Moment::now());
    thread::sleep(Duration::from_secs(5));
    let cpu_share = (broker.cpu_seconds()? - before) / since.elapsed().as_secs_f64() * 100.0;
    let mut connection = connect(&broker)?;
    connection.create(TOPIC, 1)?;
    connection.produce(TOPIC, &produce_frame(TOPIC, batch(LARGE_RECORDS, 100))?, LARGE_BYTES / 2 / 65_000)?;
    thread::sleep(SETTLE);
    Ok(vec![
        Figure::new("start to open port", "s", broker.port_open.as_secs_f64()),
        Figure::new("resident idle", "MB", idle),
        Figure::new("cpu while idle", "% of a core", cpu_share),
        Figure::new("resident after load", "MB", broker.resident_mb()?),
    ])
}

fn produce_small(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    let mut connection = connect(&broker)?;
    connection.create(TOPIC, 1)?;
    let frame = produce_frame(TOPIC, batch(10, 100))?;
    connection.produce(TOPIC, &frame, WARM_SMALL)?;
    let (mut slices, mut busy) = (Slices::default(), Duration::ZERO);
    for _ in 0..SLICES {
        let floor = floor::small(SMALL_COUNT / SLICES)?;
        let (cpu, time) = (broker.cpu_seconds()?, Moment::now());
        connection.produce(TOPIC, &frame, SMALL_COUNT / SLICES)?;
        busy += time.elapsed();
        slices.push((broker.cpu_seconds()? - cpu) / (SMALL_COUNT / SLICES) as f64 * 1e6, floor);
    }
    let mut figures = slices.figures("cpu per request", "us");
    figures.push(Figure::new("requests", "per s", SMALL_COUNT as f64 / busy.as_secs_f64()));
    figures.push(Figure::new("resident", "MB", broker.resident_mb()?));
    Ok(figures)
}

fn produce_large(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    let mut connection = connect(&broker)?;
    connection.create(TOPIC, 1)?;
    let batch = batch(LARGE_RECORDS, 100);
    let count = LARGE_BYTES / SLICES / batch.len();
    let frame = produce_frame(TOPIC, batch.clone())?;
    connection.produce(TOPIC, &frame, count)?;
    let gigabytes = (count * batch.len()) as f64 / 1e9;
    let (mut slices, mut busy) = (Slices::default(), Duration::ZERO);
    for _ in 0..SLICES {
        let (floor, _) = floor::bulk(LARGE_BYTES / SLICES)?;
        let (cpu, time) = (broker.cpu_seconds()?, Moment::now());
        connection.produce(TOPIC, &frame, count)?;
        busy += time.elapsed();
        slices.push((broker.cpu_seconds()? - cpu) / gigabytes, floor);
    }
    let mut figures = slices.figures("cpu per GB produced", "s");
    figures.push(Figure::new("throughput", "MB/s", gigabytes * SLICES as f64 * 1e3 / busy.as_secs_f64()));
    figures.push(Figure::new("resident", "MB", broker.resident_mb()?));
    Ok(figures)
}

fn fetch(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    let mut connection = connect(&broker)?;
    connection.create(TOPIC, 1)?;
    let batch = batch(LARGE_RECORDS, 100);
    let count = LARGE_BYTES / batch.len();
    connection.produce(TOPIC, &produce_frame(TOPIC, batch.clone())?, count)?;
    let mut buffer = vec![0; FETCH_BYTES];
    let end = (count * LARGE_RECORDS) as i64;
    let mut read_all = || -> anyhow::Result<(usize, usize)> {
        let (mut offset, mut bytes, mut requests) = (0, 0, 0);
        while offset < end {
            let fetched = connection.fetch(TOPIC, 0, offset, &mut buffer)?;
            // A broker may cut the last batch at the limit; it is fetched again.
            let batches = fetched.bytes / batch.len();
            ensure!(batches > 0, "a fetch without a whole batch");
            offset += (batches * LARGE_RECORDS) as i64;
            bytes += fetched.bytes;
            requests += 1;
        }
        Ok((bytes, requests))
    };
    read_all()?;
    let floor = floor::Requested::new(LARGE_BYTES)?;
    floor.run()?;
    let (mut slices, mut busy, mut per_request) = (Slices::default(), Duration::ZERO, Slices::default());
    let mut gigabytes = 0.0;
    for _ in 0..SLICES {
        let floor = floor.run()?;
        let (cpu, time) = (broker.cpu_seconds()?, Moment::now());
        let (bytes, requests) = read_all()?;
        busy += time.elapsed();
        let cpu = broker.cpu_seconds()? - cpu;
        gigabytes = bytes as f64 / 1e9;
        slices.push(cpu / gigabytes, floor);
        per_request.push(cpu / requests as f64 * 1e6, floor * gigabytes / requests as f64 * 1e6);
    }
    let mut figures = slices.figures("cpu per GB fetched", "s");
    let asked = per_request.figures("cpu per request", "us");
    figures.extend(asked.first().copied());
    figures.extend(asked.last().map(|above| Figure::new("above the floor, per request", "us", above.value)));
    figures.push(Figure::new("throughput", "MB/s", gigabytes * SLICES as f64 * 1e3 / busy.as_secs_f64()));
    figures.push(Figure::new("resident", "MB", broker.resident_mb()?));
    Ok(figures)
}

fn latency(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    let mut producer = connect(&broker)?;
    producer.create(TOPIC, 1)?;
    let epoch = Moment::now();
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..LATENCY_RECORDS).map(|_| AtomicU64::new(0)).collect());
    let mut consumer = connect(&broker)?;
    let sent_at = sent.clone();
    let one = batch(1, 100);
    let batch_bytes = one.len();
    let consuming = thread::spawn(move || -> anyhow::Result<Vec<f64>> {
        let mut buffer = vec![0; 64 * 1024];
        let mut latencies = Vec::with_capacity(LATENCY_RECORDS);
        while latencies.len() < LATENCY_RECORDS {
            let fetched = consumer.fetch(TOPIC, 0, latencies.len() as i64, &mut buffer)?;
            let now = epoch.elapsed().as_nanos() as u64;
            for _ in 0..fetched.bytes / batch_bytes {
                let sent = sent_at.get(latencies.len()).context("more records than were sent")?;
                latencies.push((now - sent.load(Ordering::Acquire)) as f64 / 1e6);
            }
        }
        Ok(latencies)
    });
    let frame = produce_frame(TOPIC, one)?;
    for (index, sent) in sent.iter().enumerate() {
        let due = LATENCY_INTERVAL * u32::try_from(index)?;
        thread::sleep(due.saturating_sub(epoch.elapsed()));
        sent.store(epoch.elapsed().as_nanos() as u64, Ordering::Release);
        producer.produce(TOPIC, &frame, 1)?;
    }
    let mut latencies = consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    // The first tenth warms Java up.
    latencies.drain(..LATENCY_RECORDS / 10);
    latencies.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("end to end p50", "ms", percentile(&latencies, 0.5)),
        Figure::new("end to end p99", "ms", percentile(&latencies, 0.99)),
        Figure::new("end to end p99.9", "ms", percentile(&latencies, 0.999)),
    ])
}

fn partitions(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut broker = Broker::start(kind, data)?;
    let mut connection = connect(&broker)?;
    let time = Moment::now();
    for index in 0..PARTITIONS / PARTITIONS_PER_TOPIC {
        connection.create(&format!("{TOPIC}-{index}"), i32::try_from(PARTITIONS_PER_TOPIC)?)?;
    }
    let created = time.elapsed().as_secs_f64();
    let frame = produce_frame(&format!("{TOPIC}-0"), batch(1, 100))?;
    connection.produce(&format!("{TOPIC}-0"), &frame, 1)?;
    let resident = broker.resident_mb()?;
    broker.kill()?;
    let time = Moment::now();
    let broker = Broker::start(kind, data)?;
    let mut buffer = vec![0; 4096];
    loop {
        let mut connection = connect(&broker)?;
        if connection.fetch(&format!("{TOPIC}-0"), 0, 0, &mut buffer).is_ok_and(|fetched| fetched.bytes > 0) {
            break;
        }
        ensure!(time.elapsed() < Duration::from_secs(120), "no fetch is answered after the restart");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(vec![
        Figure::new("create", "s", created),
        Figure::new("first fetch after kill -9", "s", time.elapsed().as_secs_f64()),
        Figure::new("resident", "MB", resident),
        Figure::new("resident after restart", "MB", broker.resident_mb()?),
    ])
}

fn idle_connections(kind: &Kind, data: &Path) -> anyhow::Result<Vec<Figure>> {
    let broker = Broker::start(kind, data)?;
    connect(&broker)?;
    thread::sleep(SETTLE);
    let before = broker.resident_mb()?;
    let connections = (0..IDLE_CONNECTIONS).map(|_| connect(&broker)).collect::<anyhow::Result<Vec<_>>>()?;
    thread::sleep(SETTLE);
    let grown = broker.resident_mb()? - before;
    Ok(vec![Figure::new("resident per connection", "KB", grown * 1e3 / connections.len() as f64)])
}
