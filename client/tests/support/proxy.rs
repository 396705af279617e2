//! A proxy between clients and a broker that spoils connections: answers come late or in pieces, streams end in the
//! middle of frames, by FIN or by RST, or fall silent, and at times nobody is let through at all.
//!
//! What happens on a connection follows from the seed and the number of the connection; when it happens is the clock's.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What was done to connections, by the names in [`FAULTS`].
pub const FAULTS: [&str; 6] = ["late", "in pieces", "half a frame", "reset", "silent", "nobody let through"];
const LATE: usize = 0;
const PIECES: usize = 1;
const HALF: usize = 2;
const RESET: usize = 3;
const SILENT: usize = 4;
const CLOSED: usize = 5;

#[derive(Default)]
struct State {
    calm: AtomicBool,
    /// What came from the broker.
    bytes: AtomicU64,
    /// Nobody is let through.
    closed: AtomicBool,
    done: [AtomicUsize; FAULTS.len()],
}

impl State {
    fn did(&self, fault: usize) {
        self.done[fault].fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Proxy {
    listener: Option<TcpListener>,
    port: u16,
    seed: u64,
    state: Arc<State>,
}

/// When a connection ends, and its number, from which how follows.
#[derive(Clone, Copy)]
struct Death {
    at: Instant,
    number: u64,
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Rst,
}

impl Proxy {
    /// Takes a port; lets no one through before [`Proxy::open`].
    pub fn new(seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        Proxy { listener: Some(listener), port, seed, state: Arc::default() }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets clients through to `broker`.
    pub fn open(&mut self, broker: String) {
        let listener = self.listener.take().expect("opened once");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let (seed, state) = (self.seed, self.state.clone());
        tokio::spawn(close_at_times(StdRng::seed_from_u64(seed), state.clone()));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let random = StdRng::seed_from_u64(seed ^ (connection << 20));
                let (broker, state) = (broker.clone(), state.clone());
                tokio::spawn(async move { pass(client, &broker, (connection, random), &state).await });
            }
        });
    }

    /// Bytes that came from the broker so far.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// From now on everything passes as it comes.
    pub fn calm(&self) {
        self.state.calm.store(true, Ordering::Release);
    }

    /// What was done how often.
    pub fn report(&self) -> String {
        let counts = FAULTS.iter().zip(&self.state.done);
        let counts: Vec<String> =
            counts.map(|(name, done)| format!("{} {name}", done.load(Ordering::Relaxed))).collect();
        counts.join(", ")
    }

    /// Kinds of faults that never came, but for silence, which is rare.
    pub fn missing(&self) -> Vec<&'static str> {
        let counts = FAULTS.iter().zip(&self.state.done).filter(|(name, _)| **name != FAULTS[SILENT]);
        counts.filter(|(_, done)| done.load(Ordering::Relaxed) == 0).map(|(name, _)| *name).collect()
    }
}

async fn close_at_times(mut random: StdRng, state: Arc<State>) {
    while !state.calm.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(random.random_range(1500..4000))).await;
        if !state.calm.load(Ordering::Acquire) {
            state.did(CLOSED);
            state.closed.store(true, Ordering::Release);
            tokio::time::sleep(Duration::from_millis(random.random_range(50..900))).await;
            state.closed.store(false, Ordering::Release);
        }
    }
}

/// One connection, which after a while of its own comes to a bad end.
async fn pass(mut client: TcpStream, broker: &str, (number, mut random): (u64, StdRng), state: &State) -> Option<()> {
    if state.closed.load(Ordering::Acquire) {
        return None;
    }
    let mut broker = TcpStream::connect(broker).await.ok()?;
    client.set_nodelay(true).ok()?;
    broker.set_nodelay(true).ok()?;
    let dies = Death { at: Instant::now() + Duration::from_millis(random.random_range(5..1800)), number };
    let (one, other) = (StdRng::seed_from_u64(random.random()), StdRng::seed_from_u64(random.random()));
    let end = {
        let ((from_client, to_client), (from_broker, to_broker)) = (client.split(), broker.split());
        let uncounted = AtomicU64::new(0);
        tokio::select! {
            end = pump(from_client, to_broker, one, dies, (state, &uncounted)) => end,
            end = pump(from_broker, to_client, other, dies, (state, &state.bytes)) => end,
        }
    };
    if end == End::Rst {
        client.set_zero_linger().ok()?;
        broker.set_zero_linger().ok()?;
    }
    Some(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut random: StdRng,
    dies: Death,
    (state, count): (&State, &AtomicU64),
) -> End {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return End::Fin,
            Ok(size) => size,
        };
        let bytes = &buffer[..size];
        count.fetch_add(size as u64, Ordering::Relaxed);
        if state.calm.load(Ordering::Acquire) {
            if to.write_all(bytes).await.is_err() {
                return End::Fin;
            }
            continue;
        }
        if state.closed.load(Ordering::Acquire) {
            return End::Fin;
        }
        if Instant::now() >= dies.at {
            return die(bytes, to, (dies.number, random), state).await;
        }
        if spoil(bytes, &mut to, &mut random, state).await.is_err() {
            return End::Fin;
        }
    }
}

/// Passes bytes on, perhaps late or in pieces.
async fn spoil(
    bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    random: &mut StdRng,
    state: &State,
) -> std::io::Result<()> {
    match random.random_range(0..100) {
        0..6 => {
            state.did(LATE);
            tokio::time::sleep(Duration::from_millis(random.random_range(1..150))).await;
            to.write_all(bytes).await
        }
        6..16 => {
            state.did(PIECES);
            let mut rest = bytes;
            for _ in 0..random.random_range(1..6) {
                let (piece, behind) = rest.split_at(random.random_range(0..=rest.len()));
                to.write_all(piece).await?;
                to.flush().await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                rest = behind;
            }
            to.write_all(rest).await
        }
        _ => to.write_all(bytes).await,
    }
}

async fn die(bytes: &[u8], mut to: impl AsyncWrite + Unpin, (number, mut random): (u64, StdRng), state: &State) -> End {
    let part = &bytes[..random.random_range(0..bytes.len())];
    match number % 10 {
        0..5 => {
            state.did(HALF);
            // Whether it is read or not: the connection ends.
            let _ = to.write_all(part).await;
            End::Fin
        }
        5..9 => {
            state.did(RESET);
            let _ = to.write_all(part).await;
            End::Rst
        }
        _ => {
            state.did(SILENT);
            tokio::time::sleep(Duration::from_millis(random.random_range(500..4000))).await;
            End::Fin
        }
    }
}
