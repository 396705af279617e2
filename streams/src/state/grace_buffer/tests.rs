//! What waits for its grace, also over a restart.

use super::*;
use crate::state::rows::MemoryRows;

fn context(timestamp: i64) -> RecordContext {
    RecordContext { timestamp, offset: 7, topic: "t".to_owned(), partition: 0, headers: Vec::new() }
}

fn put(buffer: &mut GraceBuffer, key: &str, timestamp: i64, value: &str) -> Option<Row> {
    buffer.put(key.as_bytes(), Bytes::copy_from_slice(value.as_bytes()), context(timestamp)).expect("put")
}

fn ready(buffer: &mut GraceBuffer) -> String {
    let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let ready = buffer.take_ready().expect("records");
    ready.iter().map(|one| format!("{}@{}={} ", lossy(&one.key), one.context.timestamp, lossy(&one.value))).collect()
}

#[test]
fn records_wait_for_their_grace() {
    let mut buffer = GraceBuffer::open("b", Box::new(MemoryRows::new()), 10).expect("a buffer");
    assert!(put(&mut buffer, "b", 3, "1").is_some());
    assert!(put(&mut buffer, "a", 3, "2").is_some());
    assert!(put(&mut buffer, "a", 3, "3").is_some());
    assert_eq!(ready(&mut buffer), "");
    assert!(put(&mut buffer, "a", 13, "4").is_some());
    assert_eq!(ready(&mut buffer), "a@3=2 a@3=3 b@3=1 ");
    assert_eq!(buffer.len(), 1);
    assert_eq!(put(&mut buffer, "a", 2, "5"), None, "its grace is over");
    assert!(put(&mut buffer, "c", 3, "6").is_some(), "its grace ends now");
    assert_eq!(ready(&mut buffer), "c@3=6 ");
}

#[test]
fn records_wait_over_a_restart() {
    let mut buffer = GraceBuffer::open("b", Box::new(MemoryRows::new()), 10).expect("a buffer");
    let mut restored = GraceBuffer::open("b", Box::new(MemoryRows::new()), 10).expect("a buffer");
    for (key, timestamp, value) in [("a", 1, "1"), ("a", 1, "2"), ("b", 5, "3")] {
        let (row, value) = put(&mut buffer, key, timestamp, value).expect("it waits");
        assert!(value.ends_with(&[0; 8]));
        restored.restore(row, Some(value)).expect("restore");
    }
    put(&mut buffer, "c", 12, "4");
    for waited in buffer.take_ready().expect("records") {
        restored.restore(waited.row, None).expect("restore");
    }
    assert_eq!((restored.len(), restored.segments().stream_time()), (1, 5));
    let mut again = GraceBuffer::open("b", restored.segments.into_rows(), 10).expect("a buffer");
    assert_eq!(again.len(), 1);
    put(&mut again, "b", 5, "5");
    put(&mut again, "d", 20, "6");
    assert_eq!(ready(&mut again), "b@5=3 b@5=5 ", "what waits again does not take the place of what waited");
    assert!(again.restore(Bytes::from_static(b"short"), None).is_err());
}
