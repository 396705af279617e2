//! Names on disk: partition folders and the files inside them (Java: `LogFileUtils`, `LocalLog`).

use std::path::{Path, PathBuf};

use millstream_base_env::Disk;
use uuid::Uuid;

use crate::read::Reading;

pub(crate) const LOG: &str = ".log";
pub(crate) const OFFSET_INDEX: &str = ".index";
pub(crate) const TIME_INDEX: &str = ".timeindex";
pub(crate) const TXN_INDEX: &str = ".txnindex";
pub(crate) const SNAPSHOT: &str = ".snapshot";
/// Written by compaction, not complete yet.
pub(crate) const CLEANED: &str = ".cleaned";
/// Complete, about to take the place of older segments.
pub(crate) const SWAP: &str = ".swap";
/// Waits for `file.delete.delay.ms`.
pub(crate) const DELETED: &str = ".deleted";
/// Ends the name of a folder that waits to be removed.
pub(crate) const DELETE_FOLDER: &str = "-delete";
/// Ends the name of a folder that is being filled as a new place for a partition.
pub(crate) const FUTURE_FOLDER: &str = "-future";
/// Ends the name of a folder that belongs to no partition of this broker.
pub(crate) const STRAY_FOLDER: &str = "-stray";

/// The four files of a segment, in the order in which they are renamed and removed.
pub(crate) const SEGMENT_FILES: [&str; 4] = [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX];

/// Where the files of one segment lie.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) folder: &'a Path,
    pub(crate) base_offset: i64,
    /// `CLEANED`, `SWAP` or nothing.
    pub(crate) suffix: &'static str,
    /// Whether what is read there may wait for the disk.
    pub(crate) reading: Reading,
}

impl Place<'_> {
    /// The same, for a reader that may not wait.
    pub(crate) fn read_as(self, reading: Reading) -> Self {
        Place { reading, ..self }
    }

    /// The path of one of the segment's files.
    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{:020}{kind}{}", self.base_offset, self.suffix))
    }
}

/// Base offset and the rest of a file's name, when it begins with a number.
pub(crate) fn parse_file(name: &str) -> Option<(i64, &str)> {
    let dot = name.find('.')?;
    let base_offset: i64 = name[..dot].parse().ok()?;
    if base_offset < 0 || !name.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    Some((base_offset, &name[dot..]))
}

/// `topic-3`
pub(crate) fn partition_folder(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// `topic-3.<32 hex digits>-delete`, the topic cut so that the name stays within 255 bytes.
pub(crate) fn deleted_folder(topic: &str, partition: i32) -> String {
    let rest = format!("-{partition}.{}{DELETE_FOLDER}", Uuid::new_v4().simple());
    format!("{}{rest}", &topic[..topic.len().min(255 - rest.len())])
}

/// `topic-3.<32 hex digits>-stray`, cut alike.
pub(crate) fn stray_folder(topic: &str, partition: i32) -> String {
    let rest = format!("-{partition}.{}{STRAY_FOLDER}", Uuid::new_v4().simple());
    format!("{}{rest}", &topic[..topic.len().min(255 - rest.len())])
}

/// Topic and partition of a folder's name.
pub(crate) fn parse_partition_folder(name: &str) -> Option<(&str, i32)> {
    let dash = name.rfind('-')?;
    let (topic, partition) = (&name[..dash], &name[dash + 1..]);
    if topic.is_empty() || !partition.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// Whether a folder's name says that it waits to be removed.
pub(crate) fn is_deleted_folder(name: &str) -> bool {
    name.ends_with(DELETE_FOLDER) && name.contains('.')
}

/// Whether a folder is none of this broker's partitions in service.
pub(crate) fn is_set_aside(name: &str) -> bool {
    (name.ends_with(FUTURE_FOLDER) || name.ends_with(STRAY_FOLDER)) && name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_apaches() {
        assert_eq!(parse_partition_folder("a-b-12"), Some(("a-b", 12)));
        assert_eq!(parse_partition_folder("a.b-0"), Some(("a.b", 0)));
        for bad in ["a", "-1", "a-", "a-x", "lost+found"] {
            assert_eq!(parse_partition_folder(bad), None, "{bad}");
        }
        let long = "t".repeat(249);
        let name = deleted_folder(&long, 2_000_000_000);
        assert_eq!(name.len(), 255);
        assert!(is_deleted_folder(&name) && !is_deleted_folder("my-delete"));
    }

    #[test]
    fn file_names_begin_with_the_base_offset() {
        assert_eq!(parse_file("00000000000000000012.log"), Some((12, ".log")));
        assert_eq!(parse_file("00000000000000000012.timeindex.cleaned"), Some((12, ".timeindex.cleaned")));
        assert_eq!(parse_file("partition.metadata"), None);
        assert_eq!(parse_file("leader-epoch-checkpoint"), None);
        assert_eq!(parse_file("+1.log"), None);
    }
}
