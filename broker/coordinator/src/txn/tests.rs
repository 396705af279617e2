//! The shard against Apache's rules: tables of state and request, then whole lives of a transaction.

mod bench;
mod lives;
mod random;
mod table;
