//! One kill in each state of a transaction, in both generations of the protocol: what was acknowledged stays, what
//! was not is all there or not at all, the transactional id works on, and nothing hangs.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::node::Node;
use crate::records::read_all;
use crate::txn_client::{End, Protocol, TxnClient, committed_offset};
use crate::wire::Connection;

const PARTITIONS: i32 = 3;

/// When to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Initialized, nothing written.
    Empty,
    /// Written and acknowledged, nothing decided.
    Ongoing,
    /// The commit is asked for and not answered: decided or not, markers written or not.
    Committing,
    /// The same for an abort.
    Aborting,
    /// A new instance of the producer is asked for: the open transaction is being fenced and aborted.
    Fencing,
    /// The commit is acknowledged.
    Committed,
    /// The abort is acknowledged.
    Aborted,
    /// Open, and its client never comes back: the timeout ends it.
    Abandoned,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 8] = [
        Moment::Empty,
        Moment::Ongoing,
        Moment::Committing,
        Moment::Aborting,
        Moment::Fencing,
        Moment::Committed,
        Moment::Aborted,
        Moment::Abandoned,
    ];
}

/// What the log may show after the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Visible,
    Hidden,
    Either,
}

/// Settings under which a broker finds abandoned transactions soon.
pub const SETTINGS: [&str; 1] = ["transaction.abort.timed.out.transaction.cleanup.interval.ms=500"];

/// Kills `rounds` times in each state and protocol.
///
/// # Errors
/// The state in which an invariant broke, and which.
pub fn run(node: &mut Node, rounds: usize, seed: u64) -> anyhow::Result<usize> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut kills = 0;
    for round in 0..rounds {
        for protocol in [Protocol::V1, Protocol::V2] {
            for moment in Moment::ALL {
                let name = format!("{protocol:?}-{moment:?}-{round}");
                let delay = Duration::from_micros(rng.random_range(0..3_000));
                one(node, protocol, moment, &name, delay).with_context(|| format!("killed in {name}"))?;
                kills += 1;
            }
        }
    }
    Ok(kills)
}

fn one(node: &mut Node, protocol: Protocol, moment: Moment, name: &str, delay: Duration) -> anyhow::Result<()> {
    let address = node.address();
    Connection::open(address)?.create_topic(name, PARTITIONS, &[])?;
    let timeout_ms = if moment == Moment::Abandoned { 1_000 } else { 60_000 };
    let mut client = TxnClient::start(address, name, protocol, timeout_ms)?;
    write_all(&mut client, name, "before", 1)?;
    client.end(End::Commit)?;
    let expected = until(&mut client, name, moment, delay)?;
    node.crash()?;
    let mut connection = Connection::open(address)?;
    if moment == Moment::Abandoned {
        await_stable(&mut connection, name, Duration::from_millis(timeout_ms as u64) + Duration::from_secs(10))?;
    }
    // A new instance waits until the decision before is carried out.
    let mut client = TxnClient::start(address, name, protocol, timeout_ms)?;
    check(&mut connection, name, expected)?;
    write_all(&mut client, name, "after", 3)?;
    client.end(End::Commit)?;
    await_stable(&mut connection, name, Duration::from_secs(10))?;
    ensure!(values(&mut connection, name)?.iter().all(|values| values.iter().any(|value| value == "after")));
    let offset = committed_offset(&mut connection, name, name, 0)?;
    ensure!(offset == Some(3), "the committed offset is {offset:?}, not 3");
    Ok(())
}

/// Brings the transaction to the moment of the kill.
fn until(client: &mut TxnClient, name: &str, moment: Moment, delay: Duration) -> anyhow::Result<Outcome> {
    if moment == Moment::Empty {
        return Ok(Outcome::Hidden);
    }
    write_all(client, name, "during", 2)?;
    match moment {
        Moment::Empty | Moment::Ongoing | Moment::Abandoned => return Ok(Outcome::Hidden),
        Moment::Committed => {
            client.end(End::Commit)?;
            return Ok(Outcome::Visible);
        }
        Moment::Aborted => {
            client.end(End::Abort)?;
            return Ok(Outcome::Hidden);
        }
        Moment::Committing => client.send_end(End::Commit)?,
        Moment::Aborting => client.send_end(End::Abort)?,
        Moment::Fencing => client.send_init()?,
    }
    // Not a wait for a condition: the kill shall fall anywhere between the request and the completion.
    let start = Instant::now();
    while start.elapsed() < delay {
        std::hint::spin_loop();
    }
    Ok(if moment == Moment::Committing { Outcome::Either } else { Outcome::Hidden })
}

fn write_all(client: &mut TxnClient, name: &str, value: &str, offset: i64) -> anyhow::Result<()> {
    for partition in 0..PARTITIONS {
        client.produce(name, partition, &[(b"key", value.as_bytes())])?;
    }
    client.commit_offset(name, name, 0, offset)
}

/// All partitions and the offset tell the same outcome, and an allowed one.
fn check(connection: &mut Connection, name: &str, expected: Outcome) -> anyhow::Result<()> {
    await_stable(connection, name, Duration::from_secs(10))?;
    let values = values(connection, name)?;
    let seen: Vec<bool> = values.iter().map(|values| values.iter().any(|value| value == "during")).collect();
    let offset = committed_offset(connection, name, name, 0)?;
    let visible = seen[0];
    ensure!(
        seen.iter().all(|seen| *seen == visible) && offset == Some(if visible { 2 } else { 1 }),
        "torn: the partitions show {seen:?}, the offset is {offset:?}"
    );
    ensure!(
        expected == Outcome::Either || visible == (expected == Outcome::Visible),
        "the transaction is {}, but was to be {expected:?}",
        if visible { "visible" } else { "hidden" }
    );
    ensure!(values.iter().all(|values| values.iter().filter(|value| *value == "before").count() == 1));
    Ok(())
}

fn values(connection: &mut Connection, name: &str) -> anyhow::Result<Vec<Vec<String>>> {
    (0..PARTITIONS)
        .map(|partition| {
            let whole = read_all(connection, name, partition, 1)?;
            Ok(whole.records.into_iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect())
        })
        .collect()
}

/// Waits until nothing is undecided.
fn await_stable(connection: &mut Connection, name: &str, longest: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + longest;
    for partition in 0..PARTITIONS {
        loop {
            let data = connection.fetch(name, partition, 0, 1)?;
            if data.last_stable_offset == data.high_watermark {
                break;
            }
            ensure!(
                Instant::now() < until,
                "partition {partition}: the last stable offset stays at {} below {}",
                data.last_stable_offset,
                data.high_watermark
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}
