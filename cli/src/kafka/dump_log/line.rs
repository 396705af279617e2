//! A line of a dump: named values, as Apache's tool writes them or, with `--output json`, as an object.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::kafka::output;

/// The values of a line.
#[derive(Default)]
pub struct Line {
    text: String,
    object: Map<String, Value>,
}

impl Line {
    /// A value; `name` as it stands in the text, a colon at its end left out of the object.
    pub fn add(&mut self, name: &str, text: impl Display, value: impl Into<Value>) {
        if output::is_json() {
            self.object.insert(name.trim_end_matches(':').to_owned(), value.into());
            return;
        }
        let gap = if self.text.is_empty() { "" } else { " " };
        self.text.push_str(&format!("{gap}{name} {text}"));
    }

    /// A number.
    pub fn number(&mut self, name: &str, number: impl Display + Copy + Into<Value>) {
        self.add(name, number, number);
    }

    /// A number that may be missing, as `OptionalLong.toString`.
    pub fn optional(&mut self, name: &str, number: Option<i64>) {
        let text = number.map_or_else(|| "OptionalLong.empty".to_owned(), |number| format!("OptionalLong[{number}]"));
        self.add(name, text, number);
    }

    /// Ends the line; `front` stands before text that is not empty.
    pub fn write(self, front: &str, out: &mut impl Write) -> io::Result<()> {
        if output::is_json() {
            return writeln!(out, "{}", Value::Object(self.object));
        }
        writeln!(out, "{}{}", if self.text.is_empty() { "" } else { front }, self.text)
    }
}

/// A line that names no values; beside JSON on standard error.
pub fn say(text: &str, out: &mut impl Write) -> io::Result<()> {
    if output::is_json() {
        output::say(text);
        return Ok(());
    }
    writeln!(out, "{text}")
}
