//! Each kind of store that a processor may have, at work in the test driver.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::prelude::*;
use crate::store::token::StoreId;

type Notes = Arc<Mutex<Vec<String>>>;
type Body = Arc<dyn Fn(&mut Ctx<'_, Calling>, i64, &Notes) -> ProcessResult + Send + Sync>;

/// Calls a closure with each number.
struct Calling(Body, Notes);

impl Processor for Calling {
    type In = (String, i64);
    type Out = (String, i64);

    fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Record<String, i64>) -> ProcessResult {
        let (body, notes) = (Arc::clone(&self.0), Arc::clone(&self.1));
        body(ctx, record.value.unwrap_or_default(), &notes)
    }
}

/// Sends numbers through a processor with one store; what it noted, and how many records the changelog got.
fn run(
    builder: StreamsBuilder,
    store: impl Into<StoreId>,
    numbers: i64,
    body: impl Fn(&mut Ctx<'_, Calling>, i64, &Notes) -> ProcessResult + Send + Sync + 'static,
) -> (Vec<String>, usize) {
    let (notes, body): (Notes, Body) = (Arc::default(), Arc::new(body));
    let (made, given): (Notes, StoreId) = (Arc::clone(&notes), store.into());
    builder.stream::<String, i64>("in").process([given], move || Calling(Arc::clone(&body), Arc::clone(&made)));
    let topology = builder.build().expect("sound");
    let mut driver = TopologyTestDriver::new(&topology, StreamsConfig::new("app", "h:1")).expect("linked");
    let input = driver.input::<String, i64>("in");
    for number in 0..numbers {
        input.pipe(&mut driver, "k", number, number).expect("processed");
    }
    let logged = driver.take_outputs().iter().filter(|output| output.topic.ends_with("-changelog")).count();
    let notes = std::mem::take(&mut *notes.lock().expect("no panic"));
    (notes, logged)
}

fn note(notes: &Notes, text: impl std::fmt::Debug) {
    notes.lock().expect("no panic").push(format!("{text:?}"));
}

#[test]
fn a_session_store_finds_sessions_by_their_times() {
    for cached in [false, true] {
        let builder = StreamsBuilder::new();
        let store = Stores::session::<String, i64>("sessions", Duration::from_secs(60));
        let store = if cached { store.caching_enabled() } else { store };
        let sessions: StoreRef<KeySession<String, i64>> = builder.add_store(store);
        let (notes, logged) = run(builder, sessions, 3, move |ctx, number, notes| {
            let (sessions, key) = (ctx.store(sessions), "k".to_owned());
            let session = Window { start: number * 10, end: number * 10 + 5 };
            sessions.put(&key, session, number)?;
            if number == 2 {
                sessions.remove(&key, Window { start: 0, end: 5 })?;
                note(notes, sessions.get(&key, session)?);
                for (window, value) in sessions.find(&key, 0, i64::MAX)? {
                    note(notes, (window.start, window.end, value));
                }
            }
            Ok(())
        });
        assert_eq!(notes, ["Some(2)", "(10, 15, 1)", "(20, 25, 2)"]);
        assert_eq!(logged, 4, "cached: {cached}");
    }
}

#[test]
fn a_versioned_store_knows_what_was() {
    let builder = StreamsBuilder::new();
    let store = Stores::versioned::<String, i64>("versions", Duration::from_secs(60));
    let versions: StoreRef<VersionedKeyValue<String, i64>> = builder.add_store(store);
    let (notes, logged) = run(builder, versions, 3, move |ctx, number, notes| {
        let (versions, key) = (ctx.store(versions), "k".to_owned());
        versions.put(&key, Some(&number), number * 10)?;
        if number == 2 {
            note(notes, versions.get_as_of(&key, 15)?.map(|found| (found.value, found.timestamp)));
            note(notes, versions.delete(&key, 30)?.map(|found| found.value));
            note(notes, versions.get(&key)?.map(|found| found.value));
        }
        Ok(())
    });
    assert_eq!((notes, logged), (["Some((1, 10))", "Some(2)", "None"].map(str::to_owned).to_vec(), 4));
}

#[test]
fn a_timestamped_store_keeps_the_time_that_is_given() {
    for cached in [false, true] {
        let builder = StreamsBuilder::new();
        let store = Stores::timestamped_key_value::<String, i64>("times");
        let store = if cached { store.caching_enabled() } else { store };
        let times: StoreRef<TimestampedKeyValue<String, i64>> = builder.add_store(store);
        let (notes, logged) = run(builder, times, 2, move |ctx, number, notes| {
            let (times, key) = (ctx.store(times), "k".to_owned());
            times.put(&key, number, 100 + number)?;
            if number == 1 {
                note(notes, times.delete(&key)?.map(|found| (found.value, found.timestamp)));
                note(notes, times.get(&key)?.is_none());
            }
            Ok(())
        });
        assert_eq!(notes, ["Some((1, 101))", "true"]);
        assert_eq!(logged, if cached { 2 } else { 3 });
    }
}

/// Keys by prefix, a page at a time, backwards, and swept, with some of the rows only in the cache.
#[test]
fn rows_are_gone_through_in_parts() {
    for cached in [false, true] {
        let builder = StreamsBuilder::new();
        let store = Stores::key_value::<String, i64>("rows");
        let store = if cached { store.caching_enabled() } else { store };
        let rows = builder.add_store(store);
        let (notes, _) = run(builder, rows, 2, move |ctx, number, notes| {
            let rows = ctx.store(rows);
            // The first record's rows are written by the commit before the second.
            for row in (number..2500).step_by(2) {
                rows.put(&format!("{row:04}"), row)?;
            }
            if number == 0 {
                return Ok(());
            }
            let pairs = |found: Vec<(String, i64)>| found.into_iter().map(|(_, row)| row).collect::<Vec<i64>>();
            note(notes, pairs(rows.prefix_scan(&"123".to_owned(), &StringSerde)?));
            note(notes, pairs(rows.page(None, 3)?));
            note(notes, pairs(rows.page(Some(&"0002".to_owned()), 3)?));
            let (from, to) = ("0010".to_owned(), "0012".to_owned());
            note(notes, pairs(rows.range(Some(&from), Some(&to), Order::Descending)?));
            rows.retain(|_, row| row % 1000 == 7)?;
            note(notes, pairs(rows.iter()?.collect()));
            Ok(())
        });
        let expected = [
            "[1230, 1231, 1232, 1233, 1234, 1235, 1236, 1237, 1238, 1239]",
            "[0, 1, 2]",
            "[3, 4, 5]",
            "[12, 11, 10]",
            "[7, 1007, 2007]",
        ];
        assert_eq!(notes, expected, "cached: {cached}");
    }
}
