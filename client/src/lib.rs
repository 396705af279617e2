//! The Kafka client of this workspace: connections, metadata, admin, producer and consumer.
//!
//! Used by the command-line tools, the examples and every product that speaks to a broker. Never opens a listener.
//!
//! Not done: consumer groups, groups and offsets in admin, idempotent and transactional producer, SASL and TLS.

// What can go wrong.
pub mod error;
// Bytes to one broker and back.
pub mod connection;
// Which brokers there are and who leads what.
pub mod metadata;
// Topics: create, list, describe, alter, delete.
pub mod admin;
// Records out.
pub mod producer;
// Records in.
pub mod consumer;
