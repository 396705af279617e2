//! Scenarios 1 to 12: operators without state, names, repartition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use streams::serde::StringSerde;
use streams::{Ctx, Materialized, ProcessResult, Processor, Produced, Record, Repartitioned, StreamsBuilder};

use super::functions::{Runs, Text, cat, ends, first, grouped, shown, split, starts, stream};

pub(super) fn build(name: &str, b: &StreamsBuilder) -> bool {
    match name {
        "filter_chain" => stream(b, "in")
            .filter_nullable(|_, v| !starts(v, 'x'))
            .filter_not(|_, v| v.ends_with('0'))
            .map_values(|v| v.to_uppercase())
            .to("out"),
        "flat_map_values" => stream(b, "in")
            .flat_map_values(|v| split(&v, |c| c == ' ', Runs::Each))
            .flat_map_nullable(|k: Option<String>, v: Option<String>| match v.as_deref() {
                Some("x") => Vec::new(),
                _ => vec![(k.clone(), v.clone()), (v, k)],
            })
            .to("out"),
        "select_key_merge" => {
            let left = by_first(&stream(b, "in1"));
            left.merge(&stream(b, "in2").map_nullable(|k, v| (v, k))).to("out");
        }
        "split_default" => split_default(b),
        "split_no_default" => split_no_default(b),
        "peek_foreach" => peek_foreach(b),
        "dynamic_sink_topic" => b.stream::<String, String>(["in1", "in2"]).to_chosen(
            "TopicByValue",
            |record, context| match &record.value {
                None => "out-null".to_owned(),
                Some(value) if value.starts_with('x') => "out-x".to_owned(),
                Some(_) => format!("out-{}", context.origin().topic.as_deref().unwrap_or_default()),
            },
            Produced::with(StringSerde, StringSerde),
        ),
        "repartition_named" => {
            let repartitioned = Repartitioned::with(StringSerde, StringSerde).named("rp").partitions(1);
            by_first(&stream(b, "in"))
                .repartition(repartitioned)
                .map_values_nullable(|v| Some(shown(v.as_deref()).to_owned() + "!"))
                .to("out");
        }
        "to_table_null_delete" => stream(b, "in").to_table((), "t").to_stream().to("out"),
        "process_values_headers" => stream(b, "in").process_values((), Stamp::default).to("out"),
        "map_group_count_repartition" => {
            let mapped: Text = stream(b, "in").map_nullable(|_, v| (v.as_deref().map(first), v));
            mapped.group_by_key_with(grouped()).count(()).to_stream().to("out");
        }
        "merge_two_rekeyed" => {
            let one = by_first(&stream(b, "in1"));
            let other: Text = stream(b, "in2").map_nullable(|k, v: Option<String>| (v.as_deref().map(first), k));
            let merged = one.merge(&other);
            let materialized = Materialized::with(StringSerde, StringSerde);
            let table = merged.group_by_key_with(grouped()).reduce(|a, v| cat(&a, "+", &v), materialized);
            table.to_stream().to("out");
        }
        _ => return false,
    }
    true
}

/// `selectKey(first(v))`.
pub(super) fn by_first(stream: &Text) -> Text {
    stream.select_key_nullable(|_, v| v.map(|v| first(v)))
}

fn split_default(b: &StreamsBuilder) {
    let to_b = |branch: Text| {
        branch.to("out-b");
        None
    };
    let branches = stream(b, "in")
        .split("s-")
        .branch(|_, v| starts(v, 'a'), "a")
        .branch_with(|_, v| ends(v, '1'), (), to_b)
        .default_branch("rest");
    branches["s-a"].to("out-a");
    branches["s-rest"].to("out-rest");
}

fn split_no_default(b: &StreamsBuilder) {
    let to_1 = |branch: Text| {
        branch.to("out-1");
        None
    };
    let branches = stream(b, "in")
        .split(())
        .branch_with(|_, v| starts(v, 'a'), (), to_1)
        .branch_with(|_, v| starts(v, 'b'), "two", |branch| Some(branch.map_values(|v| v + "!")))
        .no_default_branch();
    branches["KSTREAM-BRANCH-0000000001two"].to("out-2");
}

fn peek_foreach(b: &StreamsBuilder) {
    let (n, p) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, peeked) = (Arc::clone(&n), Arc::clone(&p));
    let source = stream(b, "in");
    source.for_each(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    source
        .peek(move |_, _| {
            peeked.fetch_add(2, Ordering::Relaxed);
        })
        .map_values_nullable(move |v| {
            let (n, p) = (n.load(Ordering::Relaxed), p.load(Ordering::Relaxed));
            Some(format!("{}#{n}/{p}", shown(v.as_deref())))
        })
        .to("out");
}

/// Adds a header, moves the time of some records, forwards some twice and nulls not at all.
#[derive(Default)]
struct Stamp {
    seen: u64,
}

impl Processor for Stamp {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, mut record: Record<String, String>) -> ProcessResult {
        let Some(value) = record.value.take() else { return Ok(()) };
        self.seen += 1;
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        let text = format!("{value}/{}", names.join(","));
        record.headers.push(("seen".to_owned(), Some(self.seen.to_string().into())));
        let mut stamped = record.clone().with_value(Some(text));
        stamped.timestamp += i64::from(value.starts_with('x'));
        ctx.forward(stamped)?;
        if value.starts_with('d') {
            ctx.forward(record.with_value(Some("again".to_owned())))?;
        }
        Ok(())
    }
}
