//! How kafka-console-producer reads records from lines (Java: `LineMessageReader`).
//!
//! Called by `console_producer.rs` for each line. Pure: no I/O.

use std::collections::HashMap;

use regex::Regex;

/// A record as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Its headers.
    pub headers: Vec<(String, Option<String>)>,
}

/// Where a line is cut.
pub struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: Regex,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
    line_number: u64,
}

impl LineReader {
    /// A reader with the properties of `--reader-property`.
    ///
    /// # Errors
    /// A line for the user when two separators are the same, or `headers.separator` is no pattern.
    pub fn new(properties: &HashMap<String, String>) -> Result<Self, String> {
        let flag = |name: &str| properties.get(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let text = |name: &str, default: &str| properties.get(name).map_or(default, String::as_str).to_owned();
        let separator = text("headers.separator", ",");
        let marks = [
            ("headers.delimiter", text("headers.delimiter", "\t")),
            ("headers.separator", separator.clone()),
            ("headers.key.separator", text("headers.key.separator", ":")),
        ];
        for (index, (name, mark)) in marks.iter().enumerate() {
            if let Some((other, _)) = marks[index + 1..].iter().find(|(_, other)| other == mark) {
                return Err(format!("{name} and {other} may not be equal"));
            }
        }
        let key_separator = text("key.separator", "\t");
        let null_marker = properties.get("null.marker").cloned();
        let named = [("key.separator", key_separator.clone())].into_iter().chain(marks.clone());
        for (name, mark) in named {
            if null_marker.as_ref() == Some(&mark) {
                return Err(format!("null.marker and {name} may not be equal"));
            }
        }
        let headers_separator =
            Regex::new(&separator).map_err(|error| format!("headers.separator is no pattern: {error}"))?;
        let [(_, headers_delimiter), _, (_, headers_key_separator)] = marks;
        Ok(LineReader {
            parse_key: flag("parse.key"),
            key_separator,
            parse_headers: flag("parse.headers"),
            headers_delimiter,
            headers_separator,
            headers_key_separator,
            ignore_error: flag("ignore.error"),
            null_marker,
            line_number: 0,
        })
    }

    /// Reads the next line, its end taken off.
    ///
    /// # Errors
    /// A line for the user when a separator is missing and `ignore.error` is not set.
    pub fn read(&mut self, line: &str) -> Result<Typed, String> {
        self.line_number += 1;
        let headers = self.part(self.parse_headers, line, line, &self.headers_delimiter, "headers delimiter")?;
        let rest = headers.map_or(line, |headers| &line[headers.len() + self.headers_delimiter.len()..]);
        let key = self.part(self.parse_key, line, rest, &self.key_separator, "key separator")?;
        let value = key.map_or(rest, |key| &rest[key.len() + self.key_separator.len()..]);
        let headers = headers.filter(|headers| !self.is_null(headers));
        Ok(Typed {
            headers: headers.map_or(Ok(Vec::new()), |headers| self.split_headers(headers))?,
            key: key.filter(|key| !self.is_null(key)).map(str::to_owned),
            value: Some(value).filter(|value| !self.is_null(value)).map(str::to_owned),
        })
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_marker.as_deref() == Some(text)
    }

    fn part<'a>(
        &self,
        wanted: bool,
        line: &str,
        rest: &'a str,
        mark: &str,
        name: &str,
    ) -> Result<Option<&'a str>, String> {
        if !wanted {
            return Ok(None);
        }
        match rest.find(mark) {
            Some(at) => Ok(Some(&rest[..at])),
            None if self.ignore_error => Ok(None),
            None => Err(format!("No {name} found on line number {}: '{line}'", self.line_number)),
        }
    }

    fn split_headers(&self, headers: &str) -> Result<Vec<(String, Option<String>)>, String> {
        let mut pairs: Vec<&str> = self.headers_separator.split(headers).collect();
        // Java's Pattern.split drops empty parts at the end.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let mut split = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let Some((key, value)) = pair.split_once(self.headers_key_separator.as_str()) else {
                if self.ignore_error {
                    split.push((pair.to_owned(), None));
                    continue;
                }
                return Err(format!(
                    "No header key separator found in pair '{pair}' on line number {}",
                    self.line_number
                ));
            };
            if self.is_null(key) {
                return Err(format!(
                    "Header keys should not be equal to the null marker '{key}' as they can't be null"
                ));
            }
            split.push((key.to_owned(), Some(value).filter(|value| !self.is_null(value)).map(str::to_owned)));
        }
        Ok(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[(&str, &str)]) -> Result<LineReader, String> {
        LineReader::new(&properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn typed(headers: &[(&str, Option<&str>)], key: Option<&str>, value: Option<&str>) -> Typed {
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
        Typed { headers, key: key.map(str::to_owned), value: value.map(str::to_owned) }
    }

    #[test]
    fn a_line_is_a_value() {
        assert_eq!(reader(&[]).unwrap().read("a\tb").unwrap(), typed(&[], None, Some("a\tb")));
    }

    #[test]
    fn headers_key_and_value() {
        let mut all = reader(&[("parse.key", "true"), ("parse.headers", "true"), ("null.marker", "NULL")]).unwrap();
        assert_eq!(
            all.read("h:1,g:NULL\tk\tv").unwrap(),
            typed(&[("h", Some("1")), ("g", None)], Some("k"), Some("v"))
        );
        assert_eq!(all.read("NULL\tNULL\tNULL").unwrap(), typed(&[], None, None));
        assert_eq!(all.read("h:1\tk").unwrap_err(), "No key separator found on line number 3: 'h:1\tk'");
    }

    #[test]
    fn errors_may_be_ignored() {
        let mut lenient = reader(&[("parse.key", "true"), ("ignore.error", "true")]).unwrap();
        assert_eq!(lenient.read("only").unwrap(), typed(&[], None, Some("only")));
    }

    #[test]
    fn equal_separators_are_refused() {
        assert_eq!(
            reader(&[("headers.separator", "\t")]).err().unwrap(),
            "headers.delimiter and headers.separator may not be equal"
        );
        assert_eq!(
            reader(&[("null.marker", ",")]).err().unwrap(),
            "null.marker and headers.separator may not be equal"
        );
    }
}
