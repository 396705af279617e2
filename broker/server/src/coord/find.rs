//! Which partition coordinates a group or a transactional id.

/// The partition of `key` (group id or transactional id) among `partition_count`: the Java hash of the string,
/// without its sign (Java: `Utils.abs(key.hashCode) % count`).
pub fn partition_for(key: &str, partition_count: i32) -> i32 {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (if hash == i32::MIN { 0 } else { hash.abs() }) % partition_count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_of_java() {
        // "".hashCode() 0; "abc" 96354; "polygenelubricants" Integer.MIN_VALUE; e-acute 233.
        for (key, partition) in [("", 0), ("abc", 96354 % 50), ("polygenelubricants", 0), ("\u{e9}", 33)] {
            assert_eq!(partition_for(key, 50), partition, "{key}");
        }
    }
}
