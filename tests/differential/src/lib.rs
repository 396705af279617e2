//! The same requests to two brokers, and every field of their answers compared.
//!
//! `cargo run --release -p millstream-differential -- [--seeds A..B] [--requests N] [--left ADDR] [--right ADDR]`.
//! After a seed's random requests comes its scene, of members, producers and sessions on several connections.
//! Without an address the left broker is Apache Kafka and the right one is ours; `--right apache` compares Apache
//! Kafka with itself, which shows that the masks are right.

// A message as a tree over the table of definitions.
pub mod value;
// What each broker hands out itself.
pub mod slot;
// Batches of records.
pub mod records;
// seed -> requests.
pub mod generate;
// One broker.
pub mod side;
// Two answers -> differences.
pub mod compare;
// What two brokers say that they serve.
pub mod advertised;
// One seed against two brokers.
pub mod run;
// What needs several connections.
mod scene;
// The brokers of a run.
pub mod pair;
