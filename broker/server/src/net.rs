//! Sockets: who may connect, and what happens to the bytes of a connection.

/// Accepts connections and keeps their limits.
pub mod listener;
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
