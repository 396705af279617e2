//! What waits, in which order it leaves, and what the changelog gets.

use super::*;

fn context(timestamp: i64) -> RecordContext {
    RecordContext { timestamp, offset: 0, topic: "t".to_owned(), partition: 0, headers: Vec::new() }
}

fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn filled() -> SuppressBuffer {
    let mut buffer = SuppressBuffer::new("b");
    buffer.put(20, key("a"), None, bytes("1"), context(20));
    buffer.put(10, key("c"), bytes("x"), bytes("2"), context(10));
    buffer.put(10, key("b"), None, bytes("3"), context(11));
    // A second change keeps the time and the first one's old value.
    buffer.put(99, key("c"), bytes("2"), bytes("4"), context(12));
    buffer
}

#[test]
fn one_change_a_key_by_time_and_key() {
    let mut buffer = filled();
    assert_eq!((buffer.len(), buffer.min_time()), (3, Some(10)));
    assert_eq!(buffer.prior(b"c"), Some(bytes("x")));
    assert_eq!(buffer.prior(b"a"), Some(None));
    assert_eq!(buffer.prior(b"z"), None);
    let mut left = Vec::new();
    while let Some((time, key, value)) = buffer.pop() {
        left.push((time, key, value.old, value.new, value.context.timestamp));
    }
    let expected = vec![
        (10, key("b"), None, bytes("3"), 11),
        (10, key("c"), bytes("2"), bytes("4"), 12),
        (20, key("a"), None, bytes("1"), 20),
    ];
    assert_eq!(left, expected);
    assert_eq!((buffer.len(), buffer.memory(), buffer.min_time()), (0, 0, None));
}

#[test]
fn memory_is_counted_as_in_java() {
    let mut buffer = SuppressBuffer::new("b");
    // 8 time, 1 key, 1 + 1 values, 8 + 8 + 1 + 4 context: an old value that is also the prior one counts once.
    buffer.put(0, key("a"), bytes("o"), bytes("n"), context(0));
    assert_eq!(buffer.memory(), 32);
    buffer.put(0, key("a"), bytes("n"), bytes("m"), context(0));
    assert_eq!(buffer.memory(), 33);
}

#[test]
fn the_changelog_restores_it() {
    let mut buffer = filled();
    let mut restored = SuppressBuffer::new("b");
    for round in 0..2 {
        let changes = buffer.take_changes();
        assert_eq!(changes.len(), if round == 0 { 3 } else { 1 });
        for (key, value) in changes {
            restored.restore(key, value).expect("restore");
        }
        assert_eq!(restored.dump(), buffer.dump());
        assert_eq!((restored.memory(), restored.len()), (buffer.memory(), buffer.len()));
        assert!(buffer.take_changes().is_empty());
        buffer.pop();
    }
    assert!(restored.take_changes().is_empty(), "what is restored is not written again");
    assert!(restored.restore(key("a"), bytes("short")).is_err());
}

#[test]
fn changes_are_in_the_order_of_a_hash_set() {
    let mut buffer = SuppressBuffer::new("b");
    for text in ["p", "a", "q", "b"] {
        buffer.put(0, key(text), None, bytes("1"), context(0));
    }
    // Arrays.hashCode of one byte is 31 + byte: a and q (143, 159: bucket 15) before b and ... by bucket 0 (128, 144).
    let order: Vec<Bytes> = buffer.take_changes().into_iter().map(|(key, _)| key).collect();
    assert_eq!(order, [key("a"), key("q"), key("b"), key("p")]);
}
