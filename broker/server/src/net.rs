//! Sockets: who may connect, and what happens to the bytes of a connection.

/// Accepts connections.
pub mod listener;
/// Limits on the number of connections.
pub mod connected;
/// Limits on how fast they come.
mod creation_rate;
/// Lines that clients could cause as often as they like.
pub mod rarely;
/// One connection: frames in, answers out, in order.
pub mod connection;
/// Bytes read and not yet handled.
mod input;
/// The bound on memory of requests that have come in part.
pub mod request_memory;
/// The bound on memory of large answers.
pub mod answer_memory;
/// Bytes to be sent, files without a copy.
mod send;

#[cfg(test)]
mod tests;
