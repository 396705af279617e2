//! `--output json` beside Apache's text: rows as a list of objects, for programs.
//!
//! Taken off the words before a tool reads its own flags, since none of Apache's tools has a flag of that name. A tool
//! that prints through [`as_json`] is named in [`TOOLS`]; the others refuse it.
//!
//! Not done: --output json of the tools that are not in the list below.

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Tools that can.
pub const TOOLS: &[&str] = &[
    "kafka-cluster",
    "kafka-consumer-groups",
    "kafka-features",
    "kafka-get-offsets",
    "kafka-groups",
    "kafka-metadata-quorum",
    "kafka-topics",
    "kafka-transactions",
];

/// Set once, before the tool runs.
static JSON: OnceLock<bool> = OnceLock::new();

/// Takes `--output FORMAT` off the words.
///
/// # Errors
/// A line for the user when the format is none, or the tool cannot.
pub fn take(tool: &str, words: &[String]) -> Result<Vec<String>, String> {
    let (mut rest, mut format) = (Vec::with_capacity(words.len()), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--output") {
            Some("") => format = Some(words.next().cloned().unwrap_or_default()),
            Some(joined) if joined.starts_with('=') => format = Some(joined[1..].to_owned()),
            _ => rest.push(word.clone()),
        }
    }
    match format.as_deref() {
        None | Some("text") => {}
        Some("json") if TOOLS.contains(&tool) => {
            JSON.get_or_init(|| true);
        }
        Some("json") => return Err(format!("{tool} has no --output json yet; leave it out")),
        Some(other) => return Err(format!("--output {other} is not text or json")),
    }
    Ok(rest)
}

/// Prints the rows as JSON if that was asked for; false when the tool shall print its text.
pub fn as_json(titles: &[&str], rows: &[Vec<String>]) -> bool {
    let asked = JSON.get().is_some_and(|json| *json);
    if asked {
        println!("{}", json(titles, rows));
    }
    asked
}

/// Objects with the titles in lower case as keys; whole numbers are numbers.
fn json(titles: &[&str], rows: &[Vec<String>]) -> Value {
    let key = |title: &str| title.to_ascii_lowercase().trim_start_matches('#').replace([' ', '-'], "_");
    let value = |cell: &String| cell.parse::<i64>().map_or_else(|_| Value::from(cell.as_str()), Value::from);
    let object = |row: &Vec<String>| Value::Object(titles.iter().map(|title| key(title)).zip(row.iter().map(value)).collect::<Map<_, _>>());
    Value::Array(rows.iter().map(object).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_objects() {
        let rows = vec![vec!["g".to_owned(), "7".to_owned()]];
        assert_eq!(json(&["GROUP", "LOG-END-OFFSET"], &rows).to_string(), r#"[{"group":"g","log_end_offset":7}]"#);
    }

    #[test]
    fn the_flag_is_taken_off() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(take("kafka-groups", &words("--list --output text --x")), Ok(words("--list --x")));
        assert!(take("kafka-groups", &words("--output=xml")).is_err());
        assert!(take("kafka-storage", &words("--output json")).unwrap_err().contains("kafka-storage"));
    }
}
