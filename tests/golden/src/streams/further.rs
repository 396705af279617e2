//! Scenarios 81 to 88, which have a recording of their own.

use streams::{
    Consumed, Ctx, KTable, KeyValue, Materialized, ProcessResult, Processor, Record, StoreRef, Stores, StreamsBuilder,
    TableJoined, Transformed, TransformerContext, UnlimitedWindows, ValueTransformerWithKey,
};

use super::Params;
use super::functions::{Rows, both, cat, first, grouped, joined, left, rows, shown, stream};
use streams::serde::StringSerde;

type Text = Record<String, String>;
type Plain = KeyValue<String, String>;

pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    match name {
        "unlimited_windows" => {
            let windows = UnlimitedWindows::of().start_on(params.number("start_ms"));
            let counts = stream(b, "in").group_by_key().windowed_by(windows).count("w");
            let by_window = counts
                .to_stream_by(|key, _| key.map(|key| format!("{}@{}-{}", key.key, key.window.start, key.window.end)));
            by_window.map_values_nullable(|n| Some(n.map_or("null".to_owned(), |n| n.to_string()))).to("out");
        }
        "versioned_aggregates" => versioned_aggregates(b, params),
        "versioned_table_group" => {
            let by_first = rows(b, "in").group_by(|_, v| (first(v), v.clone()), grouped());
            let gathered = by_first.aggregate(
                String::new,
                |_, v: String, a: String| cat(&a, "+", &v),
                |_, v: String, a: String| cat(&a, "-", &v),
                versioned("agg", params),
            );
            gathered.to_stream().to("out");
        }
        "table_transform_values" => transform_values(b),
        "ss_store_suppliers" => {
            let size = params.time("before_ms") + params.time("after_ms");
            let retention = size + params.time("grace_ms");
            let store = |name| Stores::persistent_window_store(name, retention, size).retain_duplicates();
            let joined = joined().with_this_store_supplier(store("this-side"));
            let joined = joined.with_other_store_supplier(store("other-side"));
            let (l, r) = (stream(b, "L"), stream(b, "R"));
            l.left_join(&r, left, params.join(), joined).to("out");
        }
        "fk_partitioners" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            let named = TableJoined::from("fk").with_partitioner(|_, _, _| Some(0));
            let named = named.with_other_partitioner(|_, _, _| Some(0));
            l.join_foreign_key_with(&r, |_, v| Some(first(v)), both, named, "joined").to_stream().to("out");
        }
        "global_store" => {
            let store = Stores::key_value::<String, String>("g").persistent();
            let consumed = Consumed::with(StringSerde, StringSerde);
            let g = b.add_global_store(store, "R", consumed, || Exclaim(StoreRef::named("g")));
            stream(b, "L").process((), move || LookUp(g)).to("out");
        }
        "read_only_store" => {
            let (store, consumed) =
                (Stores::key_value::<String, String>("g"), Consumed::with(StringSerde, StringSerde));
            let make = || Exclaim(StoreRef::named("g"));
            let g = b.add_read_only_state_store(store.persistent(), ["read", "keep"], "R", consumed, make);
            stream(b, "L").process([g], move || LookUp(g)).to("out");
        }
        _ => return false,
    }
    true
}

fn versioned(store: &str, params: &Params<'_>) -> Materialized<String, String> {
    Materialized::named(store).versioned(params.time("history_ms"), Some(params.time("segment_ms")))
}

fn versioned_aggregates(b: &StreamsBuilder, params: &Params<'_>) {
    let by_key = stream(b, "in").group_by_key();
    let add = |_: &String, v: String, a: String| (!v.starts_with('d')).then(|| cat(&a, "+", &v));
    let gathered = by_key.aggregate(String::new, add, versioned("agg", params));
    gathered.to_stream().to("out");
    let by_end = gathered.group_by(|_, v| (v.chars().last().into_iter().collect::<String>(), v.clone()), grouped());
    by_end.count("counts").to_stream().to("out-count");
    by_key.reduce(|a, v| cat(&a, "*", &v), versioned("red", params)).to_stream().to("out-reduce");
}

fn transform_values(b: &StreamsBuilder) {
    let seen = b.add_store(Stores::key_value::<String, i64>("seen").persistent());
    let (l, r) = (rows(b, "L"), rows(b, "R"));
    let numbered = move || Numbered(seen);
    l.transform_values([seen], numbered, ()).to_stream().to("out");
    l.transform_values([seen], numbered, "kept").to_stream().to("out-kept");
    let shouted: Rows = l.transform_values((), || Shout, ());
    shouted.join(&r, both, ()).to_stream().to("out-joined");
    let shouted: KTable<String, String> = r.transform_values((), || Shout, ());
    let by_value = shouted.group_by(|_, v| (v.clone(), v.clone()), grouped());
    by_value.reduce(|a, v| cat(&a, "+", &v), |a, v| cat(&a, "-", &v), "agg").to_stream().to("out-old");
}

/// Puts how often the key was seen behind the value.
struct Numbered(StoreRef<KeyValue<String, i64>>);

impl ValueTransformerWithKey for Numbered {
    type Key = String;
    type In = String;
    type Out = String;

    fn transform(
        &mut self,
        ctx: &mut TransformerContext<'_>,
        key: &String,
        value: Option<&String>,
    ) -> Transformed<String> {
        let Some(value) = value else { return Ok(None) };
        let seen = ctx.store(self.0);
        let count = seen.get(key)?.unwrap_or(0) + 1;
        seen.put(key, count)?;
        Ok(Some(format!("{value}#{count}")))
    }
}

/// In upper case.
struct Shout;

impl ValueTransformerWithKey for Shout {
    type Key = String;
    type In = String;
    type Out = String;

    fn transform(&mut self, _: &mut TransformerContext<'_>, _: &String, value: Option<&String>) -> Transformed<String> {
        Ok(value.map(|value| value.to_uppercase()))
    }
}

/// Keeps each value with a mark behind it; one that starts with x deletes the key.
struct Exclaim(StoreRef<Plain>);

impl Processor for Exclaim {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Text) -> ProcessResult {
        let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
        let store = ctx.store(self.0);
        if value.starts_with('x') {
            store.delete(&key)?;
        } else {
            store.put(&key, value + "!")?;
        }
        Ok(())
    }
}

/// Puts what the store has for the key behind the value.
struct LookUp(StoreRef<Plain>);

impl Processor for LookUp {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<'_, Self>, mut record: Text) -> ProcessResult {
        let store = ctx.store(self.0);
        let found = record.key.as_ref().map_or(Ok(None), |key| store.get(key))?;
        record.value = Some(format!("{}/{}", shown(record.value.as_deref()), shown(found.as_deref())));
        ctx.forward(record)
    }
}
