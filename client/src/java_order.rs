//! Hashes of Java and the buckets that its hash maps put them in, for what follows from the order of such a map.
//!
//! Called by the sticky assignors, and by the command-line tools, whose output is compared with Apache's.

/// `String.hashCode`, over UTF-16 units.
pub fn text_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`, from the hash of the topic.
pub fn place_hash(topic_hash: i32, partition: i32) -> i32 {
    31_i32.wrapping_add(partition).wrapping_mul(31).wrapping_add(topic_hash)
}

/// Where a key's bucket stands in a table of `capacity`, a power of two (Java: `HashMap.hash`).
pub fn bucket(hash: i32, capacity: usize) -> usize {
    let hash = hash as u32;
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        // Documented in the Java language: the hash of a string is s[0]*31^(n-1) + ... + s[n-1].
        assert_eq!(text_hash("Aa"), text_hash("BB"));
        assert_eq!(text_hash("polygenelubricants"), i32::MIN);
    }
}
