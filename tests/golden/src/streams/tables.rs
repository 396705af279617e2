//! Scenarios 44 to 46, 48 and 62 to 70: tables, held back and joined.

use streams::{Buffer, Materialized, StreamsBuilder, Suppressed};

use super::Params;
use super::functions::{Rows, both, first, left, outer, rows};

pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let limit = |buffer| Suppressed::until_time_limit(params.time("limit_ms"), buffer);
    let held = |buffer| rows(b, "in").suppress(limit(buffer)).to_stream().to("out");
    match name {
        "suppress_time_limit" => held(Buffer::unbounded()),
        "suppress_max_records_emit" => held(Buffer::max_records(params.number("max_records"))),
        "suppress_max_bytes_emit" => held(Buffer::max_bytes(params.number("max_bytes"))),
        "suppress_before_join" => {
            let right = rows(b, "R");
            rows(b, "L").suppress(limit(Buffer::unbounded())).join(&right, both, ()).to_stream().to("out");
        }
        "tt_inner" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.join(&r, both, ()).to_stream().to("out");
        }
        "tt_left" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.left_join(&r, left, ()).to_stream().to("out");
        }
        "tt_outer" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.outer_join(&r, outer, "joined").to_stream().to("out");
        }
        "tt_multi_left_outer" => {
            let (l, r, m) = (rows(b, "L"), rows(b, "R"), rows(b, "M"));
            l.left_join(&r, left, ()).outer_join(&m, outer, ()).to_stream().to("out");
        }
        "tt_filtered_unmaterialized" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            let upper = l.filter(|_, v| !v.starts_with('x'), ()).map_values(|v| v.to_uppercase(), ());
            upper
                .join(&r.filter_not(|_, v| v.ends_with('0'), ()), both, ())
                .filter(|_, v| !v.ends_with('1'), ())
                .to_stream()
                .to("out");
        }
        "tt_versioned_out_of_order" => {
            let versioned = |store: &str| {
                Materialized::named(store).versioned(params.time("history_ms"), Some(params.time("segment_ms")))
            };
            let l: Rows = b.table("L", versioned("vl"));
            let r: Rows = b.table("R", versioned("vr"));
            l.join(&r, both, ()).to_stream().to("out");
        }
        _ => return false,
    }
    true
}

/// Joins by a foreign key.
pub(super) fn build_foreign_keys(name: &str, b: &StreamsBuilder) -> bool {
    match name {
        "fk_inner" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.join_foreign_key(&r, |_, v| Some(first(v)), both, "joined").to_stream().to("out");
        }
        "fk_left" => {
            let (l, r) = (rows(b, "L"), rows(b, "R"));
            l.left_join_foreign_key(&r, |_, v| Some(first(v)), left, "joined").to_stream().to("out");
        }
        "fk_self_and_null_fk" => {
            let t = rows(b, "in");
            let key = |_: &String, v: &String| (!v.starts_with('x')).then(|| first(v));
            t.join_foreign_key(&t, key, both, "inner").to_stream().to("out-inner");
            t.left_join_foreign_key(&t, key, left, "left").to_stream().to("out-left");
        }
        _ => return false,
    }
    true
}
