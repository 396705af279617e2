//! Scenarios 71 to 80, and the processor of 40: timers, stores of one's own, handlers, headers, idling.

use std::time::Duration;

use streams::serde::{NumberSerde, StringSerde};
use streams::{
    Consumed, Ctx, Failure, KeyValue, KeyWindow, Order, ProcessError, ProcessResult, Processor, PunctuationType,
    Record, StoreRef, Stores, StreamsBuilder, Timer, TimestampPolicy,
};

use super::Params;
use super::functions::{cat, grouped, shown, stream};
use super::stateless::by_first;

type Text = Record<String, String>;

pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    match name {
        "punctuate_stream_time_gaps" => {
            let interval = params.time("interval_ms");
            stream(b, "in").process((), move || StreamTime { interval, count: 0 }).to("out");
        }
        "punctuate_wall_clock_cancel" => {
            let interval = params.time("interval_ms");
            let ticking = move || WallClock { interval, fired: 0, ticking: None };
            stream(b, "in").process((), ticking).to("out");
        }
        "store_put_if_absent_range" => {
            let s = b.add_store(Stores::key_value::<String, String>("s"));
            stream(b, "in").process([s], move || StoreCalls(s)).to("out");
        }
        "continue_on_processing_error" => {
            let s = stream(b, "in");
            let counts = s.group_by_key().count("counts").to_stream();
            counts.try_map_values(|n| if n % 3 == 0 { Err(cannot_map(n)) } else { Ok(n) }).to("out-count");
            s.try_map_values_nullable(exclaim).to("out");
        }
        "dlq_deserialization" => b
            .stream_with("in", Consumed::with(StringSerde, NumberSerde))
            .map_values(|v: i64| v.wrapping_add(1))
            .to("out"),
        "dlq_processing_after_repartition" => {
            let repartitioned = by_first(&stream(b, "in")).repartition("rp");
            repartitioned.try_map_values_nullable(exclaim).to("out");
        }
        "log_and_skip_timestamp" => {
            let one = stream(b, "in1");
            let by_partition =
                Consumed::with(StringSerde, StringSerde).timestamp_policy(TimestampPolicy::PartitionTime);
            one.merge(&b.stream_with("in2", by_partition)).to("out");
        }
        "max_task_idle_two_inputs" => {
            let l = stream(b, "L");
            l.merge(&stream(b, "R")).to("out");
        }
        "headers_through_repartition" => {
            let s = by_first(&stream(b, "in")).repartition("rp");
            s.process_values((), || Mark).to("out");
            s.group_by_key().reduce(|a, v| cat(&a, "+", &v), "agg").to_stream().to("out-agg");
        }
        "optimized_source_reuse_describe" => {
            b.table::<String, String>("in1", "t").to_stream().to("out-table");
            let s = by_first(&stream(b, "in2"));
            s.group_by_key_with(grouped()).count("counts").to_stream().to("out-count");
            let reduced = s.group_by_key_with(grouped()).reduce(|a, v| cat(&a, "+", &v), "agg");
            reduced.to_stream().to("out-reduce");
        }
        _ => return false,
    }
    true
}

fn cannot_map(value: impl std::fmt::Display) -> ProcessError {
    ProcessError::named("java.lang.IllegalStateException", format!("cannot map {value}"))
}

fn exclaim(value: Option<String>) -> Result<Option<String>, ProcessError> {
    match value {
        Some(value) if value.starts_with('x') => Err(cannot_map(value)),
        value => Ok(Some(shown(value.as_deref()).to_owned() + "!")),
    }
}

/// Counts records, and says the count each time the stream time is due.
struct StreamTime {
    interval: Duration,
    count: u64,
}

impl Processor for StreamTime {
    type In = (String, String);
    type Out = (String, String);

    fn init(&mut self, ctx: &mut Ctx<Self>) -> ProcessResult {
        ctx.schedule(self.interval, PunctuationType::StreamTime);
        Ok(())
    }

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Text) -> ProcessResult {
        self.count += 1;
        ctx.forward(record)
    }

    fn punctuate(&mut self, ctx: &mut Ctx<Self>, _: Timer, now: i64) -> ProcessResult {
        let text = format!("{now}/{}", self.count);
        ctx.forward(Record::new(Some("punctuated".to_owned()), Some(text), now))
    }
}

/// Ticks three times and then cancels itself; a value that starts with x schedules it again.
struct WallClock {
    interval: Duration,
    fired: u64,
    ticking: Option<Timer>,
}

impl Processor for WallClock {
    type In = (String, String);
    type Out = (String, String);

    fn init(&mut self, ctx: &mut Ctx<Self>) -> ProcessResult {
        self.ticking = Some(ctx.schedule(self.interval, PunctuationType::WallClock));
        Ok(())
    }

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Text) -> ProcessResult {
        let starts = record.value.as_ref().is_some_and(|value| value.starts_with('x'));
        if self.ticking.is_some() || !starts {
            return Ok(());
        }
        self.ticking = Some(ctx.schedule(self.interval, PunctuationType::WallClock));
        ctx.forward(record.with_value(Some("scheduled".to_owned())))
    }

    fn punctuate(&mut self, ctx: &mut Ctx<Self>, timer: Timer, now: i64) -> ProcessResult {
        self.fired += 1;
        let text = format!("{}@{now}", self.fired);
        ctx.forward(Record::new(Some("tick".to_owned()), Some(text), now))?;
        if self.fired.is_multiple_of(3) {
            ctx.cancel(timer);
            self.ticking = None;
        }
        Ok(())
    }
}

/// Does what the first letter of the value says and forwards what the store answered.
struct StoreCalls(StoreRef<KeyValue<String, String>>);

impl Processor for StoreCalls {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Text) -> ProcessResult {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(()) };
        let store = ctx.store(self.0);
        let answer = match value.as_bytes()[0] {
            b'a' => {
                store.put(key, value.clone())?;
                store.get(key)?
            }
            b'b' => store.put_if_absent(key, value.clone())?,
            b'c' => store.delete(key)?,
            b'd' => Some(shown_rows(store.range(Some(key), Some(&"c".to_owned()), Order::Ascending)?)),
            _ => Some(shown_rows(store.range(None, None, Order::Descending)?)),
        };
        ctx.forward(record.with_value(answer))
    }
}

fn shown_rows(rows: Vec<(String, String)>) -> String {
    rows.into_iter().map(|(key, value)| format!("{key}={value} ")).collect()
}

/// Adds one header to each record.
struct Mark;

impl Processor for Mark {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, mut record: Text) -> ProcessResult {
        let mark = record.value.as_ref().map(|value| value[1..].to_owned().into());
        record.headers.push(("mark".to_owned(), mark));
        ctx.forward(record)
    }
}

/// The processor of scenario 40: keeps each record, and says what the store has around it.
pub(super) struct Fetch(pub(super) StoreRef<KeyWindow<String, String>>);

impl Processor for Fetch {
    type In = (String, String);
    type Out = (String, String);

    fn process(&mut self, ctx: &mut Ctx<Self>, record: Text) -> ProcessResult {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(()) };
        let store = ctx.store(self.0);
        store.put(key, record.timestamp, Some(value.clone()))?;
        let (from, to) = ((record.timestamp - 100_000).max(0), record.timestamp + 100_000);
        let started = |order| -> Result<String, Failure> {
            let rows = store.fetch(key, from, to, order)?;
            Ok(rows.into_iter().map(|(start, value)| format!("{start}={value} ")).collect())
        };
        let answer = match value.as_bytes()[0] {
            b'd' => store
                .fetch_all(from, to, Order::Ascending)?
                .into_iter()
                .map(|(key, value)| format!("{}@{}={value} ", key.key, key.window.start))
                .collect(),
            b'x' => started(Order::Descending)?,
            _ => started(Order::Ascending)?,
        };
        ctx.forward(record.with_value(Some(answer)))
    }
}
