use std::collections::BTreeSet;

use super::*;

const ID: TaskId = TaskId { subtopology: 0, partition: 1 };

fn worked() -> Round {
    let tallied = Tallied { dropped: 2, punctuated: 1, enforced: 1, lateness_sum: 30, lateness_max: 20 };
    let turn = Turn {
        processed: (10, Duration::from_millis(20)),
        punctuated: (1, Duration::from_millis(5)),
        buffered: 7,
        tallied,
    };
    Round {
        polled: Some((Duration::from_millis(50), 10)),
        turns: vec![(ID, turn)],
        committed: Some(Committed { took: Duration::from_millis(25), flushing: Duration::from_millis(10), tasks: 1 }),
        created: 1,
        ..Round::default()
    }
}

fn value(metrics: &[Metric], name: &str, of_task: bool) -> f64 {
    let found = metrics.iter().find(|metric| metric.name == name && metric.tags.contains_key("task-id") == of_task);
    found.unwrap_or_else(|| panic!("no {name}")).value
}

fn tags_of(metric: &Metric) -> String {
    metric.tags.keys().copied().collect::<Vec<_>>().join(",")
}

#[test]
fn names_and_tags_are_those_of_kafka_streams() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams/metrics.txt");
    let recorded = std::fs::read_to_string(file).unwrap();
    let meters = Meters::new("t");
    meters.note(&worked(), Duration::from_millis(100));
    let mut all = of_instance("c", ("p", "a"), [0; 3]);
    all.append(&mut meters.metrics(0, "p"));
    let ours: BTreeSet<String> =
        all.iter().map(|metric| format!("{} {} {} number", metric.group, metric.name, tags_of(metric))).collect();
    let theirs: BTreeSet<String> = recorded
        .lines()
        .filter(|line| [CLIENT, THREAD, TASK].iter().any(|group| line.starts_with(&format!("{group} "))))
        .filter(|line| line.ends_with(" number") && !line.contains(" cache-size-bytes-total "))
        .map(str::to_owned)
        .collect();
    assert!(theirs.len() > 50, "{theirs:?}");
    let only_ours: Vec<&String> = ours.difference(&theirs).collect();
    // The test driver of Kafka Streams has no copies, of which these two are.
    assert_eq!(
        only_ours,
        [
            "stream-task-metrics update-rate task-id,thread-id number",
            "stream-task-metrics update-total task-id,thread-id number"
        ]
    );
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_round_is_counted_in_its_thread_and_its_tasks() {
    let meters = Meters::new("t");
    meters.note(&worked(), Duration::from_millis(200));
    let all = meters.metrics(4, "p");
    let (thread, task) = (|name: &str| value(&all, name, false), |name: &str| value(&all, name, true));
    assert_eq!(
        (thread("process-total"), thread("process-latency-avg"), thread("process-records-max")),
        (10.0, 2.0, 10.0)
    );
    assert_eq!((thread("poll-total"), thread("poll-latency-max"), thread("poll-records-avg")), (1.0, 50.0, 10.0));
    assert_eq!((thread("commit-total"), thread("commit-latency-avg")), (1.0, 25.0));
    assert_eq!((thread("poll-ratio"), thread("process-ratio"), thread("commit-ratio")), (0.25, 0.1, 0.125));
    assert_eq!((thread("blocked-time-ns-total"), thread("thread-state")), (65e6, 4.0));
    assert_eq!((thread("task-created-total"), thread("task-closed-total")), (1.0, 0.0));
    assert_eq!((task("process-total"), task("process-latency-avg")), (10.0, 2e6));
    assert_eq!(
        (task("dropped-records-total"), task("enforced-processing-total"), task("punctuate-total")),
        (2.0, 1.0, 1.0)
    );
    assert_eq!((task("record-lateness-avg"), task("record-lateness-max")), (3.0, 20.0));
    assert_eq!((task("active-buffer-count"), task("active-process-ratio")), (7.0, 1.0));
}

#[test]
fn what_a_task_counts_is_told_once_and_goes_with_the_task() {
    let meters = Meters::new("t");
    for _ in 0..2 {
        // The same tally twice: nothing was dropped in the second round.
        meters.note(&worked(), Duration::from_millis(200));
    }
    let restored = Round { restored: vec![(ID, 40, 60)], copied: vec![(ID, 3)], ..Round::default() };
    meters.note(&restored, Duration::from_millis(1));
    let all = meters.metrics(4, "p");
    assert_eq!((value(&all, "dropped-records-total", true), value(&all, "record-lateness-avg", true)), (2.0, 1.5));
    assert_eq!(
        (value(&all, "restore-total", true), value(&all, "restore-remaining-records-total", true)),
        (40.0, 60.0)
    );
    assert_eq!(value(&all, "update-total", true), 3.0);
    for (over, closed) in
        [(Round { demoted: vec![ID], ..Round::default() }, 0.0), (Round { closed: vec![ID], ..Round::default() }, 1.0)]
    {
        meters.note(&worked(), Duration::from_millis(1));
        meters.note(&over, Duration::from_millis(1));
        let all = meters.metrics(4, "p");
        assert!(all.iter().all(|metric| metric.group != TASK));
        assert_eq!(value(&all, "task-closed-total", false), closed);
    }
}

#[test]
fn the_page_has_the_names_of_the_exporter() {
    let meters = Meters::new("app-1");
    meters.note(&worked(), Duration::from_millis(200));
    let text = page_of(&meters.metrics(4, "p"));
    for line in [
        "kafka_streams_stream_thread_metrics_process_total{thread_id=\"app-1\"} 10.0",
        "kafka_streams_stream_task_metrics_dropped_records_total{task_id=\"0_1\",thread_id=\"app-1\"} 2.0",
        "kafka_streams_stream_task_metrics_restore_remaining_records_total{task_id=\"0_1\",thread_id=\"app-1\"} 0.0",
        "kafka_streams_stream_thread_metrics_thread_state{process_id=\"p\",thread_id=\"app-1\"} 4.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
