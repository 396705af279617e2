//! Headers of handlers: each `kNN_*.rs` opens with `Name (key N), vA-vB.`, says who may call it, and holds `SERVES`
//! with the same versions, from which ApiVersions answers.

use millstream_broker_server::api::dispatch::SERVED;
use millstream_protocol::api_key::APIS;

use crate::files::{text, with_ending};

/// Handlers whose header is wrong, and served APIs without a handler.
pub fn broken() -> Vec<String> {
    let mut broken = Vec::new();
    let mut keys = Vec::new();
    for path in with_ending(".rs") {
        let Some(number) = key_of(&path) else { continue };
        keys.push(number);
        let served = SERVED.iter().find(|(key, _)| *key as i16 == number);
        let (Some(api), Some((_, versions))) = (APIS.iter().find(|api| api.key as i16 == number), served) else {
            broken.push(format!("{path}: key {number} is not served"));
            continue;
        };
        let source = text(&path);
        let range = if versions.min == versions.max {
            format!("v{}", versions.min)
        } else {
            format!("v{}-v{}", versions.min, versions.max)
        };
        let expected = format!("//! {} (key {number}), {range}.", api.name);
        if !source.starts_with(&expected) {
            broken.push(format!("{path} does not open with \"{expected}\""));
        }
        for part in ["//! Authorizes:", "pub const SERVES: Versions"] {
            if !source.contains(part) {
                broken.push(format!("{path} has no \"{part}\""));
            }
        }
    }
    for (key, _) in SERVED.iter().filter(|(key, _)| !keys.contains(&(*key as i16))) {
        broken.push(format!("{key:?} is served by no file of its own"));
    }
    broken
}

fn key_of(path: &str) -> Option<i16> {
    let name = path.strip_prefix("broker/server/src/api/k")?;
    if name.contains('/') { None } else { name.split_once('_')?.0.parse().ok() }
}
