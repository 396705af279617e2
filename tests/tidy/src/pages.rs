//! Generated pages of docs/: gaps, API keys, error codes, metrics. The pages of configuration keys are made and
//! checked by base/config.

use std::fmt::Write;

use millstream_base_metrics::Metric;
use millstream_base_metrics::mbean::alias;
use millstream_base_metrics::page::{kind_of, name_of};
use millstream_base_metrics::table_streams;
use millstream_broker_server::api::dispatch::SERVED;
use millstream_protocol::api_key::APIS;
use millstream_protocol::error_code::ERROR_CODES;

use crate::files::{root, text, with_ending};

const MADE: &str = "Made by tests/tidy; do not edit. `UPDATE=1 cargo test -p millstream-tidy` writes it anew.\n";

/// Pages that are not what the sources say. With `UPDATE` set they are written first.
pub fn outdated() -> Vec<String> {
    let pages = [
        ("docs/gaps.md", gaps()),
        ("docs/api-keys.md", api_keys()),
        ("docs/error-codes.md", error_codes()),
        ("docs/metrics.md", metrics()),
    ];
    let mut outdated = Vec::new();
    for (path, page) in pages {
        let file = root().join(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &page).expect("docs/ can be written");
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != page {
            outdated.push(format!("{path} is not current: UPDATE=1 cargo test -p millstream-tidy"));
        }
    }
    outdated
}

fn gaps() -> String {
    let mut page = format!("# What is not done\n\n{MADE}\nGathered from the headers of the sources.\n");
    for path in with_ending(".rs").into_iter().filter(|path| !path.starts_with("tests/tidy/")) {
        let gaps = not_done(&text(&path));
        if gaps.is_empty() {
            continue;
        }
        let _ = write!(page, "\n## {path}\n");
        for gap in gaps {
            let _ = writeln!(page, "- {gap}");
        }
    }
    let served = |key: i16| SERVED.iter().any(|(served, _)| *served as i16 == key);
    let missing: Vec<String> = APIS
        .iter()
        .filter(|api| !served(api.key as i16))
        .map(|api| format!("{} ({})", api.name, api.key as i16))
        .collect();
    let _ = write!(page, "\n## API keys of Apache Kafka 4.3 that are not served\n{}\n", missing.join(", "));
    page
}

/// The `Not done:` parts of doc comments: up to an empty line, the comment's end or the next labelled part.
pub fn not_done(source: &str) -> Vec<String> {
    let mut gaps: Vec<String> = Vec::new();
    let mut open = false;
    for line in source.lines().map(str::trim) {
        let comment = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).map(str::trim);
        match comment {
            Some(comment) if comment.starts_with("Not done:") => {
                let gap = comment.trim_start_matches("Not done:").trim();
                open = true;
                gaps.push(gap.to_owned());
            }
            Some(comment) if open && !comment.is_empty() && !is_label(comment) => {
                let gap = gaps.last_mut().expect("a gap is open");
                gap.push(' ');
                gap.push_str(comment);
            }
            _ => open = false,
        }
    }
    gaps
}

/// `Versions: ...`, `Authorizes: ...`
fn is_label(comment: &str) -> bool {
    comment.split_once(": ").is_some_and(|(label, _)| {
        label.chars().next().is_some_and(char::is_uppercase) && label.chars().all(char::is_alphabetic)
    })
}

fn api_keys() -> String {
    let mut page = format!("# API keys\n\n{MADE}\n| key | name | served | Apache Kafka 4.3 |\n|---|---|---|---|\n");
    for api in APIS {
        let served = SERVED.iter().find(|(key, _)| *key == api.key);
        let served = served.map_or("-".to_owned(), |(_, versions)| format!("{}-{}", versions.min, versions.max));
        let _ = writeln!(
            page,
            "| {} | {} | {served} | {}-{} |",
            api.key as i16, api.name, api.min_version, api.max_version
        );
    }
    page
}

fn error_codes() -> String {
    let mut page = format!("# Error codes\n\n{MADE}\n| code | name | a client retries |\n|---|---|---|\n");
    for code in ERROR_CODES {
        let retries = if code.is_retriable() { "yes" } else { "no" };
        let _ = writeln!(page, "| {} | {} | {retries} |", code.code(), code.name());
    }
    page
}

fn metrics() -> String {
    let mut page = format!(
        "# Metrics\n\n{MADE}\nPort 9404, `/metrics`. Where Apache Kafka has the same number, it also stands under the \
         name that Prometheus' JMX exporter makes of Kafka's MBean.\n\n\
         | name | kind | labels | what | alias |\n|---|---|---|---|---|\n"
    );
    let rows = millstream_broker_server::life::metrics::METRICS.iter();
    for metric in rows.chain(millstream_base_metrics::process::METRICS) {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            metric.page_name(),
            format!("{:?}", metric.kind).to_lowercase(),
            metric.labels.join(", "),
            metric.help,
            shown_alias(metric)
        );
    }
    page.push_str(
        "\n## Applications of streams\n\n`KafkaStreams::metrics` and `KafkaStreams::prometheus`, with those of their clients. \
         Averages, extremes and rates cover the last 30 to 60 seconds. `*` is the kind of a store: `rocksdb`, `rocksdb-window`, \
         `rocksdb-session`, `in-memory`, `in-memory-window`, `in-memory-session`, `in-memory-suppression`. Calls are counted at \
         any `metrics.recording.level`.\n\n| name | kind | labels | what | Kafka's group and name |\n|---|---|---|---|---|\n",
    );
    for row in table_streams::rows() {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | `{}`: `{}` |",
            name_of(row.group, &row.name),
            format!("{:?}", kind_of(&row.name)).to_lowercase(),
            row.tags.join(", ").replace('-', "_"),
            row.help,
            row.group,
            row.name
        );
    }
    page
}

fn shown_alias(metric: &Metric) -> String {
    alias(metric).map_or("-".to_owned(), |alias| format!("`{}` (`{}`)", alias.name, metric.mbean))
}
