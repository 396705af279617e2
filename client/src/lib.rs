//! The Kafka client of this workspace: connections, metadata, admin, producer and consumer.
//!
//! Used by the command-line tools, the examples and every product that speaks to a broker. Never opens a listener.
//! Speaks to brokers from Kafka 3.0 on.

// What can go wrong.
pub mod error;
// Settings by Java's names.
pub mod config;
// What is measured, by Java's names.
pub mod metrics;
// Bytes to one broker and back.
pub mod connection;
// Which brokers there are and who leads what.
pub mod metadata;
// First and last offsets, and those of a time.
mod offsets;
// What groups committed.
mod committed;
// Topics, groups, offsets: create, list, describe, alter, delete.
pub mod admin;
// The order of a Java hash map.
pub mod java_order;
// Records out.
pub mod producer;
// Records in.
pub mod consumer;

pub use admin::TopicPartition;
use admin::by_topic;

// A broker for tests.
#[cfg(test)]
mod scripted;

/// The examples of the README are compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
