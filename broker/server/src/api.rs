//! The handlers, one file per API key with the key's number in its name, and what they share.

/// What a handler knows of the request besides its body.
pub mod context;
/// What a handler answers with.
pub mod reply;
/// The only match on the API key.
pub mod dispatch;
/// Domain errors to error codes, every variant by name.
pub mod error_map;
