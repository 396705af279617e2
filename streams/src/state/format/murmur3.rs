//! Murmur3 of 128 bits with the seed that Kafka Streams took over from Hive: a foreign-key join tells by it whether an
//! answer is about the value that is there now.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const SEED: u64 = 104_729;

fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Up to eight bytes, the first one lowest.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn scrambled_first(block: u64) -> u64 {
    block.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn scrambled_second(block: u64) -> u64 {
    block.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

/// The hash: two numbers, as Java's `Murmur3.hash128` gives them.
pub fn hash128(bytes: &[u8]) -> [i64; 2] {
    let (mut first, mut second) = (SEED, SEED);
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        first ^= scrambled_first(little_endian(&block[..8]));
        first = first.rotate_left(27).wrapping_add(second).wrapping_mul(5).wrapping_add(0x52dc_e729);
        second ^= scrambled_second(little_endian(&block[8..]));
        second = second.rotate_left(31).wrapping_add(first).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let tail = blocks.remainder();
    // Scrambling gives zero for zero, so a tail without a second half needs no case of its own.
    second ^= scrambled_second(little_endian(tail.get(8..).unwrap_or(&[])));
    first ^= scrambled_first(little_endian(&tail[..tail.len().min(8)]));
    first ^= bytes.len() as u64;
    second ^= bytes.len() as u64;
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    first = mixed(first);
    second = mixed(second);
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    [first as i64, second as i64]
}
