//! What the system says about this process, under the names that every Prometheus client library uses.

use crate::metric::{Kind, Metric};
use crate::registry::{Registry, Samples};

/// Rows about the process.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "process_cpu_seconds",
        kind: Kind::Counter,
        labels: &[],
        help: "Processor time used, user and system",
        mbean: "",
    },
    Metric { name: "process_resident_memory_bytes", kind: Kind::Gauge, labels: &[], help: "Memory held", mbean: "" },
    Metric { name: "process_open_fds", kind: Kind::Gauge, labels: &[], help: "Open files and sockets", mbean: "" },
];

/// Adds the rows and what fills them. Elsewhere than on Linux they stay empty.
pub fn observe(registry: &Registry) {
    registry.add(METRICS);
    registry.collect(sample);
}

fn sample(samples: &mut Samples) {
    if let Some((ticks, pages)) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
        // The kernel reports in ticks of 10 ms whatever its own clock (USER_HZ), and pages are of 4 KiB on
        // every machine that is built for here.
        samples.gauge("process_cpu_seconds", &[], ticks as f64 / 100.0);
        samples.gauge("process_resident_memory_bytes", &[], pages as f64 * 4096.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        samples.gauge("process_open_fds", &[], open.count() as f64);
    }
}

/// utime + stime, and rss, of proc(5)'s `stat`; the name in parentheses may hold anything.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((number(11)? + number(12)?, number(21)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 9 0 100 8192 321 18446744073709551615";
        assert_eq!(parse_stat(text), Some((110, 321)));
    }

    #[test]
    fn this_process_uses_memory() {
        let registry = Registry::default();
        observe(&registry);
        let page = registry.render();
        assert!(page.contains("process_resident_memory_bytes "), "{page}");
        assert!(page.contains("# TYPE process_cpu_seconds counter"), "{page}");
        assert!(page.contains("\nprocess_cpu_seconds_total{} "), "{page}");
    }
}
