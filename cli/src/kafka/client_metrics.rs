//! A client's metrics behind `--print-metrics` (Java: `ToolsUtils.printMetrics`).
//!
//! Called by the performance tools at their end. What the client counts is the client's own affair.

use std::collections::BTreeMap;

use client::consumer::Consumer;
use client::producer::Producer;

use crate::kafka::java_number::fixed;
use crate::kafka::output;

/// Groups of a consumer's metrics by how their names begin.
const CONSUMER_GROUPS: &[(&str, &[&str])] = &[
    ("consumer-fetch-manager-metrics", &["records-", "bytes-", "fetch-"]),
    ("consumer-metrics", &["time-between-poll", "last-poll"]),
];
/// The group of the rest.
const COORDINATOR: &str = "consumer-coordinator-metrics";

/// Prints what a producer has done.
pub fn print_producer(producer: &Producer) {
    let tags = |tags: &BTreeMap<&'static str, String>| tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
    let rows = producer.metrics().into_iter().map(|metric| (format!("{}:{}:{{{}}}", metric.group, metric.name, tags(&metric.tags)), metric.value));
    print(&rows.collect());
}

/// Prints what a consumer has done.
pub fn print_consumer(consumer: &Consumer, client_id: &str) {
    let group = |name: &str| {
        let found = CONSUMER_GROUPS.iter().find(|(_, starts)| starts.iter().any(|start| name.starts_with(start)));
        found.map_or(COORDINATOR, |(group, _)| group)
    };
    let rows = consumer.metrics().into_iter().map(|(name, value)| (format!("{}:{name}:{{client-id={client_id}}}", group(name)), value));
    print(&rows.collect());
}

fn print(rows: &BTreeMap<String, f64>) {
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
