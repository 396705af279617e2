//! `--output json` beside Apache's text: rows as a list of objects, for programs.
//!
//! Taken off the words before a tool reads its own flags, since none of Apache's tools has a flag of that name. What a
//! tool prints as data goes through [`as_json`] or [`as_objects`]; what it says beside the data through [`say`], so that
//! standard output holds JSON alone, a list on a line for each table. Tools in [`WITHOUT`] print no data.

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Tools whose output is nothing that a program would read.
pub const WITHOUT: &[&str] = &["kafka-console-producer", "kafka-server-start", "kafka-server-stop"];
/// Columns whose cells are names, whatever they look like.
const NAMES: &[&str] = &[
    "broker",
    "client_id",
    "cluster_id",
    "clusterid",
    "consumer_id",
    "directoryid",
    "feature",
    "group",
    "group_instance_id",
    "host",
    "key",
    "metric",
    "name",
    "topic",
    "transactionalid",
    "uuid",
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
        Some("json") if WITHOUT.contains(&tool) => {
            return Err(format!("{tool} prints no data; leave --output json out"));
        }
        Some("json") => {
            JSON.get_or_init(|| true);
        }
        Some(other) => return Err(format!("--output {other} is not text or json")),
    }
    Ok(rest)
}

/// Whether JSON was asked for.
pub fn is_json() -> bool {
    JSON.get().is_some_and(|json| *json)
}

/// Prints a line that is no data; beside JSON on standard error.
pub fn say(line: &str) {
    if is_json() { eprintln!("{line}") } else { println!("{line}") }
}

/// Prints the rows as JSON if that was asked for; false when the tool shall print its text.
pub fn as_json(titles: &[&str], rows: &[Vec<String>]) -> bool {
    if is_json() {
        println!("{}", json(titles, rows));
    }
    is_json()
}

/// As [`as_json`], with objects whose cells are no plain text or number; they are made only when they are printed.
pub fn as_objects(objects: impl FnOnce() -> Vec<Value>) -> bool {
    if is_json() {
        println!("{}", Value::Array(objects()));
    }
    is_json()
}

/// Objects with the titles in lower case as keys; numbers are numbers (null for NaN), but where names stand.
fn json(titles: &[&str], rows: &[Vec<String>]) -> Value {
    let keys: Vec<String> = titles
        .iter()
        .map(|title| title.to_ascii_lowercase().trim_start_matches('#').replace([' ', '-'], "_"))
        .collect();
    let number =
        |cell: &str| cell.parse::<i64>().map(Value::from).or_else(|_| cell.parse::<f64>().map(Value::from)).ok();
    let value = |key: &str, cell: &String| match number(cell) {
        Some(number) if !NAMES.contains(&key) => number,
        _ => Value::from(cell.as_str()),
    };
    let object = |row: &Vec<String>| {
        keys.iter().zip(row).map(|(key, cell)| (key.clone(), value(key, cell))).collect::<Map<_, _>>()
    };
    Value::Array(rows.iter().map(|row| Value::Object(object(row))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_objects() {
        let rows = vec![["7", "7", "0.5", "NaN", "-"].map(str::to_owned).to_vec()];
        let expected = r#"[{"avg":null,"group":"7","lag":"-","log_end_offset":7,"rate":0.5}]"#;
        assert_eq!(json(&["GROUP", "LOG-END-OFFSET", "rate", "avg", "LAG"], &rows).to_string(), expected);
    }

    #[test]
    fn the_flag_is_taken_off() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(take("kafka-groups", &words("--list --output text --x")), Ok(words("--list --x")));
        assert!(take("kafka-groups", &words("--output=xml")).is_err());
        assert!(take("kafka-server-stop", &words("--output json")).unwrap_err().contains("kafka-server-stop"));
    }
}
