//! What the machine itself can do: one connection that reads, checksums, appends to a file and answers; sendfile.
//!
//! The same work as a broker's least, without a broker. Processor time is that of the serving thread alone. Run alone
//! as the scenario `floor`, and in slices between those of a broker by the scenarios that compare with it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, ensure};

use crate::figures::Figure;
use crate::load::IN_FLIGHT;

const SMALL_FRAME: usize = 1200;
const SMALL_ANSWER: usize = 60;
const SMALL_COUNT: usize = 200_000;
const READ_BYTES: usize = 64 * 1024;
const BULK_BYTES: usize = 1_000_000_000;
const FETCH_BYTES: usize = 1 << 20;

/// Measures all four.
///
/// # Errors
/// The system's.
pub fn run() -> anyhow::Result<Vec<Figure>> {
    let small = small(SMALL_COUNT)?;
    let (produce, fetch) = bulk(BULK_BYTES)?;
    let requested = Requested::new(BULK_BYTES)?.run()?;
    Ok(vec![
        Figure::new("cpu per small request", "us", small),
        Figure::new("cpu per GB produced", "s", produce),
        Figure::new("cpu per GB fetched", "s", fetch),
        Figure::new("cpu per GB fetched, 1 MiB asked", "s", requested),
    ])
}

/// Nanoseconds this thread has run (the first field of schedstat).
fn thread_cpu_seconds() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = text.split_whitespace().next().context("a number")?.parse()?;
    Ok(nanos / 1e9)
}

fn pair(client: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static) -> anyhow::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address: SocketAddr = listener.local_addr()?;
    thread::spawn(move || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        client(stream)
    });
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Microseconds a small request of `total`, five in flight.
///
/// # Errors
/// The system's.
pub fn small(total: usize) -> anyhow::Result<f64> {
    let mut stream = pair(move |mut stream| {
        let frame = [7; SMALL_FRAME];
        let mut answer = [0; SMALL_ANSWER];
        for _ in 0..IN_FLIGHT {
            stream.write_all(&frame)?;
        }
        for count in 0..total {
            stream.read_exact(&mut answer)?;
            if count + IN_FLIGHT < total {
                stream.write_all(&frame)?;
            }
        }
        Ok(())
    })?;
    let mut file = tempfile::tempfile()?;
    let answers = [0; SMALL_ANSWER * 64];
    let mut buffer = vec![0; READ_BYTES];
    let (mut filled, mut done) = (0, 0);
    let before = thread_cpu_seconds()?;
    while done < total {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
        let whole = filled / SMALL_FRAME;
        for frame in buffer[..whole * SMALL_FRAME].chunks(SMALL_FRAME) {
            std::hint::black_box(crc32c::crc32c(frame));
            file.write_all(frame)?;
        }
        stream.write_all(&answers[..whole * SMALL_ANSWER])?;
        buffer.copy_within(whole * SMALL_FRAME..filled, 0);
        filled -= whole * SMALL_FRAME;
        done += whole;
    }
    Ok((thread_cpu_seconds()? - before) / done.max(1) as f64 * 1e6)
}

/// Seconds per GB of `total` bytes that are received and stored, and then sent without being asked for.
///
/// # Errors
/// The system's.
pub fn bulk(total: usize) -> anyhow::Result<(f64, f64)> {
    let mut stream = pair(move |mut stream| {
        let mut buffer = vec![7; READ_BYTES];
        let mut left = total;
        while left > 0 {
            let part = left.min(buffer.len());
            stream.write_all(&buffer[..part])?;
            left -= part;
        }
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    })?;
    let mut file = tempfile::tempfile()?;
    let mut buffer = vec![0; READ_BYTES];
    let mut received = 0;
    let before = thread_cpu_seconds()?;
    while received < total {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        std::hint::black_box(crc32c::crc32c(&buffer[..read]));
        file.write_all(&buffer[..read])?;
        received += read;
    }
    let produced = thread_cpu_seconds()?;
    send_all(&stream, &file, received)?;
    let fetched = thread_cpu_seconds()?;
    let gigabytes = received as f64 / 1e9;
    Ok(((produced - before) / gigabytes, (fetched - produced) / gigabytes))
}

/// As the sending of [`bulk`], but the client asks for each MiB and reads it whole before it asks again: the socket is
/// empty each time, so the system does the receiver's part of TCP inside the sender's call. The file is as long as a
/// broker's log, and written in pieces as that is: a short one would stay in the processor's caches.
pub struct Requested {
    file: File,
    rounds: usize,
}

impl Requested {
    /// Writes the file of `total` bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn new(total: usize) -> anyhow::Result<Requested> {
        let rounds = total / FETCH_BYTES;
        let mut file = tempfile::tempfile()?;
        let piece = vec![7; READ_BYTES];
        for _ in 0..rounds * (FETCH_BYTES / READ_BYTES) {
            file.write_all(&piece)?;
        }
        Ok(Requested { file, rounds })
    }

    /// Seconds per GB.
    ///
    /// # Errors
    /// The system's.
    pub fn run(&self) -> anyhow::Result<f64> {
        let rounds = self.rounds;
        let mut stream = pair(move |mut stream| {
            let mut buffer = vec![0; FETCH_BYTES];
            for _ in 0..rounds {
                stream.write_all(&[0; 64])?;
                stream.read_exact(&mut buffer)?;
            }
            Ok(())
        })?;
        let before = thread_cpu_seconds()?;
        for round in 0..rounds {
            stream.read_exact(&mut [0; 64])?;
            let end = ((round + 1) * FETCH_BYTES) as u64;
            let mut offset = end - FETCH_BYTES as u64;
            while offset < end {
                let left = (end - offset) as usize;
                let sent = rustix::fs::sendfile(&stream, &self.file, Some(&mut offset), left)?;
                ensure!(sent > 0, "the file is shorter than it was written");
            }
        }
        Ok((thread_cpu_seconds()? - before) / (rounds * FETCH_BYTES) as f64 * 1e9)
    }
}

fn send_all(stream: &TcpStream, file: &File, length: usize) -> anyhow::Result<()> {
    let mut offset = 0;
    while (offset as usize) < length {
        let part = FETCH_BYTES.min(length - offset as usize);
        rustix::fs::sendfile(stream, file, Some(&mut offset), part)?;
    }
    Ok(())
}
