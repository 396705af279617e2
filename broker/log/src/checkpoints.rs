//! Apache's checkpoint files: a version, a count, a line per entry (Java: `CheckpointFile`,
//! `OffsetCheckpointFile`), and `partition.metadata`.

use std::collections::BTreeMap;
use std::fmt::Write;

use uuid::Uuid;

pub(crate) const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_START: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARK: &str = "replication-offset-checkpoint";
pub(crate) const CLEANER: &str = "cleaner-offset-checkpoint";
pub(crate) const LEADER_EPOCH: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Offset by topic and partition.
pub(crate) type Offsets = BTreeMap<(String, i32), i64>;

/// The lines of a checkpoint file of version 0; `None` when it is malformed. An empty file has none.
pub(crate) fn entries(text: &str) -> Option<Vec<&str>> {
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Some(Vec::new()) };
    if version != "0" {
        return None;
    }
    let Some(count) = lines.next() else { return Some(Vec::new()) };
    let count: usize = count.parse().ok()?;
    let lines: Vec<&str> = lines.collect();
    if lines.len() == count { Some(lines) } else { None }
}

/// The text of a checkpoint file.
pub(crate) fn render(entries: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&entry);
        text.push('\n');
    }
    text
}

/// Reads `topic partition offset` lines; `None` when malformed.
pub(crate) fn parse_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for line in entries(text)? {
        let mut words = line.split_ascii_whitespace();
        let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        offsets.insert((topic.to_owned(), partition.parse().ok()?), offset.parse().ok()?);
    }
    Some(offsets)
}

/// Writes `topic partition offset` lines.
pub(crate) fn render_offsets(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        writeln!(text, "{topic} {partition} {offset}").expect("a String takes what is written");
    }
    text
}

/// The topic id in `partition.metadata`; `None` when the file is empty or malformed.
pub(crate) fn parse_partition_metadata(text: &str) -> Option<Uuid> {
    let mut version = None;
    let mut topic_id = None;
    for line in text.lines() {
        match line.split_once(": ")? {
            ("version", value) => version = value.trim().parse::<i32>().ok(),
            ("topic_id", value) => topic_id = parse_uuid(value.trim()),
            _ => return None,
        }
    }
    if version == Some(0) { topic_id } else { None }
}

/// The text of `partition.metadata`.
pub(crate) fn render_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {}", render_uuid(topic_id))
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An id as Kafka prints it: base64 of the 16 bytes, URL alphabet, no padding (Java: `Uuid.toString`).
pub fn render_uuid(id: Uuid) -> String {
    let mut text = String::with_capacity(22);
    for chunk in id.as_bytes().chunks(3) {
        let mut bits = 0u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for index in 0..=chunk.len() {
            text.push(char::from(BASE64_URL[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

/// Reads an id as Kafka prints it.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() != 22 {
        return None;
    }
    let mut bytes = Vec::with_capacity(18);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for index in 0..4 {
            let value = match chunk.get(index) {
                Some(digit) => BASE64_URL.iter().position(|known| known == digit)? as u32,
                None => 0,
            };
            bits = bits << 6 | value;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    Uuid::from_slice(bytes.get(..16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_as_java_prints_them() {
        // From `Uuid.toString` of Apache Kafka 4.3.1.
        let id = Uuid::from_u128(0x3254_ce04_4c34_4e54_b052_7443_4a91_8d8a);
        assert_eq!(parse_uuid(&render_uuid(id)), Some(id));
        assert_eq!(render_uuid(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(render_uuid(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse_uuid("short"), None);
        assert_eq!(parse_uuid("AAAAAAAAAAAAAAAAAAAA!A"), None);
    }

    #[test]
    fn offsets_survive_the_file() {
        let offsets = Offsets::from([(("a".to_owned(), 1), 7), (("b.c".to_owned(), 0), 0)]);
        let text = render_offsets(&offsets);
        assert_eq!(text, "0\n2\na 1 7\nb.c 0 0\n");
        assert_eq!(parse_offsets(&text), Some(offsets));
        for bad in ["1\n0\n", "0\n2\na 1 7\n", "0\nx\n", "0\n1\na 1\n", "0\n1\na 1 7 8\n"] {
            assert_eq!(parse_offsets(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn partition_metadata_is_apaches() {
        let id = Uuid::from_u128(42);
        let text = render_partition_metadata(id);
        assert_eq!(text, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAKg");
        assert_eq!(parse_partition_metadata(&text), Some(id));
        assert_eq!(parse_partition_metadata(""), None);
        assert_eq!(parse_partition_metadata("version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAKg"), None);
    }
}
