//! Scenarios 49 to 61: joins of streams.

use streams::{Materialized, StreamsBuilder};

use super::Params;
use super::functions::{Rows, both, first, joined, left, outer, rows, starts, stream};

pub(super) fn build(name: &str, b: &StreamsBuilder, params: &Params<'_>) -> bool {
    let sides = || (stream(b, "L"), stream(b, "R"));
    match name {
        "ss_inner" | "ss_inner_asymmetric" | "ss_inner_duplicates" => {
            let (l, r) = sides();
            l.join(&r, both, params.join(), joined()).to("out");
        }
        "ss_left" | "ss_left_default_throttle" => {
            let (l, r) = sides();
            l.left_join(&r, left, params.join(), joined()).to("out");
        }
        "ss_outer" | "ss_outer_asymmetric" => {
            let (l, r) = sides();
            l.outer_join(&r, outer, params.join(), joined()).to("out");
        }
        "ss_null_keys" => {
            let (l, r) = sides();
            l.left_join(&r, left, params.join(), joined()).to("out-left");
            l.outer_join(&r, outer, params.join(), joined()).to("out-outer");
        }
        "ss_self_join_optimized" => {
            let s = stream(b, "in");
            s.join(&s, both, params.join(), joined()).to("out");
        }
        "st_inner" => {
            let table = rows(b, "R");
            stream(b, "L").join_table(&table, both, ()).to("out");
        }
        "st_left_null_key" => {
            let table = rows(b, "R");
            stream(b, "L").left_join_table(&table, left, ()).to("out");
        }
        "st_versioned_grace" => {
            let versioned =
                Materialized::named("v").versioned(params.time("history_ms"), Some(params.time("segment_ms")));
            let table: Rows = b.table("R", versioned);
            stream(b, "L").join_table(&table, both, joined().grace(params.time("grace_ms"))).to("out");
        }
        "sg_inner_left" => {
            let global = b.global_table::<String, String>("R", "g");
            let s = stream(b, "L");
            let key = |_: Option<&String>, v: Option<&String>| match starts(v, 'x') {
                true => None,
                false => v.map(|v| first(v)),
            };
            s.join_global(&global, key, both).to("out-inner");
            s.left_join_global(&global, key, left).to("out-left");
        }
        _ => return false,
    }
    true
}
