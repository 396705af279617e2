//! Scenarios 13 to 22: aggregates over all time, of streams and of tables.

use streams::StreamsBuilder;

use super::Params;
use super::functions::{Rows, Runs, cat, first, grouped, rows, shown, split, stream};

pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    match name {
        "count_kv" => stream(b, "in").group_by_key().count("counts").to_stream().to("out"),
        "reduce_null_result" => stream(b, "in")
            .group_by_key()
            .reduce(|a, v| (!v.starts_with('d')).then(|| cat(&a, "+", &v)), "reduced")
            .to_stream()
            .to("out"),
        "aggregate_null_value_drop" => stream(b, "in")
            .group_by_key()
            .aggregate(String::new, |_, v, a| (!v.starts_with('d')).then(|| cat(&a, "+", &v)), "agg")
            .to_stream()
            .to("out"),
        "wordcount" => stream(b, "in")
            .flat_map_values(|line| {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                split(&line.to_lowercase(), |c| !is_word(c), Runs::One)
            })
            .group_by_with(|_, word| word.clone(), grouped())
            .count("counts-store")
            .to_stream()
            .to("out"),
        "cogroup_two" => {
            let (one, two) = (stream(b, "in1").group_by_key(), stream(b, "in2").group_by_key());
            one.cogroup(|_, v, a: String| cat(&a, "+", &v))
                .cogroup(&two, |_, v, a| (!v.starts_with('d')).then(|| cat(&a, "*", &v)))
                .aggregate(String::new, "cg")
                .to_stream()
                .to("out");
        }
        "cogroup_session" => {
            let (one, two) = (stream(b, "in1").group_by_key(), stream(b, "in2").group_by_key());
            let sessions = one
                .cogroup_nullable(|_, v: Option<String>, a: String| Some(cat(&a, "+", shown(v.as_deref()))))
                .cogroup_nullable(&two, |_, v, a| Some(cat(&a, "*", shown(v.as_deref()))))
                .windowed_by(params.session());
            sessions.aggregate(String::new, |_, l, r| cat(&l, "|", &r), "cs").to_stream().to("out");
        }
        "table_group_by_same_key" => {
            let table = rows(b, "in").group_by(|k, v| (k.clone(), v.clone()), grouped());
            table.reduce(|a, v| cat(&a, "+", &v), |a, v| cat(&a, "-", &v), "agg").to_stream().to("out");
        }
        "table_group_by_move_key" => by_first(&rows(b, "in"))
            .aggregate(String::new, |_, v, a| cat(&a, "+", &v), |_, v, a| cat(&a, "-", &v), "agg")
            .to_stream()
            .to("out"),
        "table_group_count" => by_first(&rows(b, "in")).count("counts").to_stream().to("out"),
        "table_aggregate_null_adder" => by_first(&rows(b, "in"))
            .aggregate(
                || "init".to_owned(),
                |_, v, a| (!v.ends_with(['0', '1'])).then(|| cat(&a, "+", &v)),
                |_, v, a| (!v.ends_with(['2', '3'])).then(|| cat(&a, "-", &v)),
                "agg",
            )
            .to_stream()
            .to("out"),
        _ => return false,
    }
    true
}

fn by_first(table: &Rows) -> streams::KGroupedTable<String, String> {
    table.group_by(|_, v| (first(v), v.clone()), grouped())
}
