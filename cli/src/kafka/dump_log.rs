//! kafka-dump-log: files of a partition as text (Java: `DumpLogSegments`).
//!
//! Reads files only; no broker is asked, and none has to be stopped. What is wrong with an index is told on standard
//! error behind everything else.
//!
//! Not done: batches of the formats before 2 (Apache 4 writes none), decoder classes other than Apache's StringDecoder,
//! IntegerDecoder and LongDecoder, --remote-log-metadata-decoder. The metadata log of our own broker is not in Apache's
//! form, so --cluster-metadata-decoder reads Apache's alone.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millstream_broker_log::dump::{self, OffsetEntry};

use crate::Ended;
use crate::kafka::options::{Given, Options};

/// Batches and records.
mod batches;
/// Keys and values as text.
mod decode;
/// A line of named values.
mod line;

use batches::LogFile;
use line::{Line, say};

const ABOUT: &str = "This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly corrupt log segment.";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-dump-log", ABOUT)
        .value("files", "file1, file2, ...", "REQUIRED: The data and index files to dump, with commas between.")
        .flag("print-data-log", "Print keys and values of records too; every decoder flag implies it.")
        .flag("deep-iteration", "Look at every record, not only at batches.")
        .flag("verify-index-only", "Check the index without printing it.")
        .flag("index-sanity-check", "Check only what a broker checks of an index when it starts.")
        .value("max-message-size", "size", "Size of the largest record. [default: 5242880]")
        .value("max-bytes", "size", "Bytes of a .log file to read at most.")
        .optional_value(
            "value-decoder-class",
            "class",
            "How values are read. [default: org.apache.kafka.tools.api.StringDecoder]",
        )
        .optional_value(
            "key-decoder-class",
            "class",
            "How keys are read. [default: org.apache.kafka.tools.api.StringDecoder]",
        )
        .flag("offsets-decoder", "The records are those of __consumer_offsets.")
        .flag("transaction-log-decoder", "The records are those of __transaction_state.")
        .flag("cluster-metadata-decoder", "The records are those of the cluster's metadata.")
        .flag("remote-log-metadata-decoder", "The records are those of remote log metadata.")
        .flag("share-group-state-decoder", "The records are those of __share_group_state.")
        .flag("skip-record-metadata", "Print keys and values alone, and no control records.")
}

/// What is printed of an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexView {
    /// Its entries, and what is wrong with them.
    Entries,
    /// What is wrong with them (`--verify-index-only`).
    Faults,
    /// Whether a broker would take it (`--index-sanity-check`).
    Sanity,
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let given = match options().read(words).and_then(|given| given.required(&["files"]).map(|()| given)) {
        Ok(given) => given,
        Err(ended) => return ended,
    };
    let mut faults = Faults::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = dump_all(&given, &mut faults, &mut out);
    let flushed = out.flush();
    match (done, flushed) {
        (Err(Problem::Said(line)), _) => Ended::Failed(line),
        (Err(Problem::Output), _) | (_, Err(_)) => Ended::FailedAloud,
        (Err(Problem::Usage(ended)), _) => ended,
        (Ok(()), Ok(())) => {
            faults.print();
            Ended::Well
        }
    }
}

/// Why a dump ended early.
enum Problem {
    /// A file is not what it should be; Java would have thrown.
    Said(String),
    /// Standard output is gone.
    Output,
    /// The flags are wrong.
    Usage(Ended),
}

impl From<io::Error> for Problem {
    fn from(_: io::Error) -> Self {
        Problem::Output
    }
}

impl From<Ended> for Problem {
    fn from(ended: Ended) -> Self {
        Problem::Usage(ended)
    }
}

fn said<T>(line: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Said(line.into()))
}

/// What is wrong with indexes and logs, by file.
#[derive(Default)]
struct Faults {
    index: BTreeMap<String, Vec<(i64, i64)>>,
    time: BTreeMap<String, Vec<(i64, i64)>>,
    order: BTreeMap<String, Vec<(i64, i64)>>,
    absent: BTreeMap<String, Vec<(i64, i64)>>,
    gaps: BTreeMap<String, Vec<(i64, i64)>>,
}

impl Faults {
    fn print(&self) {
        let list = |faults: &BTreeMap<String, Vec<(i64, i64)>>, title: &str, first: &str, second: &str| {
            for (file, pairs) in faults {
                eprintln!("{title}{file}");
                pairs.iter().for_each(|(left, right)| eprintln!("  {first}{left}{second}{right}"));
            }
        };
        list(&self.index, "Mismatches in :", "Index offset: ", ", log offset: ");
        list(&self.time, "Found timestamp mismatch in :", "Index timestamp: ", ", log timestamp: ");
        list(&self.order, "Found out of order timestamp in :", "Index timestamp: ", ", Previously indexed timestamp: ");
        list(
            &self.absent,
            "The following indexed offsets are not found in :",
            "Indexed offset: ",
            ", found log offset: ",
        );
        list(&self.gaps, "Non-consecutive offsets in ", "", " is followed by ");
    }
}

/// Adds a pair to those of a file.
fn note(faults: &mut BTreeMap<String, Vec<(i64, i64)>>, path: &Path, pair: (i64, i64)) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    faults.entry(absolute.display().to_string()).or_default().push(pair);
}

fn dump_all(given: &Given, faults: &mut Faults, out: &mut impl Write) -> Result<(), Problem> {
    let view = if given.has("index-sanity-check") {
        IndexView::Sanity
    } else if given.has("verify-index-only") {
        IndexView::Faults
    } else {
        IndexView::Entries
    };
    let list = given.one("files")?.unwrap_or_default().trim_end_matches(',');
    for name in list.split(',') {
        let path = java_path(name);
        say(&format!("Dumping {}", path.display()), out)?;
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let suffix = file_name.rfind('.').map_or("", |dot| &file_name[dot..]);
        match suffix {
            ".log" | ".checkpoint" => {
                let max_bytes = given.parsed("max-bytes")?.unwrap_or(i32::MAX);
                let dump = batches::Dump::new(given, decode::Decoder::of(given)?, max_bytes);
                dump.write(&path, &file_name, faults, out)?;
            }
            ".index" => {
                let record_bytes_max = given.parsed("max-message-size")?.unwrap_or(5 << 20);
                dump_index(&path, view, record_bytes_max, faults, out)?;
            }
            ".timeindex" => dump_time_index(&path, view, faults, out)?,
            ".snapshot" => dump_producers(&path, out)?,
            ".txnindex" => dump_aborted(&path, out)?,
            _ => eprintln!("Ignoring unknown file {}", path.display()),
        }
    }
    Ok(())
}

/// A path as `java.io.File` keeps it: no doubled and no trailing slashes.
fn java_path(name: &str) -> PathBuf {
    let mut kept = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter != '/' || !kept.ends_with('/') {
            kept.push(letter);
        }
    }
    if kept.len() > 1 && kept.ends_with('/') {
        kept.pop();
    }
    PathBuf::from(kept)
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).or_else(|error| said(format!("{}: {error}", path.display())))
}

/// The offset in a file's name.
fn base_offset(path: &Path) -> Result<i64, Problem> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().or_else(|_| said(format!("For input string: \"{digits}\"")))
}

/// The file of the same segment with another ending.
fn beside(path: &Path, base: &Path, ending: &str) -> PathBuf {
    let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{}{ending}", name.split('.').next().unwrap_or_default()))
}

fn dump_index(
    path: &Path,
    view: IndexView,
    bytes_max: i32,
    faults: &mut Faults,
    out: &mut impl Write,
) -> Result<(), Problem> {
    let base = base_offset(path)?;
    let log = LogFile::open(&beside(path, path, ".log"))?;
    let bytes = read(path)?;
    let entries = dump::offset_entries(&bytes, base);
    let Some(last) = entries.last() else {
        say(&format!("{} is empty.", path.display()), out)?;
        return Ok(());
    };
    if view == IndexView::Sanity {
        if last.offset < base {
            return said(format!(
                "Corrupt index found, index file ({}) has non-zero size but the last offset is {} which is less than the base offset {base}",
                path.display(),
                last.offset
            ));
        }
        whole_entries(path, bytes.len(), dump::OFFSET_ENTRY_BYTES)?;
        say(&format!("{} passed sanity check.", path.display()), out)?;
        return Ok(());
    }
    let mut wrong = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        // An index is laid out with zeros behind its entries while its broker runs.
        if entry.offset == base && number > 0 {
            break;
        }
        let Some(batch) = log.slice(entry.position, bytes_max)?.next()? else {
            return said(format!("no batch at position {} of the log", entry.position));
        };
        if batch.header.last_offset() != entry.offset {
            wrong.push((entry.offset, batch.header.last_offset()));
        }
        if view == IndexView::Entries {
            let mut line = Line::default();
            line.number("offset:", entry.offset);
            line.number("position:", entry.position);
            line.write("", out)?;
        }
    }
    wrong.into_iter().rev().for_each(|pair| note(&mut faults.index, path, pair));
    Ok(())
}

fn whole_entries(path: &Path, length: usize, entry: usize) -> Result<(), Problem> {
    if length.is_multiple_of(entry) {
        return Ok(());
    }
    said(format!(
        "Index file {} is corrupt, found {length} bytes which is neither positive nor a multiple of {entry}",
        path.display()
    ))
}

fn dump_time_index(path: &Path, view: IndexView, faults: &mut Faults, out: &mut impl Write) -> Result<(), Problem> {
    let base = base_offset(path)?;
    let log = LogFile::open(&beside(path, path, ".log"))?;
    let offsets = dump::offset_entries(&read(&beside(path, path, ".index"))?, base);
    let bytes = read(path)?;
    let entries = dump::time_entries(&bytes, base);
    if view == IndexView::Sanity {
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            if last.timestamp < first.timestamp {
                return said(format!(
                    "Corrupt time index found, time index file ({}) has non-zero size but the last timestamp is {} which is less than the first timestamp {}",
                    path.display(),
                    last.timestamp,
                    first.timestamp
                ));
            }
            if last.offset < base {
                return said(format!(
                    "Corrupt time index found, time index file ({}) has non-zero size but the last offset is {} which is less than the first offset {base}",
                    path.display(),
                    last.offset
                ));
            }
        }
        whole_entries(path, bytes.len(), dump::TIME_ENTRY_BYTES)?;
        say(&format!("{} passed sanity check.", path.display()), out)?;
        return Ok(());
    }
    let mut before = -1;
    for (number, entry) in entries.iter().enumerate() {
        if entry.offset == base && number > 0 {
            break;
        }
        let mut slice = log.slice(position_of(&offsets, entry.offset), i32::MAX)?;
        let mut found = None;
        while let Some(batch) = slice.next()? {
            if batch.header.last_offset() >= entry.offset {
                found = Some(batch);
                break;
            }
        }
        match found {
            Some(batch) if batch.header.last_offset() == entry.offset => {
                let largest = batches::largest_timestamp(&batch)?;
                if largest != entry.timestamp {
                    note(&mut faults.time, path, (entry.timestamp, largest));
                }
                if before >= entry.timestamp {
                    note(&mut faults.order, path, (entry.timestamp, before));
                }
            }
            other => {
                note(&mut faults.absent, path, (entry.offset, other.map_or(-1, |batch| batch.header.last_offset())))
            }
        }
        if view == IndexView::Entries {
            let mut line = Line::default();
            line.number("timestamp:", entry.timestamp);
            line.number("offset:", entry.offset);
            line.write("", out)?;
        }
        before = entry.timestamp;
    }
    Ok(())
}

/// Where to begin to look for an offset.
fn position_of(entries: &[OffsetEntry], offset: i64) -> i32 {
    let after = entries.partition_point(|entry| entry.offset <= offset && (entry.position > 0 || entry.offset > 0));
    after.checked_sub(1).map_or(0, |index| entries[index].position)
}

fn dump_producers(path: &Path, out: &mut impl Write) -> Result<(), Problem> {
    let producers = match dump::producers(&read(path)?) {
        Ok(producers) => producers,
        Err(reason) => {
            eprintln!("Snapshot failed schema validation: {reason}");
            return Ok(());
        }
    };
    for producer in producers {
        let mut line = Line::default();
        line.number("producerId:", producer.producer_id);
        line.number("producerEpoch:", producer.epoch);
        line.number("coordinatorEpoch:", producer.coordinator_epoch);
        line.optional("currentTxnFirstOffset:", producer.txn_first_offset);
        line.number("lastTimestamp:", producer.last_timestamp);
        if let Some(batch) = producer.last_batch {
            line.number("firstSequence:", batch.first_sequence);
            line.number("lastSequence:", batch.last_sequence);
            line.number("lastOffset:", batch.last_offset);
            line.number("offsetDelta:", batch.offset_delta);
            line.number("timestamp:", batch.timestamp);
        }
        line.write("", out)?;
    }
    Ok(())
}

fn dump_aborted(path: &Path, out: &mut impl Write) -> Result<(), Problem> {
    base_offset(path)?;
    // Apache's tool takes a file that is not there for one without entries.
    let bytes = if path.exists() { read(path)? } else { Vec::new() };
    let (entries, end) = dump::aborted_entries(&bytes);
    for entry in entries {
        let mut line = Line::default();
        line.number("version:", 0);
        line.number("producerId:", entry.producer_id);
        line.number("firstOffset:", entry.first_offset);
        line.number("lastOffset:", entry.last_offset);
        line.number("lastStableOffset:", entry.last_stable_offset);
        line.write("", out)?;
    }
    end.or_else(|line| said(format!("{}: {line}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_java_keeps_them() {
        assert_eq!(java_path("a//b/"), PathBuf::from("a/b"));
        assert_eq!(java_path("/"), PathBuf::from("/"));
    }

    #[test]
    fn a_search_begins_at_the_entry_before() {
        let entries = [(5, 100), (9, 300)].map(|(offset, position)| OffsetEntry { offset, position });
        assert_eq!([4, 5, 8, 9, 50].map(|offset| position_of(&entries, offset)), [0, 100, 100, 300, 300]);
        // Zeros behind the entries are none.
        let padded = [(5, 100), (0, 0)].map(|(offset, position)| OffsetEntry { offset, position });
        assert_eq!(position_of(&padded, 7), 100);
    }
}
