//! The text of a `.checkpoint` file: a version, how many lines follow, and `topic partition offset` in each
//! (OffsetCheckpoint). Stores in memory and global stores have such a file; RocksDB keeps the offsets itself.

use std::fmt::Write as _;

use crate::state::error::Malformed;

/// An offset that is not known (OFFSET_UNKNOWN): the store must be restored from the beginning.
pub const UNKNOWN: i64 = -4;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to restore, or `UNKNOWN`.
    pub offset: i64,
}

/// The file's text; None for no file where there are no lines.
pub fn write(lines: &[Line]) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let mut text = format!("0\n{}\n", lines.len());
    for Line { topic, partition, offset } in lines {
        writeln!(text, "{topic} {partition} {offset}").expect("a text can be written to");
    }
    Some(text)
}

/// The lines of a file's text. Lines with offsets that cannot be are left out, as Java does.
pub fn read(text: &str) -> Result<Vec<Line>, Malformed> {
    let malformed = || Malformed { what: "checkpoint file", length: text.len() };
    let mut rows = text.lines();
    if rows.next() != Some("0") {
        return Err(malformed());
    }
    let count: usize = rows.next().and_then(|count| count.parse().ok()).ok_or_else(malformed)?;
    let mut lines = Vec::new();
    for row in rows {
        let mut words = row.split_whitespace();
        let (Some(topic), Some(partition), Some(offset), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let partition = partition.parse().map_err(|_| malformed())?;
        lines.push(Line { topic: topic.to_owned(), partition, offset: offset.parse().map_err(|_| malformed())? });
    }
    if lines.len() != count {
        return Err(malformed());
    }
    lines.retain(|line| line.offset >= 0 || line.offset == UNKNOWN);
    Ok(lines)
}
