//! Scenarios 23 to 43 and 47: windows, and what is emitted when they close.

use std::sync::Arc;
use std::time::Duration;

use streams::{Buffer, Consumed, EmitStrategy, Produced, Store, StreamsBuilder, Suppressed, Windowed};
use streams::serde::SharedSerde;
use streams::serde::{
    DefaultSerde, NumberSerde, Serde, SessionWindowedSerde, StringSerde, TimeWindowedSerde,
};

use super::Params;
use super::functions::{cat, gather, stream};
use super::runtime::Fetch;

/// The serde of a type, to be given by value.
struct Of<V>(SharedSerde<V>);

impl<V> Serde<V> for Of<V> {
    fn serialize(&self, value: &V, out: &mut Vec<u8>) {
        self.0.serialize(value, out);
    }

    fn deserialize(&self, bytes: bytes::Bytes) -> Result<V, streams::serde::SerdeError> {
        self.0.deserialize(bytes)
    }
}

fn timed<V: DefaultSerde>(size: Duration) -> Produced<Windowed<String>, V> {
    Produced::with(TimeWindowedSerde::new(Arc::new(StringSerde), size), Of(V::serde()))
}

fn sessions<V: DefaultSerde>() -> Produced<Windowed<String>, V> {
    Produced::with(SessionWindowedSerde::new(Arc::new(StringSerde)), Of(V::serde()))
}

/// What is emitted at each change.
pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let merge = |_: &String, l: String, r: String| cat(&l, "|", &r);
    let group = || stream(b, "in").group_by_key();
    let size = |name: &str| params.time(name);
    match name {
        "tumbling_count" | "tumbling_grace0" => {
            let table = group().windowed_by(params.tumbling()).count("w");
            table.to_stream().to_with("out", timed(size("size_ms")));
        }
        "hopping_sum" => {
            let longs = b.stream_with("in", Consumed::with(StringSerde, NumberSerde)).group_by_key();
            let sum = |a: i64, v: Option<i64>| v.map(|v| a.wrapping_add(v));
            let table = longs.windowed_by(params.tumbling()).reduce_nullable(sum, "w");
            table.to_stream().to_with("out", timed(size("size_ms")));
        }
        "hopping_advance_not_divisor" => {
            let table = group().windowed_by(params.tumbling()).aggregate_nullable(String::new, gather, "w");
            table.to_stream().to_with("out", timed(size("size_ms")));
        }
        "window_null_value" => {
            let keep = |_: &String, v: Option<String>, a: String| v.map(|v| cat(&a, "+", &v));
            let windows = group().windowed_by(params.tumbling());
            let table = windows.aggregate_nullable(|| "i".to_owned(), keep, "w");
            table.to_stream().to_with("out", timed(size("size_ms")));
        }
        "sliding_count_grace" => {
            let table = group().windowed_by(params.sliding()).count("w");
            table.to_stream().to_with("out", timed(size("difference_ms")));
        }
        "sliding_early_records" | "sliding_no_grace_reverse" => {
            let table = group().windowed_by(params.sliding()).aggregate_nullable(String::new, gather, "w");
            table.to_stream().to_with("out", timed(size("difference_ms")));
        }
        "session_count" => {
            group().windowed_by(params.session()).count("s").to_stream().to_with("out", sessions());
        }
        "session_merge_three" | "session_inside_existing" | "session_late_merge_saves" => {
            let windows = group().windowed_by(params.session());
            let table = windows.aggregate_nullable(String::new, gather, merge, "s");
            table.to_stream().to_with("out", sessions());
        }
        "retention_expiry_fetch" => {
            let (retention, size) = (params.time("retention_ms"), params.time("size_ms"));
            b.add_store(Store::window("w", retention, size, StringSerde, StringSerde));
            stream(b, "in").process(Fetch::default, (), &["w"]).to("out");
        }
        _ => return false,
    }
    true
}

/// What is emitted when windows close, by the aggregate or by a suppression.
pub(super) fn build_closed(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let merge = |_: &String, l: String, r: String| cat(&l, "|", &r);
    let group = || stream(b, "in").group_by_key();
    let unbounded = || Suppressed::until_window_closes(Buffer::unbounded());
    match name {
        "emit_final_tumbling" | "emit_final_hopping" | "emit_final_default_throttle" => {
            let windows = group().windowed_by(params.tumbling()).emit_strategy(EmitStrategy::OnWindowClose);
            let table = windows.aggregate_nullable(String::new, gather, "w");
            table.to_stream().to_with("out", timed(params.time("size_ms")));
        }
        "emit_final_sliding" => {
            let windows = group().windowed_by(params.sliding()).emit_strategy(EmitStrategy::OnWindowClose);
            let table = windows.aggregate_nullable(String::new, gather, "w");
            table.to_stream().to_with("out", timed(params.time("difference_ms")));
        }
        "emit_final_session" => {
            let windows = group().windowed_by(params.session()).emit_strategy(EmitStrategy::OnWindowClose);
            let table = windows.aggregate_nullable(String::new, gather, merge, "s");
            table.to_stream().to_with("out", sessions());
        }
        "suppress_final_tumbling" | "suppress_final_large_jump" => {
            let table = group().windowed_by(params.tumbling()).count("w").suppress(unbounded());
            table.to_stream().to_with("out", timed(params.time("size_ms")));
        }
        "suppress_final_session" => {
            let table = group().windowed_by(params.session()).count("s").suppress(unbounded());
            table.to_stream().to_with("out", sessions());
        }
        "suppress_overflow_shutdown" => {
            let buffer = Buffer::max_records(params.number("max_records")).shut_down_when_full();
            let held = Suppressed::until_window_closes(buffer);
            let table = group().windowed_by(params.tumbling()).count("w").suppress(held);
            table.to_stream().to_with("out", timed(params.time("size_ms")));
        }
        _ => return false,
    }
    true
}
