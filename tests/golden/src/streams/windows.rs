//! Scenarios 23 to 43 and 47: windows, and what is emitted when they close.

use streams::serde::{NumberSerde, StringSerde};
use streams::{Buffer, Consumed, EmitStrategy, Stores, StreamsBuilder, Suppressed};

use super::Params;
use super::functions::{cat, gather, stream};
use super::runtime::Fetch;

/// What is emitted at each change.
pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let merge = |_: &String, l: String, r: String| cat(&l, "|", &r);
    let group = || stream(b, "in").group_by_key();
    match name {
        "tumbling_count" | "tumbling_grace0" => {
            let table = group().windowed_by(params.tumbling()).count("w");
            table.to_stream().to("out");
        }
        "hopping_sum" => {
            let longs = b.stream_with("in", Consumed::with(StringSerde, NumberSerde)).group_by_key();
            let sum = |a: i64, v: Option<i64>| v.map(|v| a.wrapping_add(v));
            let table = longs.windowed_by(params.tumbling()).reduce_nullable(sum, "w");
            table.to_stream().to("out");
        }
        "hopping_advance_not_divisor" => {
            let table = group().windowed_by(params.tumbling()).aggregate_nullable(String::new, gather, "w");
            table.to_stream().to("out");
        }
        "window_null_value" => {
            let keep = |_: &String, v: Option<String>, a: String| v.map(|v| cat(&a, "+", &v));
            let windows = group().windowed_by(params.tumbling());
            let table = windows.aggregate_nullable(|| "i".to_owned(), keep, "w");
            table.to_stream().to("out");
        }
        "sliding_count_grace" => {
            let table = group().windowed_by(params.sliding()).count("w");
            table.to_stream().to("out");
        }
        "sliding_early_records" | "sliding_no_grace_reverse" => {
            let table = group().windowed_by(params.sliding()).aggregate_nullable(String::new, gather, "w");
            table.to_stream().to("out");
        }
        "session_count" => {
            group().windowed_by(params.session()).count("s").to_stream().to("out");
        }
        "session_merge_three" | "session_inside_existing" | "session_late_merge_saves" => {
            let windows = group().windowed_by(params.session());
            let table = windows.aggregate_nullable(String::new, gather, merge, "s");
            table.to_stream().to("out");
        }
        "retention_expiry_fetch" => {
            let (retention, size) = (params.time("retention_ms"), params.time("size_ms"));
            let w = b.add_store(Stores::window::<String, String>("w", retention, size));
            stream(b, "in").process([w], move || Fetch(w)).to("out");
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
            table.to_stream().to("out");
        }
        "emit_final_sliding" => {
            let windows = group().windowed_by(params.sliding()).emit_strategy(EmitStrategy::OnWindowClose);
            let table = windows.aggregate_nullable(String::new, gather, "w");
            table.to_stream().to("out");
        }
        "emit_final_session" => {
            let windows = group().windowed_by(params.session()).emit_strategy(EmitStrategy::OnWindowClose);
            let table = windows.aggregate_nullable(String::new, gather, merge, "s");
            table.to_stream().to("out");
        }
        "suppress_final_tumbling" | "suppress_final_large_jump" => {
            let table = group().windowed_by(params.tumbling()).count("w").suppress(unbounded());
            table.to_stream().to("out");
        }
        "suppress_final_session" => {
            let table = group().windowed_by(params.session()).count("s").suppress(unbounded());
            table.to_stream().to("out");
        }
        "suppress_overflow_shutdown" => {
            let buffer = Buffer::max_records(params.number("max_records")).shut_down_when_full();
            let held = Suppressed::until_window_closes(buffer);
            let table = group().windowed_by(params.tumbling()).count("w").suppress(held);
            table.to_stream().to("out");
        }
        _ => return false,
    }
    true
}
