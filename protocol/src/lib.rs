//! Bytes to messages and back: everything that this workspace knows about the form of the Kafka protocol and of
//! record batches. The only crate that names kafka-protocol. No sockets, files or clocks.

#![deny(unsafe_code)]

// Tables.
pub mod api_key;
pub mod error_code;
// Frame -> header -> message.
pub mod frame;
pub mod header;
pub mod schema;
pub mod messages;
pub mod request;
// The usual produce request and its answer, without the message in between.
pub mod produce_view;
pub mod response;
// The Fetch response around records that stay in their files.
pub mod fetch_response;
// Record schemas of internal topics, snapshots and control batches.
pub mod record_schema;
// The same records as JSON, for people.
pub mod record_json;
// Codecs of a record batch.
pub mod compress;
// The record batch as a view, and the records in it.
pub mod batch;
pub mod record;
// key -> partition.
pub mod murmur2;
// What went wrong, primitive types.
pub mod error;
mod wire;
#[cfg(test)]
mod batch_fuzz;
#[cfg(test)]
mod golden;
