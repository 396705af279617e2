//! Whether a text is a legal value of a key, with the messages of Java's `ConfigDef` and its validators.

use std::fmt;

use crate::key::{Key, Kind, Valid};

/// A value in the form of its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// BOOLEAN
    Boolean(bool),
    /// INT, SHORT, LONG
    Number(i64),
    /// DOUBLE
    Double(f64),
    /// STRING, CLASS, PASSWORD
    Text(String),
    /// LIST
    List(Vec<String>),
}

/// The message of Java's `ConfigException(name, value, message)`.
fn refuse(key: &Key, value: &str, reason: impl std::fmt::Display) -> String {
    format!("Invalid value {value} for configuration {}: {reason}", key.name)
}

/// Parses and checks `text` as a value of `key`; the error is Apache's message.
pub fn check(key: &Key, text: &str) -> Result<Value, String> {
    let mut value = parse(key, text)?;
    if let (Value::List(items), Valid::ListOf(_) | Valid::SomeOf(_) | Valid::Items | Valid::SomeItems) =
        (&mut value, key.valid)
    {
        *items = distinct(items);
    }
    validate(key, &value)?;
    Ok(value)
}

/// Parses `text` by the kind of `key` only.
pub fn parse(key: &Key, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let not_a_number = || refuse(key, text, format_args!("Not a number of type {}", key.kind));
    let number = |min: i64, max: i64| {
        let number: i64 = trimmed.parse().map_err(|_| not_a_number())?;
        if (min..=max).contains(&number) { Ok(Value::Number(number)) } else { Err(not_a_number()) }
    };
    match key.kind {
        Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err(refuse(key, text, "Expected value to be either true or false")),
        Kind::Int => number(i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Short => number(i64::from(i16::MIN), i64::from(i16::MAX)),
        Kind::Long => number(i64::MIN, i64::MAX),
        Kind::Double => double(trimmed).map(Value::Double).ok_or_else(not_a_number),
        Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(trimmed.to_owned())),
        Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
        Kind::List => Ok(Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect())),
    }
}

/// As Java's `Double.parseDouble`, which takes the suffix of a type but not every name that Rust knows.
fn double(text: &str) -> Option<f64> {
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    match text.trim_start_matches(['+', '-']) {
        "NaN" | "Infinity" => text.parse().ok(),
        _ if digits.chars().all(|one| one.is_ascii_digit() || "+-.eE".contains(one)) => digits.parse().ok(),
        _ => None,
    }
}

/// Most lists name nothing twice: Apache drops what comes again (KIP-1161; Java: `ConfigDef.parseValue`).
fn distinct(items: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for item in items {
        if !kept.contains(item) {
            kept.push(item.clone());
        }
    }
    kept
}

impl fmt::Display for Value {
    /// As Java's `ConfigDef.convertToString`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Double(number) => f.write_str(&java_double(*number)),
            Value::Text(text) => f.write_str(text),
            Value::List(items) => f.write_str(&items.join(",")),
        }
    }
}

fn validate(key: &Key, value: &Value) -> Result<(), String> {
    match (key.valid, value) {
        (Valid::AtLeast(min), Value::Number(number)) => at_least(key, *number, min),
        (Valid::Between(min, max), Value::Number(number)) => {
            at_least(key, *number, min)?;
            at_most(key, *number, max)
        }
        (Valid::BetweenOr(min, max, other), Value::Number(number)) if *number != other => {
            if (min..=max).contains(number) {
                return Ok(());
            }
            Err(refuse(
                key,
                &number.to_string(),
                format_args!("Value must be between {min} and {max} or equal to {other}"),
            ))
        }
        (Valid::Fraction(min, _), Value::Double(number)) if *number < min => {
            Err(refuse(key, &java_double(*number), format_args!("Value must be at least {}", min as i64)))
        }
        (Valid::Fraction(_, max), Value::Double(number)) if *number > max => {
            Err(refuse(key, &java_double(*number), format_args!("Value must be no more than {}", shortest(max))))
        }
        (Valid::AtLeast(min), Value::Double(number)) if *number < min as f64 => {
            Err(refuse(key, &java_double(*number), format_args!("Value must be at least {min}")))
        }
        (Valid::OneOf(texts), Value::Text(text)) => one_of(key, text, texts),
        (Valid::OneOfIgnoringCase(texts), Value::Text(text))
            if !texts.iter().any(|one| one.eq_ignore_ascii_case(text)) =>
        {
            Err(refuse(key, text, format_args!("String must be one of (case insensitive): {}", texts.join(", "))))
        }
        (Valid::NonEmpty, Value::Text(text)) if text.is_empty() => Err(refuse(key, text, "String must be non-empty")),
        (Valid::SomeOf(texts), Value::List(items)) if items.is_empty() => {
            Err(empty(key, &format!("[{}]", texts.join(", "))))
        }
        (Valid::ListOf(texts) | Valid::SomeOf(texts), Value::List(items)) => {
            items.iter().try_for_each(|item| not_empty(key, item).and_then(|()| one_of(key, item, texts)))
        }
        (Valid::SomeItems, Value::List(items)) if items.is_empty() => Err(empty(key, "any non-empty value")),
        (Valid::Items | Valid::SomeItems, Value::List(items)) => items.iter().try_for_each(|item| not_empty(key, item)),
        (Valid::Voters, Value::List(items)) => items.iter().try_for_each(|item| voter(key, item)),
        (Valid::HostPorts, Value::List(items)) => items.iter().try_for_each(|item| host_port(key, item)),
        (Valid::ThrottledReplicas, Value::List(items)) => throttled_replicas(key, items),
        (Valid::OffsetReset, Value::Text(text)) => offset_reset(key, text),
        (Valid::ShareOffsetReset, Value::Text(text)) => share_offset_reset(key, text),
        _ => Ok(()),
    }
}

fn at_least(key: &Key, number: i64, min: i64) -> Result<(), String> {
    if number >= min {
        Ok(())
    } else {
        Err(refuse(key, &number.to_string(), format_args!("Value must be at least {min}")))
    }
}

fn at_most(key: &Key, number: i64, max: i64) -> Result<(), String> {
    if number <= max {
        Ok(())
    } else {
        Err(refuse(key, &number.to_string(), format_args!("Value must be no more than {max}")))
    }
}

fn one_of(key: &Key, text: &str, texts: &[&str]) -> Result<(), String> {
    if texts.contains(&text) {
        return Ok(());
    }
    Err(refuse(key, text, format_args!("String must be one of: {}", texts.join(", "))))
}

fn empty(key: &Key, legal: &str) -> String {
    format!("Configuration '{}' must not be empty. Valid values include: {legal}", key.name)
}

fn not_empty(key: &Key, item: &str) -> Result<(), String> {
    if item.is_empty() {
        return Err(format!("Configuration '{}' values must not be empty.", key.name));
    }
    Ok(())
}

/// Java: `QuorumConfig.parseVoterConnections`.
fn voter(key: &Key, item: &str) -> Result<(), String> {
    let form = "Each entry should be in the form `{id}@{host}:{port}`.";
    // As Java splits: empty ends do not count.
    let [id, address] = item.trim_end_matches('@').split('@').collect::<Vec<_>>()[..] else {
        return Err(format!("Invalid configuration value for {}. {form}", key.name));
    };
    if id.parse::<i32>().is_err() {
        return Err(format!("Failed to parse voter ID as an integer from {id}"));
    }
    if port_of(address).is_none() {
        return Err(format!("Failed to parse host name from entry {item} for the configuration {}. {form}", key.name));
    }
    Ok(())
}

/// Java: `QuorumConfig.parseBootstrapServer`.
fn host_port(key: &Key, item: &str) -> Result<(), String> {
    match port_of(item) {
        None => Err(format!(
            "Failed to parse host name from {item} for the configuration {}. Each entry should be in the form \
             \"{{host}}:{{port}}\"",
            key.name
        )),
        Some(port) if port.parse::<u16>().is_err() => Err(refuse(key, item, "port out of range")),
        Some(_) => Ok(()),
    }
}

/// The digits at the end of `[protocol://]host:port` (Java: `Utils.HOST_PORT_PATTERN`).
pub fn port_of(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let legal = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._%:".contains(&byte));
    Some(port).filter(|port| legal && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Java: `ThrottledReplicaListValidator`.
fn throttled_replicas(key: &Key, items: &[String]) -> Result<(), String> {
    let pair = |item: &String| {
        item.split_once(':').is_some_and(|(partition, broker)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(partition) && digits(broker)
        }) || item.is_empty()
    };
    if items.iter().all(pair) || (items.len() == 1 && items[0] == "*") {
        return Ok(());
    }
    let shown = format!("[{}]", items.join(", "));
    Err(refuse(
        key,
        &shown,
        format_args!(
            "{} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            key.name
        ),
    ))
}

/// Java: `AutoOffsetResetStrategy.Validator`.
fn offset_reset(key: &Key, text: &str) -> Result<(), String> {
    let known = ["latest", "earliest", "none"].iter().any(|one| one.eq_ignore_ascii_case(text));
    let duration = text.to_ascii_lowercase().starts_with("by_duration:p");
    if known || duration {
        return Ok(());
    }
    Err(refuse(key, text, "Invalid value for auto.offset.reset"))
}

/// Java: `ShareGroupAutoOffsetResetStrategy.Validator`.
fn share_offset_reset(key: &Key, text: &str) -> Result<(), String> {
    let is_duration = text.strip_prefix("by_duration:").is_some_and(|duration| duration.starts_with(['P', 'p']));
    if ["latest", "earliest"].contains(&text) || is_duration {
        return Ok(());
    }
    let reason = format!(
        "Invalid value `{text}` for configuration {}. The value must be either 'earliest', 'latest' or of the format \
         'by_duration:<PnDTnHnMn.nS>'.",
        key.name
    );
    Err(refuse(key, text, reason))
}

/// As Java's `Double.toString`: 2.0 where Rust prints 2, and E for powers of ten.
fn java_double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) && number.is_finite() {
        let text = format!("{number:E}");
        return match text.split_once('E') {
            Some((digits, power)) if !digits.contains('.') => format!("{digits}.0E{power}"),
            _ => text,
        };
    }
    format!("{number:?}")
}

fn shortest(number: f64) -> String {
    if number.fract() == 0.0 { format!("{}", number as i64) } else { format!("{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        let shown: Vec<String> = [2.0, 0.5, f64::MAX, 1e7, 0.0001, 0.0, 123.25].map(java_double).to_vec();
        assert_eq!(shown, ["2.0", "0.5", "1.7976931348623157E308", "1.0E7", "1.0E-4", "0.0", "123.25"]);
    }
}
