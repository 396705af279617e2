//! Ranges that come page by page: the same rows as at once, with writes and migrations between two pages.

use std::pin::pin;

use super::*;
use crate::store::page::Limit;
use crate::{EmitStrategy, TimeWindows, Windowed};

const HOUR: Duration = Duration::from_secs(3600);

fn paged<Q: Queryable>(driven: &Driven, store: &str, limit: Limit) -> Q::ReadOnly {
    let asker = Asker::new(Arc::new(driven.thread.clone()), store.into(), Scope::Partitions);
    Q::read_only(asker.with_page(limit))
}

/// The next row; the thread answers as often as it is asked.
fn take<T: Send + 'static>(driven: &Driven, rows: &mut AskedRows<T>) -> Option<Result<T, QueryError>> {
    let mut next = pin!(rows.next());
    loop {
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(row) => return row,
            Poll::Pending => assert!(driven.answer() > 0, "it waits for nothing"),
        }
    }
}

fn every_layout() -> Topology {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String> = builder.stream("in");
    let minutes = || TimeWindows::of_size_no_grace(Duration::from_secs(60));
    let visits = || SessionWindows::of_inactivity_gap_no_grace(Duration::from_secs(10));
    let kept = |name: &str| Materialized::named(name).retention(HOUR);
    stream.group_by_key().count("counts");
    stream.group_by_key().windowed_by(minutes()).count(kept("minutes"));
    let closed = stream.group_by_key().windowed_by(minutes()).emit_strategy(EmitStrategy::OnWindowClose);
    closed.count(kept("closed-minutes"));
    stream.group_by_key().windowed_by(visits()).count(kept("visits"));
    let closed = stream.group_by_key().windowed_by(visits()).emit_strategy(EmitStrategy::OnWindowClose);
    closed.count(kept("closed-visits"));
    let sliding = crate::SlidingWindows::of_time_difference_no_grace(Duration::from_secs(20));
    let closed = stream.group_by_key().windowed_by(sliding).emit_strategy(EmitStrategy::OnWindowClose);
    closed.count(kept("closed-sliding"));
    builder.build().expect("the topology is sound")
}

/// Some hundred records of the same ten keys, of which one is a part of another, over two hours; of the caches some is
/// written, some waits and some was evicted.
fn busy(cache_bytes: usize) -> Driven {
    let mut driven = Driven::new(&every_layout(), cache_bytes);
    let keys = ["a", "aa", "b", "bb", "c", "d", "e", "f", "g", "ga"];
    let mut random = 7_u64;
    for number in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = keys[(random >> 33) as usize % keys.len()];
        driven.put("in", key, Some("x"), number * 12_000 - ((random >> 40) % 30_000) as i64 + 30_000);
        if number % 97 == 0 {
            driven.flush();
        }
    }
    driven
}

/// In pages of any size the same as at once, which is more than a few rows.
fn check<T: std::fmt::Debug + PartialEq + Send + 'static>(driven: &Driven, ask: impl Fn(Limit) -> AskedRows<T>) {
    let whole = driven.get(ask(Limit::NONE));
    assert!(whole.len() > 5, "{whole:?}");
    for rows in [1, 2, 7, 100] {
        assert_eq!(driven.get(ask(Limit::of_rows(rows))), whole, "pages of {rows}");
    }
}

fn starts(rows: &[(Windowed<String>, i64)]) -> Vec<(String, i64, i64)> {
    let mut starts: Vec<_> = rows.iter().map(|(at, count)| (at.key.clone(), at.window.start, *count)).collect();
    starts.sort();
    starts
}

#[test]
fn pages_of_every_kind_of_store_are_the_rows_as_they_come_at_once() {
    for cache_bytes in [0, 8_000, 1 << 20] {
        let driven = busy(cache_bytes);
        for order in [Order::Ascending, Order::Descending] {
            let counts = |limit| paged::<KeyValue<String, i64>>(&driven, "counts", limit);
            check(&driven, |limit| counts(limit).all(order));
            check(&driven, |limit| counts(limit).range(Some("aa"), Some("g"), order));
            for store in ["minutes", "closed-minutes", "closed-sliding"] {
                let windows = |limit| paged::<KeyWindow<String, i64>>(&driven, store, limit);
                check(&driven, |limit| windows(limit).all(order));
                check(&driven, |limit| windows(limit).fetch_all(4_000_000, 5_500_000, order));
                check(&driven, |limit| windows(limit).fetch_range((Some("aa"), Some("ga")), 0, i64::MAX, order));
                check(&driven, |limit| windows(limit).fetch("a", 0, i64::MAX, order));
                // Each row by itself is the same.
                let all = driven.get(windows(Limit::NONE).all(order));
                for (at, count) in &all {
                    assert_eq!(driven.get(windows(Limit::NONE).get(&at.key, at.window.start)), Some(*count), "{at:?}");
                }
                let ranged = driven.get(windows(Limit::NONE).fetch_range((None, Some("zz")), 0, i64::MAX, order));
                assert_eq!(starts(&ranged), starts(&all), "{store} {cache_bytes}");
            }
            for store in ["visits", "closed-visits"] {
                let visits = |limit| paged::<KeySession<String, i64>>(&driven, store, limit);
                check(&driven, |limit| visits(limit).fetch_range::<str>((None, None), order));
                check(&driven, |limit| visits(limit).find_range((Some("aa"), Some("g")), 4_000_000, 6_000_000, order));
                check(&driven, |limit| visits(limit).fetch("a", order));
            }
        }
        let counts = |limit| paged::<KeyValue<String, i64>>(&driven, "counts", limit);
        let found = driven.get(counts(Limit::of_rows(1)).prefix_scan(&text("g"), StringSerde));
        assert_eq!(found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["g", "ga"]);
    }
}

/// A table of ten keys that are all in one partition, and two of the other one.
fn table(cache_bytes: usize) -> Driven {
    let builder = StreamsBuilder::new();
    builder.table("in", Materialized::<String, String>::named("table"));
    let mut driven = Driven::new(&builder.build().expect("sound"), cache_bytes);
    for number in 0..10 {
        driven.put("in", &format!("k{number}"), Some("old"), 0);
    }
    for key in ["l0", "l1"] {
        driven.put("in", key, Some("old"), 0);
    }
    driven
}

#[test]
fn rows_that_change_between_pages_come_once_and_in_order() {
    for (cache_bytes, flushes) in
        [(0, [false; 2]), (1 << 20, [false; 2]), (1 << 20, [true, false]), (1 << 20, [true; 2])]
    {
        for order in [Order::Ascending, Order::Descending] {
            let mut driven = table(cache_bytes);
            let flush = |driven: &mut Driven, time: usize| flushes[time].then(|| driven.flush());
            flush(&mut driven, 0);
            let only = StoreQueryParameters::new("table").with_partition(0);
            let asker = Asker::new(Arc::new(driven.thread.clone()), only, Scope::Partitions);
            let asker = asker.with_page(Limit::of_rows(3));
            let mut rows = KeyValue::<String, String>::read_only(asker).all(order);
            let first = take(&driven, &mut rows).expect("a row").expect("it is there");
            // Three were read: before these keys going up, behind them going down.
            let (read, unread) = match order {
                Order::Ascending => (["k1", "k2", "k00"], ["k5", "k6", "k55"]),
                Order::Descending => (["k8", "k7", "k75"], ["k4", "k3", "k35"]),
            };
            for [changed, gone, new] in [read, unread] {
                driven.put("in", changed, Some("new"), 1);
                driven.put("in", gone, None, 1);
                driven.put("in", new, Some("new"), 1);
            }
            flush(&mut driven, 1);
            let mut seen = vec![format!("{}={}", first.0, first.1)];
            while let Some(row) = take(&driven, &mut rows) {
                let (key, value) = row.expect("the store stays");
                seen.push(format!("{key}={value}"));
            }
            let wanted = match order {
                Order::Ascending => "k0=old k1=old k2=old k3=old k4=old k5=new k55=new k7=old k8=old k9=old",
                Order::Descending => "k9=old k8=old k7=old k6=old k5=old k4=new k35=new k2=old k1=old k0=old",
            };
            assert_eq!(seen.join(" "), wanted, "{cache_bytes} {flushes:?}");
        }
    }
}

#[test]
fn a_thread_reads_a_page_when_its_rows_are_asked_for() {
    let driven = table(0);
    let store = |limit| paged::<KeyValue<String, String>>(&driven, "table", limit);
    let mut rows = store(Limit::of_rows(3)).all(Order::Ascending);
    let mut answers = Vec::new();
    for number in 0..12 {
        let mut next = pin!(rows.next());
        let mut asked = 0;
        let row = loop {
            match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(row) => break row,
                Poll::Pending => asked += driven.answer(),
            }
        };
        assert!(!driven.thread.0.is_waiting(), "nothing is read ahead");
        let key = if number < 10 { format!("k{number}") } else { format!("l{}", number - 10) };
        assert_eq!(row, Some(Ok((key, text("old")))));
        answers.push(asked);
    }
    // One question of both partitions, of which the first fills the page; the tenth row is that of a page that ends there.
    assert_eq!(answers, [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0]);
    assert_eq!(take(&driven, &mut rows), None);
    // What is passed over counts: none of the thread's time is spent on more than a page.
    let driven = busy(0);
    let minutes = paged::<KeyWindow<String, i64>>(&driven, "minutes", Limit::of_rows(5));
    let mut rows = minutes.fetch_range((Some("aa"), Some("aa")), 7_000_000, 7_100_000, Order::Ascending);
    driven.answer();
    let mut next = pin!(rows.next());
    assert!(
        next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
        "none of the first five is asked for"
    );
}

#[test]
fn a_store_that_leaves_between_two_pages_is_an_error_and_no_end() {
    let gone = || Some(Err(QueryError::StateStoreMigrated(text("table"))));
    let begun = |driven: &Driven| {
        let mut rows = paged::<KeyValue<String, String>>(driven, "table", Limit::of_rows(1)).all(Order::Ascending);
        assert_eq!(take(driven, &mut rows), Some(Ok((text("k0"), text("old")))));
        rows
    };
    let mut driven = table(0);
    let mut rows = begun(&driven);
    // A rebalance alone takes nothing from who reads.
    driven.state = ThreadState::PartitionsRevoked;
    assert_eq!(take(&driven, &mut rows), Some(Ok((text("k1"), text("old")))));
    driven.tasks.clear();
    assert_eq!((take(&driven, &mut rows), take(&driven, &mut rows)), (gone(), None));

    // It came back, and is being restored.
    let mut driven = table(0);
    let mut rows = begun(&driven);
    driven.tasks[0].1 = Standing::Stale;
    assert_eq!((take(&driven, &mut rows), take(&driven, &mut rows)), (gone(), None));

    // The thread ends: while it is asked, and before.
    for is_asked in [true, false] {
        let driven = table(0);
        let mut rows = begun(&driven);
        let mut next = pin!(rows.next());
        if is_asked {
            assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        driven.thread.0.close();
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(gone()));
    }
}

#[test]
fn all_threads_are_asked_at_once_and_once_for_all_their_tasks() {
    let driven = table(0);
    let other = Arc::new(Queue::default());
    let threads = Arc::new(Threads(vec![Arc::clone(&other), Arc::clone(&driven.thread.0)]));
    let table = KeyValue::<String, String>::read_only(Asker::new(threads, "table".into(), Scope::Partitions));
    let (all, one) = (table.all(Order::Ascending), table.get("l1"));
    assert_eq!((other.take().len(), driven.thread.0.take().len()), (2, 2), "nobody has answered yet");
    drop((all, one));
}

#[test]
fn a_global_table_comes_page_by_page_of_the_thread_that_answered_first() {
    let mut driven = table(0);
    driven.globals = Some(driven.tasks[0].0.stores().clone());
    let asker = Asker::new(Arc::new(driven.thread.clone()), "table".into(), Scope::Global);
    let asker = asker.with_page(Limit::of_rows(4));
    let rows = driven.get(KeyValue::<String, String>::read_only(asker).all(Order::Descending));
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().map(|(key, _)| key).rev().is_sorted());
}

#[test]
fn rows_are_waited_for_one_by_one_and_awaited_as_one() {
    let driven = table(0);
    let store = paged::<KeyValue<String, String>>(&driven, "table", Limit::of_rows(5));
    let rows = store.all(Order::Ascending);
    let waits = std::thread::spawn(move || rows.into_iter().collect::<Result<Vec<_>, _>>());
    while !waits.is_finished() {
        driven.answer();
        std::thread::yield_now();
    }
    let one_by_one = waits.join().expect("no panic").expect("it is answered");
    assert_eq!((one_by_one.len(), driven.get(store.all(Order::Ascending))), (12, one_by_one));
}
