//! Hop references of ARCHITECTURE.md: table rows with `path.rs::function` in backticks.

use std::collections::HashMap;

use crate::files::{root, text};
use crate::sizes::functions;

/// Hops most that a path may have.
const HOPS_MAX: usize = 8;

/// References that lead nowhere, and tables with too many hops.
pub fn broken() -> Vec<String> {
    let page = text("ARCHITECTURE.md");
    let mut known: HashMap<String, Vec<String>> = HashMap::new();
    let mut broken = Vec::new();
    let references = references(&page);
    if references.is_empty() {
        broken.push("ARCHITECTURE.md has no hop table".to_owned());
    }
    for (path, function) in references {
        if !root().join(&path).is_file() {
            broken.push(format!("ARCHITECTURE.md: {path} does not exist"));
            continue;
        }
        let names = known
            .entry(path.clone())
            .or_insert_with(|| functions(&text(&path)).into_iter().map(|(name, _)| name).collect());
        if !names.contains(&function) {
            broken.push(format!("ARCHITECTURE.md: {path} has no function {function}"));
        }
    }
    for row in page.lines() {
        let number = row.strip_prefix("| ").and_then(|row| row.split(' ').next()).and_then(|text| text.parse().ok());
        if number.is_some_and(|number: usize| number > HOPS_MAX) {
            broken.push(format!("ARCHITECTURE.md: more than {HOPS_MAX} hops: {row}"));
        }
    }
    broken
}

/// Every `path.rs::function` of a table row.
pub fn references(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter_map(|code| code.split_once(".rs::"))
        .map(|(path, function)| (format!("{path}.rs"), function.to_owned()))
        .collect()
}
