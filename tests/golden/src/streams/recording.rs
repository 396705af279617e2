//! A recording, read: header lines, each with its cases.

use std::io;
use std::path::Path;

use serde_json::Value;

/// A scenario under one configuration, and its cases.
pub struct Group {
    /// The header.
    pub header: Value,
    /// The cases.
    pub cases: Vec<Value>,
}

impl Group {
    /// The scenario's name.
    pub fn scenario(&self) -> &str {
        self.header["scenario"].as_str().expect("a header names its scenario")
    }

    /// A setting; None if it has Kafka Streams' default.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.header["config"][name].as_str()
    }
}

/// Reads a recording; one whose name ends in `.zst` is packed.
pub fn read(path: &Path) -> io::Result<Vec<Group>> {
    let bytes = std::fs::read(path)?;
    let is_packed = path.extension().is_some_and(|end| end == "zst");
    let bytes = if is_packed { zstd::decode_all(bytes.as_slice())? } else { bytes };
    let mut groups: Vec<Group> = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let wrong = |what: &str| io::Error::other(format!("line {}: {what}", number + 1));
        let value: Value = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
        match (value.get("golden"), groups.last_mut()) {
            (Some(_), _) => groups.push(Group { header: value, cases: Vec::new() }),
            (None, Some(group)) => group.cases.push(value),
            (None, None) => return Err(wrong("a case before the first header")),
        }
    }
    Ok(groups)
}
