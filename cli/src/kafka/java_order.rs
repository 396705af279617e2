//! The order in which a Java `HashMap` with strings as keys is walked: Apache's tools print some lists in it, and
//! scripts compare their output.

use client::TopicPartition;

/// Sorts `items` as a `java.util.HashMap` would hand them out that was made for `capacity` entries (16 by default) and
/// filled in the order given. Keys are distinct.
pub fn sort_as_hash_map<T>(items: &mut [T], capacity: Option<usize>, key: impl Fn(&T) -> &str) {
    sort_by_hash(items, capacity, |item| string_hash(key(item)));
}

/// As [`sort_as_hash_map`] with partitions as keys (Java: `TopicPartition.hashCode`).
pub fn sort_partitions_as_hash_map<T>(items: &mut [T], capacity: Option<usize>, key: impl Fn(&T) -> &TopicPartition) {
    sort_by_hash(items, capacity, |item| {
        let at = key(item);
        let number = 31u32.wrapping_add(at.partition as u32);
        number.wrapping_mul(31).wrapping_add(string_hash(&at.topic))
    });
}

fn sort_by_hash<T>(items: &mut [T], capacity: Option<usize>, hash: impl Fn(&T) -> u32) {
    // HashMap.tableSizeFor, then resize() whenever the load factor of 0.75 is passed.
    let mut buckets = capacity.map_or(16, |capacity| capacity.max(1).next_power_of_two());
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    let mask = buckets as u32 - 1;
    // A stable sort keeps the order of insertion within a bucket, which splitting a bucket keeps too.
    items.sort_by_key(|item| spread(hash(item)) & mask);
}

/// `String.hashCode`, over UTF-16 units.
fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// `HashMap.hash`.
fn spread(hash: u32) -> u32 {
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        // Documented in the Java language: the hash of a string is s[0]*31^(n-1) + ... + s[n-1].
        assert_eq!(string_hash("Aa"), string_hash("BB"));
        assert_eq!(string_hash("polygenelubricants"), i32::MIN as u32);
    }

    #[test]
    fn equal_buckets_keep_the_order_of_insertion() {
        let mut items = vec!["BB", "b", "Aa", "a"];
        sort_as_hash_map(&mut items, None, |item| item);
        assert_eq!(items, ["BB", "Aa", "a", "b"]);
    }
}
