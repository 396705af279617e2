//! Each rule of groups and offsets, and each error, on a shard with a log in memory.

mod bench;
mod golden;
mod joining;
mod offsets;
mod random;
