//! The text beside a committed offset: base64 of the partition's time and of what processors keep there, such as the window
//! close time that was emitted last (TopicPartitionMetadata, ProcessorMetadata). Without it late records would be taken
//! again after a restart.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Fields, write_nullable};
use crate::state::error::Malformed;

const LATEST: u8 = 2;
/// The time of a partition of which no record was seen.
pub const UNKNOWN_TIME: i64 = -1;

/// What stands beside a committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The largest timestamp of the partition's records.
    pub partition_time: i64,
    /// A number by the name of a processor. Java writes them in the order of a hash map; here they are sorted.
    pub processors: BTreeMap<String, i64>,
}

impl Default for PartitionMetadata {
    fn default() -> PartitionMetadata {
        PartitionMetadata { partition_time: UNKNOWN_TIME, processors: BTreeMap::new() }
    }
}

impl PartitionMetadata {
    /// The text.
    pub fn encode(&self) -> String {
        let mut out = vec![LATEST];
        out.extend_from_slice(&self.partition_time.to_be_bytes());
        if !self.processors.is_empty() {
            let count = i32::try_from(self.processors.len()).expect("fewer than 2 billion processors");
            out.extend_from_slice(&count.to_be_bytes());
            for (name, number) in &self.processors {
                write_nullable(Some(name.as_bytes()), &mut out);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        STANDARD.encode(out)
    }

    /// From the text. An empty one holds nothing; one of an unknown form is an error, which the caller logs and takes
    /// for an empty one, as Java does.
    pub fn decode(text: &str) -> Result<PartitionMetadata, Malformed> {
        let what = "metadata of a committed offset";
        let mut metadata = PartitionMetadata::default();
        if text.is_empty() {
            return Ok(metadata);
        }
        let bytes = STANDARD.decode(text).map_err(|_| Malformed { what, length: text.len() })?;
        let mut fields = Fields::of(Bytes::from(bytes), what);
        let version = fields.u8()?;
        if version == 0 || version > LATEST {
            return Err(fields.error());
        }
        metadata.partition_time = fields.i64()?;
        if version == 1 || fields.remaining() == 0 {
            return Ok(metadata);
        }
        for _ in 0..fields.i32()? {
            let name = fields.nullable()?.ok_or_else(|| fields.error())?;
            metadata.processors.insert(String::from_utf8_lossy(&name).into_owned(), fields.i64()?);
        }
        Ok(metadata)
    }

    /// Takes over the other's processors where their number is larger.
    pub fn merge(&mut self, other: &PartitionMetadata) {
        for (name, number) in &other.processors {
            let mine = self.processors.entry(name.clone()).or_insert(*number);
            *mine = (*mine).max(*number);
        }
    }
}
