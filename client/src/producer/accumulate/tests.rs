use std::time::Duration;

use millstream_protocol::error_code::ErrorCode;
use uuid::Uuid;

use super::*;
use crate::metadata::Leader;
use crate::producer::idempotent::Identity;

fn view(leaders: &[i32]) -> Arc<TopicView> {
    let leaders = leaders.iter().map(|broker| Leader { broker: *broker, epoch: 1 }).collect();
    Arc::new(TopicView { id: Uuid::nil(), leaders })
}

fn config() -> ProducerConfig {
    ProducerConfig { batch_bytes: 200, idempotence: Idempotence::Off, ..ProducerConfig::default() }
}

fn accumulator(config: ProducerConfig) -> Accumulator {
    let mut accumulator = Accumulator::new(config);
    accumulator.learn("t", view(&[1, 2]));
    accumulator
}

fn now(steady_ms: i64) -> Now {
    Now { steady_ms, wall_ms: 1 }
}

fn append(accumulator: &mut Accumulator, partition: i32, now_ms: i64) -> Appended {
    let record = NewRecord { topic: "t", partition: Some(partition), value: Some(&[7; 50]), ..NewRecord::default() };
    accumulator.append(&record, Observed::No, 1, || now(now_ms), &mut None).unwrap()
}

fn wakes(appended: Appended) -> bool {
    matches!(appended, Appended::Done { wake: true, .. })
}

/// Broker, and (id, records) of its batches.
fn drained(due: &Due) -> Vec<(i32, Vec<(u64, i32)>)> {
    let batches = |request: &Request| request.1.iter().map(|(batch, _)| (batch.id, batch.count)).collect();
    due.requests.iter().map(|request| (request.0, batches(request))).collect()
}

fn first(due: &mut Due) -> Batch {
    due.requests.remove(0).1.remove(0).0
}

#[test]
fn a_batch_leaves_when_it_lingered_or_is_full_and_takes_those_of_its_broker_along() {
    let mut all = accumulator(config());
    assert!(wakes(append(&mut all, 0, 100)), "a new batch has a time to leave");
    assert!(!wakes(append(&mut all, 0, 101)));
    let due = all.drain(104, |_| Node::Ready);
    assert_eq!((drained(&due), due.again_ms), (vec![], Some(105)));
    assert_eq!(drained(&all.drain(105, |_| Node::Ready)), [(1, vec![(0, 2)])]);
    append(&mut all, 0, 200);
    append(&mut all, 0, 200);
    assert!(wakes(append(&mut all, 0, 200)), "the third does not fit and opens another batch");
    assert_eq!(drained(&all.drain(200, |_| Node::Ready)), [(1, vec![(1, 2)])]);
    all.begin_flush();
    append(&mut all, 1, 200);
    let mut due = drained(&all.drain(200, |_| Node::Ready));
    due.sort();
    assert_eq!(due, [(1, vec![(2, 1)]), (2, vec![(3, 1)])]);
}

#[test]
fn a_broker_takes_nothing_while_it_is_busy_or_not_connected() {
    let mut all = accumulator(config());
    append(&mut all, 0, 0);
    let due = all.drain(50, |_| Node::Busy);
    assert_eq!((drained(&due), due.connect.len()), (vec![], 0));
    let due = all.drain(50, |_| Node::Unconnected);
    assert_eq!((drained(&due), due.connect), (vec![], vec![1]));
    all.learn("t", view(&[-1, 2]));
    assert!(all.drain(50, |_| Node::Ready).leaderless);
}

#[test]
fn a_retry_waits_longer_each_time_unless_the_leader_moved() {
    let mut all = accumulator(config());
    append(&mut all, 0, 0);
    let batch = first(&mut all.drain(10, |_| Node::Ready));
    all.requeue(batch, 20);
    assert_eq!(all.drain(119, |_| Node::Ready).again_ms, Some(120));
    let batch = first(&mut all.drain(120, |_| Node::Ready));
    all.requeue(batch, 130);
    assert!(all.drain(329, |_| Node::Ready).requests.is_empty());
    let mut moved = (*view(&[2, 2])).clone();
    moved.leaders[0].epoch = 2;
    all.learn("t", Arc::new(moved));
    assert_eq!(drained(&all.drain(131, |_| Node::Ready)), [(2, vec![(0, 1)])]);
}

#[test]
fn retries_go_back_in_the_order_of_their_sequences() {
    let mut all = accumulator(ProducerConfig { idempotence: Idempotence::On, ..config() });
    append(&mut all, 0, 0);
    assert!(all.drain(5, |_| Node::Ready).requests.is_empty(), "no producer id yet");
    all.sequences.as_mut().unwrap().identify(Identity { id: 9, epoch: 0 });
    all.sequences.as_mut().unwrap().prove((0, 0));
    let mut sent = Vec::new();
    for now_ms in [10, 20, 30] {
        sent.push(first(&mut all.drain(now_ms, |_| Node::Ready)));
        append(&mut all, 0, now_ms);
    }
    // All three come back, the last one first.
    for batch in sent.into_iter().rev() {
        all.requeue(batch, 40);
    }
    let mut order = Vec::new();
    for now_ms in [1000, 1001, 1002, 1003] {
        let mut batch = first(&mut all.drain(now_ms, |_| Node::Ready));
        assert!(all.drain(now_ms, |_| Node::Ready).requests.is_empty() || order.len() >= 2, "one at a time");
        order.push(batch.id);
        all.sequences.as_mut().unwrap().written(batch.place, batch.id, -1);
        all.release(&mut batch);
        if order.len() == 3 {
            break;
        }
    }
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn memory_is_bounded_and_free_again_when_a_batch_is_settled() {
    let mut all = accumulator(ProducerConfig { buffer_bytes: 300, ..config() });
    append(&mut all, 0, 0);
    assert!(matches!(append(&mut all, 1, 0), Appended::NoMemory));
    all.starving += 1;
    let mut batch = first(&mut all.drain(0, |_| Node::Ready));
    assert!(!all.is_settled_below(all.horizon()));
    all.release(&mut batch);
    assert_eq!((all.takes_freed(1), all.takes_freed(1)), (true, false), "told once");
    assert!(all.is_settled_below(all.horizon()));
    assert!(matches!(append(&mut all, 1, 0), Appended::Done { .. }));
    let large = NewRecord { topic: "t", partition: Some(0), value: Some(&[0; 400]), ..NewRecord::default() };
    let refused = all.append(&large, Observed::No, 0, Now::default, &mut None);
    assert!(matches!(*refused.unwrap_err(), ClientError::RecordTooLarge { key: "buffer.memory", limit: 300, .. }));
}

#[test]
fn what_is_too_old_comes_out_and_what_is_closed_takes_no_more() {
    let mut all = accumulator(ProducerConfig { delivery_timeout: Duration::from_millis(500), ..config() });
    append(&mut all, 0, 0);
    let due = all.drain(499, |_| Node::Busy);
    assert_eq!((due.expired.len(), due.again_ms), (0, Some(500)));
    assert_eq!(all.drain(500, |_| Node::Ready).expired.len(), 1);
    all.closed = true;
    let record = NewRecord { topic: "t", ..NewRecord::default() };
    assert!(all.append(&record, Observed::No, 0, Now::default, &mut None).is_err());
}

#[test]
fn a_batch_too_large_for_the_broker_is_split_in_order_with_its_deliveries() {
    let mut all = accumulator(ProducerConfig { batch_bytes: 4000, idempotence: Idempotence::On, ..config() });
    all.sequences.as_mut().unwrap().identify(Identity { id: 9, epoch: 0 });
    let mut deliveries = Vec::new();
    for _ in 0..6 {
        let record = NewRecord { topic: "t", partition: Some(0), value: Some(&[7; 50]), ..NewRecord::default() };
        let mut delivery = None;
        all.append(&record, Observed::Yes, 1, Now::default, &mut delivery).unwrap();
        deliveries.push(delivery.expect("a record that is observed has a delivery"));
    }
    let (mut batch, stamp) = all.drain(10, |_| Node::Ready).requests.remove(0).1.remove(0);
    batch.seal((Codec::None, None), stamp, &mut Vec::new()).unwrap();
    assert!(all.sequences.as_mut().unwrap().should_retry(batch.place, batch.id, ErrorCode::RequestTimedOut, -1));
    all.config.batch_bytes = 250;
    assert!(all.split(batch).is_ok());
    let mut parts = Vec::new();
    for now_ms in 11.. {
        let Some((mut part, stamp)) =
            all.drain(now_ms, |_| Node::Ready).requests.pop().map(|mut request| request.1.remove(0))
        else {
            break;
        };
        let at = 100 + i64::from(stamp.unwrap().base_sequence);
        part.outcome.as_ref().unwrap().written(super::super::delivery::Written { base_offset: at, append_time: -1 });
        all.sequences.as_mut().unwrap().written(part.place, part.id, -1);
        parts.push((stamp.unwrap().base_sequence, part.count));
        all.release(&mut part);
    }
    assert_eq!(parts, [(0, 3), (3, 3)]);
    assert!(all.is_settled_below(all.horizon()));
    for (index, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(futures_util::FutureExt::now_or_never(delivery).unwrap().unwrap().offset, 100 + index as i64);
    }
}

#[test]
fn parts_are_smaller_each_time_down_to_single_records() {
    let mut all = accumulator(ProducerConfig { batch_bytes: 4000, ..config() });
    all.begin_flush();
    for _ in 0..3 {
        append(&mut all, 0, 0);
    }
    let mut sizes = Vec::new();
    // The topic takes nothing at all; the broker says so each time.
    loop {
        let mut due = all.drain(0, |_| Node::Ready);
        if due.requests.is_empty() {
            break;
        }
        let mut batch = first(&mut due);
        batch.seal((Codec::None, None), None, &mut Vec::new()).unwrap();
        sizes.push(batch.count);
        if batch.count > 1 {
            assert!(all.split(batch).is_ok());
        } else {
            all.release(&mut batch);
        }
        all.unmute((0, 0));
    }
    assert_eq!(sizes, [3, 1, 1, 1]);
    assert_eq!((all.used(), all.is_settled_below(u64::MAX)), (0, true));
}

#[test]
fn a_batch_that_cannot_be_read_back_comes_back_to_be_failed() {
    let mut all = accumulator(config());
    all.begin_flush();
    append(&mut all, 0, 0);
    append(&mut all, 0, 0);
    let mut batch = first(&mut all.drain(0, |_| Node::Ready));
    batch.seal((Codec::Zstd, None), None, &mut Vec::new()).unwrap();
    let Err(mut batch) = all.split(batch) else { panic!("it is not packed as the configuration says") };
    assert!(!all.is_settled_below(u64::MAX));
    all.release(&mut batch);
    assert!(all.is_settled_below(u64::MAX));
}

#[test]
fn topics_that_nobody_sends_to_are_forgotten_and_those_that_are_gone_come_back_only_for_records() {
    let mut all = accumulator(config());
    let minute = 60_000;
    assert_eq!(all.topics_to_refresh(0), (vec!["t".to_owned()], Missing::Report), "just looked up");
    append(&mut all, 0, 0);
    let mut batch = first(&mut all.drain(10, |_| Node::Ready));
    all.release(&mut batch);
    assert_eq!(all.topics_to_refresh(4 * minute).0, ["t"]);
    assert!(all.topics_to_refresh(6 * minute).0.is_empty());
    append(&mut all, 0, 6 * minute);
    all.forget("t");
    assert_eq!(all.topics_to_refresh(6 * minute), (vec!["t".to_owned()], Missing::Create));
    let record = NewRecord { topic: "t", value: Some(b"v"), ..NewRecord::default() };
    assert!(matches!(all.append(&record, Observed::No, 1, Now::default, &mut None), Ok(Appended::UnknownTopic)));
}

#[test]
fn a_buffer_is_used_again_and_what_is_kept_is_bounded() {
    let mut all = accumulator(ProducerConfig { buffer_bytes: 450, ..config() });
    let mut used = Vec::new();
    for now_ms in 0..4 {
        append(&mut all, 0, now_ms);
        let mut batch = first(&mut all.drain(now_ms + 5, |_| Node::Ready));
        let sealed = batch.seal((Codec::None, None), None, &mut Vec::new()).unwrap();
        used.push(sealed.bytes.as_ptr());
        drop(sealed);
        all.release(&mut batch);
        assert_eq!((all.used(), all.spare.len(), all.spare_bytes), (0, 1, 200));
    }
    assert!(used.iter().all(|at| *at == used[0]));
    (0..3).for_each(|_| all.recycle(Vec::with_capacity(200)));
    assert_eq!(all.spare_bytes, 400);
    append(&mut all, 0, 10);
    let (mut batch, used) = (first(&mut all.drain(15, |_| Node::Ready)), all.used());
    batch.seal((Codec::Zstd, None), None, &mut Vec::new()).unwrap();
    all.compressed(&mut batch, 0.5, Vec::new());
    assert!(all.used() == batch.size() && all.used() < used, "what is compressed takes what it takes");
    all.release(&mut batch);
    assert_eq!(all.used(), 0);
}

#[test]
fn flushes_end_each_at_its_own_batch() {
    let mut all = accumulator(config());
    append(&mut all, 0, 0);
    let first_flush = all.begin_flush();
    append(&mut all, 1, 0);
    let second_flush = all.begin_flush();
    assert!(!all.is_flushed());
    let due = all.drain(0, |_| Node::Ready);
    let mut batches: Vec<Batch> =
        due.requests.into_iter().flat_map(|request| request.1).map(|(batch, _)| batch).collect();
    batches.sort_by_key(|batch| batch.id);
    all.release(&mut batches[0]);
    assert!(all.is_flushed());
    all.end_flush(first_flush);
    assert!(!all.is_flushed());
    all.release(&mut batches[1]);
    assert!(all.is_flushed());
    all.end_flush(second_flush);
    assert!(!all.is_flushed(), "nobody waits");
}

#[test]
fn while_an_answer_is_awaited_the_sender_is_woken_for_every_fourth_batch() {
    let mut all = accumulator(config());
    assert!(wakes(append(&mut all, 0, 100)), "to linger no longer than it may");
    for (flying, expected) in [(vec![1], vec![8, 16]), (vec![2], vec![2, 4, 6, 8, 10, 12, 14, 16])] {
        let mut all = accumulator(config());
        append(&mut all, 0, 100);
        all.flying = flying;
        all.drain(100, |_| Node::Ready);
        // Two records fill a batch; the first one is there already.
        let woken: Vec<usize> = (1..18).filter(|_| wakes(append(&mut all, 0, 101))).collect();
        assert_eq!(woken, expected);
    }
}

#[test]
fn who_waits_for_memory_is_served_before_who_comes() {
    let mut all = accumulator(ProducerConfig { buffer_bytes: 400, ..config() });
    append(&mut all, 0, 100);
    append(&mut all, 1, 100);
    let large = NewRecord { topic: "t", partition: Some(0), value: Some(&[7; 250]), ..NewRecord::default() };
    let try_large = |all: &mut Accumulator| all.append(&large, Observed::No, 1, || now(100), &mut None).unwrap();
    assert_eq!(try_large(&mut all), Appended::NoMemory);
    all.starving = 1;
    let mut settled = first(&mut all.drain(200, |_| Node::Ready));
    all.release(&mut settled);
    let small = NewRecord { topic: "t", partition: Some(settled.place.1), value: Some(b"v"), ..NewRecord::default() };
    let try_small = |all: &mut Accumulator| all.append(&small, Observed::No, 1, || now(200), &mut None).unwrap();
    assert_eq!(try_small(&mut all), Appended::NoMemory, "there is room, for who came before");
    all.first_in_line = true;
    assert!(matches!(try_small(&mut all), Appended::Done { .. }));
}
