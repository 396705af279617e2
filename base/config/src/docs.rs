//! Pages of documentation made of the tables: docs/{broker,topic,producer,consumer,admin,streams}-configs.md.
//!
//! `tests/golden.rs` checks that the pages are current; `UPDATE=1 cargo test -p millstream-base-config` writes them.

use std::fmt::Write;

use crate::key::{Fallback, Key, Update, Valid};

/// One page of keys of the broker: title and rows.
pub fn page(title: &str, keys: &[Key]) -> String {
    page_with(title, keys, Key::documentation)
}

/// One page of keys of a client.
pub fn client_page(title: &str, keys: &[Key]) -> String {
    page_with(title, keys, Key::client_documentation)
}

/// One page of keys of streams.
pub fn streams_page(title: &str, keys: &[Key]) -> String {
    page_with(title, keys, Key::streams_documentation)
}

fn page_with(title: &str, keys: &[Key], documentation: impl Fn(&Key) -> String) -> String {
    let mut text = format!("# {title}\n\nMade from the tables of base/config; do not edit.\n");
    for key in keys.iter().filter(|key| !key.internal) {
        let fallback = match key.fallback {
            Fallback::Required => "none; it must be set".to_owned(),
            Fallback::Null => "null".to_owned(),
            Fallback::Value("") => "empty".to_owned(),
            Fallback::Value(value) => format!("`{value}`"),
        };
        let importance = format!("{:?}", key.importance).to_lowercase();
        let mut facts = format!("{}; default {fallback}; importance {importance}", key.kind.to_string().to_lowercase());
        if let Some(values) = legal(key.valid) {
            let _ = write!(facts, "; {values}");
        }
        match key.update {
            Update::ReadOnly => {}
            Update::PerBroker => facts.push_str("; changes while the broker runs (per broker)"),
            Update::ClusterWide if key.synonyms.is_empty() => {
                facts.push_str("; changes while the broker runs (cluster-wide)");
            }
            Update::ClusterWide => {}
        }
        if let Some(synonym) = key.synonyms.first() {
            let _ = write!(facts, "; broker key `{}`", synonym.name);
        }
        let _ = write!(text, "\n## {}\n{}\n\n{facts}\n", key.name, documentation(key));
    }
    text
}

fn legal(valid: Valid) -> Option<String> {
    Some(match valid {
        Valid::Any => return None,
        Valid::AtLeast(min) => format!("at least {min}"),
        Valid::Between(min, max) => format!("{min} to {max}"),
        Valid::BetweenOr(min, max, other) => format!("{min} to {max}, or {other}"),
        Valid::Fraction(min, max) => format!("{min} to {max}"),
        Valid::OneOf(texts) | Valid::OneOfIgnoringCase(texts) => format!("one of {}", texts.join(", ")),
        Valid::ListOf(texts) => format!("any of {}", texts.join(", ")),
        Valid::SomeOf(texts) => format!("at least one of {}", texts.join(", ")),
        Valid::Items => "no item empty".to_owned(),
        Valid::SomeItems => "at least one item, none empty".to_owned(),
        Valid::Voters => "id@host:port, ...".to_owned(),
        Valid::HostPorts => "host:port, ...".to_owned(),
        Valid::NonEmpty => "not empty".to_owned(),
        Valid::NonNull => "not null".to_owned(),
        Valid::ThrottledReplicas => "partition:broker pairs, or *".to_owned(),
        Valid::OffsetReset => "latest, earliest, none or by_duration:PnDTnHnMn.nS".to_owned(),
        Valid::ShareOffsetReset => "latest, earliest or by_duration:PnDTnHnMn.nS".to_owned(),
    })
}
