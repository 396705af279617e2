//! The order in which a Java `HashMap` with strings as keys is walked: Apache's tools print some lists in it, and
//! scripts compare their output.

use client::TopicPartition;
use client::java_order::{bucket, place_hash, text_hash};

/// Sorts `items` as a `java.util.HashMap` would hand them out that was made for `capacity` entries (16 by default) and
/// filled in the order given. Keys are distinct.
pub fn sort_as_hash_map<T>(items: &mut [T], capacity: Option<usize>, key: impl Fn(&T) -> &str) {
    sort_by_hash(items, capacity, |item| text_hash(key(item)));
}

/// As [`sort_as_hash_map`] with partitions as keys (Java: `TopicPartition.hashCode`).
pub fn sort_partitions_as_hash_map<T>(items: &mut [T], capacity: Option<usize>, key: impl Fn(&T) -> &TopicPartition) {
    sort_by_hash(items, capacity, |item| {
        let at = key(item);
        place_hash(text_hash(&at.topic), at.partition)
    });
}

/// As [`sort_as_hash_map`] with keys that have this hash (`Object.hashCode`).
pub fn sort_by_hash<T>(items: &mut [T], capacity: Option<usize>, hash: impl Fn(&T) -> i32) {
    // HashMap.tableSizeFor, then resize() whenever the load factor of 0.75 is passed.
    let mut buckets = capacity.map_or(16, |capacity| capacity.max(1).next_power_of_two());
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    // A stable sort keeps the order of insertion within a bucket, which splitting a bucket keeps too.
    items.sort_by_key(|item| bucket(hash(item), buckets));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_buckets_keep_the_order_of_insertion() {
        let mut items = vec!["BB", "b", "Aa", "a"];
        sort_as_hash_map(&mut items, None, |item| item);
        assert_eq!(items, ["BB", "Aa", "a", "b"]);
    }
}
