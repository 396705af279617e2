//! Money moves between accounts in transactions, each of which writes two accounts in two partitions and commits an
//! offset, while the broker is killed. After each crash: no money is made or lost, the offset agrees with the
//! accounts, and nothing stays hidden behind a transaction that nobody ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::node::Node;
use crate::records::{Partition, read_all};
use crate::txn_client::{End, Protocol, TxnClient, committed_offset};
use crate::wire::Connection;

const TOPIC: &str = "accounts";
const PARTITIONS: i32 = 3;
const ACCOUNTS: usize = 5;
const FUNDS: i64 = 1000;
/// A transaction whose client is gone is aborted after this long, and the scan that finds it.
const TIMEOUT_MS: i32 = 2_000;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often to kill.
    pub kills: usize,
    /// Clients, each with accounts of its own; every other one speaks the older protocol.
    pub workers: usize,
    /// How long the broker lives between two kills, at most.
    pub life: Duration,
    /// Of the choice of moments, accounts and amounts.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Transfers whose commit was acknowledged.
    pub transfers: u64,
    /// Kills.
    pub kills: usize,
}

/// Runs the workload and the check.
///
/// # Errors
/// What does not add up.
pub fn run(node: &mut Node, plan: Plan) -> anyhow::Result<Report> {
    Connection::open(node.address())?.create_topic(TOPIC, PARTITIONS, &[])?;
    let address = node.address();
    let stop = AtomicBool::new(false);
    let transfers = AtomicU64::new(0);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let workers: Vec<_> = (0..plan.workers)
            .map(|number| {
                let (stop, transfers) = (&stop, &transfers);
                scope.spawn(move || Worker::new(address, number, plan.seed).work(stop, transfers))
            })
            .collect();
        let killed = kill_often(node, plan, &transfers);
        stop.store(true, Ordering::Release);
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect();
        killed?;
        done.into_iter().collect::<anyhow::Result<Vec<()>>>().map(|_| ())
    })?;
    let mut connection = Connection::open(address)?;
    let balances = balances(&mut connection)?;
    let sum: i64 = balances.values().map(|account| account.balance).sum();
    let expected = FUNDS * (ACCOUNTS * plan.workers) as i64;
    ensure!(sum == expected, "the sum of all accounts is {sum}, not {expected}");
    Ok(Report { transfers: transfers.into_inner(), kills: plan.kills })
}

fn kill_often(node: &mut Node, plan: Plan, transfers: &AtomicU64) -> anyhow::Result<()> {
    let mut rng = SmallRng::seed_from_u64(plan.seed);
    for _ in 0..plan.kills {
        let before = transfers.load(Ordering::Acquire);
        let until = Instant::now() + Duration::from_secs(40);
        while transfers.load(Ordering::Acquire) == before {
            ensure!(Instant::now() < until, "nothing is committed any more; the broker's output:\n{}", node.log_tail());
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(plan.life.mul_f64(rng.random()));
        node.crash()?;
    }
    // What the last crash left behind is found and ended too.
    std::thread::sleep(plan.life);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    balance: i64,
    /// The number of the transfer that wrote it.
    transfer: i64,
}

struct Worker {
    address: SocketAddr,
    number: usize,
    rng: SmallRng,
}

impl Worker {
    fn new(address: SocketAddr, number: usize, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number as u64));
        Worker { address, number, rng }
    }

    fn work(mut self, stop: &AtomicBool, transfers: &AtomicU64) -> anyhow::Result<()> {
        let mut disturbed_since = Instant::now();
        loop {
            // Only broken connections and what they leave undecided may disturb a worker, and not for long.
            match self.life(stop, transfers, &mut disturbed_since) {
                Ok(()) => return Ok(()),
                Err(Trouble::Wrong(error)) => return Err(error),
                Err(Trouble::Disturbed(error)) if disturbed_since.elapsed() > Duration::from_secs(40) => {
                    return Err(error.context(format!("worker {} does not get through any more", self.number)));
                }
                Err(Trouble::Disturbed(_)) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// From initialization to the first broken connection.
    fn life(&mut self, stop: &AtomicBool, transfers: &AtomicU64, disturbed_since: &mut Instant) -> Result<(), Trouble> {
        let protocol = if self.number.is_multiple_of(2) { Protocol::V2 } else { Protocol::V1 };
        let id = format!("teller-{}", self.number);
        let mut client = TxnClient::start(self.address, &id, protocol, TIMEOUT_MS)?;
        let mut accounts = self.recover(&mut client.connection)?;
        while !stop.load(Ordering::Acquire) {
            let end = if self.rng.random_ratio(1, 5) { End::Abort } else { End::Commit };
            let after = self.transfer(&mut client, &accounts)?;
            client.end(end)?;
            if end == End::Commit {
                accounts = after;
                transfers.fetch_add(1, Ordering::AcqRel);
            }
            *disturbed_since = Instant::now();
            if self.rng.random_ratio(1, 300) {
                // A client that goes away in the middle: the next life fences and aborts what it left.
                self.transfer(&mut client, &accounts)?;
                return Err(Trouble::Disturbed(anyhow::anyhow!("left on purpose")));
            }
        }
        self.recover(&mut client.connection)?;
        Ok(())
    }

    /// The accounts as they are committed, which must add up and agree with the committed offset.
    fn recover(&self, connection: &mut Connection) -> Result<BTreeMap<usize, Account>, Trouble> {
        let own = format!("{}-", self.number);
        let accounts: BTreeMap<usize, Account> = balances(connection)?
            .into_iter()
            .filter_map(|(key, account)| Some((key.strip_prefix(&own)?.parse().ok()?, account)))
            .collect();
        let offset = committed_offset(connection, &self.group(), TOPIC, 0)?;
        let newest = accounts.values().map(|account| account.transfer).max();
        let sum: i64 = accounts.values().map(|account| account.balance).sum();
        if newest != offset {
            let wrong =
                anyhow::anyhow!("worker {}: transfer {newest:?} is committed, but offset {offset:?}", self.number);
            return Err(Trouble::Wrong(wrong));
        }
        if !accounts.is_empty() && sum != FUNDS * ACCOUNTS as i64 {
            return Err(Trouble::Wrong(anyhow::anyhow!(
                "worker {}: the accounts hold {sum}: {accounts:?}",
                self.number
            )));
        }
        Ok(accounts)
    }

    fn transfer(
        &mut self,
        client: &mut TxnClient,
        accounts: &BTreeMap<usize, Account>,
    ) -> Result<BTreeMap<usize, Account>, Trouble> {
        let mut after = accounts.clone();
        let number = accounts.values().map(|account| account.transfer).max().unwrap_or(0) + 1;
        let touched: Vec<usize> = if accounts.is_empty() {
            after = (0..ACCOUNTS).map(|account| (account, Account { balance: FUNDS, transfer: number })).collect();
            (0..ACCOUNTS).collect()
        } else {
            let from = self.rng.random_range(0..ACCOUNTS);
            let to = (from + self.rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
            let amount = self.rng.random_range(1..100);
            for (account, change) in [(from, -amount), (to, amount)] {
                let account = after.get_mut(&account).context("every account was funded")?;
                account.balance += change;
                account.transfer = number;
            }
            vec![from, to]
        };
        for account in touched {
            let key = format!("{}-{account}", self.number);
            let value = format!("{}:{number}", after[&account].balance);
            client.produce(TOPIC, account as i32 % PARTITIONS, &[(key.as_bytes(), value.as_bytes())])?;
        }
        client.commit_offset(&self.group(), TOPIC, 0, number)?;
        Ok(after)
    }

    fn group(&self) -> String {
        format!("ledger-{}", self.number)
    }
}

/// Why a worker begins anew, or gives up.
enum Trouble {
    /// The broker went away or what it left must be cleared up first.
    Disturbed(anyhow::Error),
    /// An invariant does not hold.
    Wrong(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Disturbed(error)
    }
}

/// The newest committed value of each account. Waits until everything that was there at the beginning is decided:
/// a transaction that nobody ends is aborted by its timeout, and hides what comes after it until then.
fn balances(connection: &mut Connection) -> anyhow::Result<BTreeMap<String, Account>> {
    let mut balances = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in settled(connection, partition)?.records {
            let value = String::from_utf8(record.value)?;
            let (balance, transfer) = value.split_once(':').context("a value is balance:transfer")?;
            let account = Account { balance: balance.parse()?, transfer: transfer.parse()? };
            balances.insert(String::from_utf8(record.key)?, account);
        }
    }
    Ok(balances)
}

fn settled(connection: &mut Connection, partition: i32) -> anyhow::Result<Partition> {
    let end = connection.fetch(TOPIC, partition, 0, 0)?.high_watermark;
    let until = Instant::now() + Duration::from_millis(TIMEOUT_MS as u64) + Duration::from_secs(15);
    loop {
        let whole = read_all(connection, TOPIC, partition, 1)?;
        if whole.last_stable_offset >= end {
            return Ok(whole);
        }
        ensure!(
            Instant::now() < until,
            "partition {partition}: the last stable offset stays at {} below {end}",
            whole.last_stable_offset
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
