//! The functions that the topologies are written with, as `tests/golden/README.md` defines them.

use streams::serde::StringSerde;
use streams::{Grouped, Joined, KStream, KTable, StreamsBuilder};

pub(crate) type Text = KStream<String, String>;
pub(crate) type Rows = KTable<String, String>;

/// How much of a text `cat` keeps.
const KEPT: usize = 20;

pub(crate) fn stream(builder: &StreamsBuilder, topic: &str) -> Text {
    builder.stream(topic)
}

pub(crate) fn rows(builder: &StreamsBuilder, topic: &str) -> Rows {
    builder.table(topic, ())
}

pub(crate) fn grouped() -> Grouped<String, String> {
    Grouped::with(StringSerde, StringSerde)
}

pub(crate) fn joined() -> Joined<String, String, String> {
    Joined::with(StringSerde, StringSerde, StringSerde)
}

pub(crate) fn first(value: &str) -> String {
    value.chars().take(1).collect()
}

/// A null in a text.
pub(crate) fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("null")
}

pub(crate) fn cat(left: &str, separator: &str, right: &str) -> String {
    let whole: Vec<char> = left.chars().chain(separator.chars()).chain(right.chars()).collect();
    whole[whole.len().saturating_sub(KEPT)..].iter().collect()
}

pub(crate) fn starts(value: Option<&String>, start: char) -> bool {
    value.is_some_and(|value| value.starts_with(start))
}

pub(crate) fn ends(value: Option<&String>, end: char) -> bool {
    value.is_some_and(|value| value.ends_with(end))
}

/// `gather`: nulls among the values.
pub(crate) fn gather(_key: &String, value: Option<String>, so_far: String) -> Option<String> {
    Some(cat(&so_far, "+", shown(value.as_deref())))
}

pub(crate) fn both(left: &String, right: &String) -> String {
    format!("{left}+{right}")
}

pub(crate) fn left(left: &String, right: Option<&String>) -> String {
    format!("{left}+{}", shown(right.map(String::as_str)))
}

pub(crate) fn outer(left: Option<&String>, right: Option<&String>) -> String {
    format!("{}+{}", shown(left.map(String::as_str)), shown(right.map(String::as_str)))
}

/// Java's String.split: empty texts at the end are left out, but of an empty text one remains.
pub(crate) fn split(value: &str, is_separator: impl Fn(char) -> bool, runs: Runs) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        if !is_separator(character) {
            part.push(character);
            continue;
        }
        while runs == Runs::One && characters.peek().is_some_and(|next| is_separator(*next)) {
            characters.next();
        }
        parts.push(std::mem::take(&mut part));
    }
    parts.push(part);
    if value.is_empty() {
        return parts;
    }
    while parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts
}

/// Whether separators in a row are one, as with `\W+`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    One,
    Each,
}
