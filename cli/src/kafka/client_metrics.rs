//! A client's metrics behind `--print-metrics` (Java: `ToolsUtils.printMetrics`).
//!
//! Called by the performance tools at their end. What the client counts is the client's own affair.

use std::collections::BTreeMap;

use client::metrics::Metric;

use crate::kafka::java_number::fixed;
use crate::kafka::output;

/// Prints what a producer or a consumer has done.
pub fn print(metrics: Vec<Metric>) {
    let tags = |tags: &BTreeMap<&'static str, String>| {
        tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    };
    let rows = metrics
        .into_iter()
        .map(|metric| (format!("{}:{}:{{{}}}", metric.group, metric.name, tags(&metric.tags)), metric.value));
    print_rows(&rows.collect());
}

fn print_rows(rows: &BTreeMap<String, f64>) {
    let cells: Vec<Vec<String>> = rows.iter().map(|(name, value)| vec![name.clone(), fixed(*value, 3)]).collect();
    if output::as_json(&["metric", "value"], &cells) {
        return;
    }
    let width = rows.keys().map(|name| name.chars().count()).max().unwrap_or(1);
    println!("\n{:<width$}   Value", "Metric Name");
    for row in cells {
        println!("{:<width$} : {}", row[0], row[1]);
    }
}
