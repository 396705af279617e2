//! Requests: bytes to a message by key and version, and a message to bytes.
//!
//! Called by the broker for what arrives and by the client for what it sends. Produce on the hot path goes through
//! `produce_view.rs` instead.

use bytes::{BufMut, Bytes, BytesMut};

use crate::api_key::ApiKey;
use crate::error::{DecodeError, EncodeError};
use crate::messages::Request;
use crate::schema::{self, Form};
use crate::wire;

pub use crate::header::{RequestHeader, take_request_header};

/// Reads the body of a request that came with `api_version`.
///
/// The bytes are walked first, so that no count from the wire reserves more memory than the bytes justify. Bytes
/// behind the message are ignored, as Apache does.
pub fn decode<T: Request>(api_version: i16, body: Bytes) -> Result<T, DecodeError> {
    let (message, _) = schema::messages(T::KEY).ok_or(DecodeError::UnknownKey(T::KEY))?;
    decode_walked(message, api_version, body)
}

pub(crate) fn decode_walked<T: crate::messages::Decodable>(
    message: &'static schema::Message,
    version: i16,
    mut body: Bytes,
) -> Result<T, DecodeError> {
    if schema::walk(message, version, &body)?.form == Form::Unusual {
        body = schema::normalise(message, version, &body)?.into();
    }
    T::decode(&mut body, version).map_err(|error| DecodeError::Message(error.to_string()))
}

/// Writes a whole frame, length prefix first.
pub fn encode<T: Request>(
    api_version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &T,
) -> Result<Bytes, EncodeError> {
    let api = ApiKey::try_from(T::KEY)
        .map_err(|key| EncodeError {
            message: "request",
            version: api_version,
            reason: format!("unknown API key {key}"),
        })?
        .api();
    let failed =
        |error: anyhow::Error| EncodeError { message: api.name, version: api_version, reason: error.to_string() };
    let body_size = request.compute_size(api_version).map_err(failed)?;
    let mut out = BytesMut::with_capacity(4 + 11 + client_id.map_or(0, str::len) + body_size);
    out.put_i32(0);
    out.put_i16(T::KEY);
    out.put_i16(api_version);
    out.put_i32(correlation_id);
    match client_id {
        Some(id) => wire::put_string(&mut out, false, id).map_err(failed)?,
        None => wire::put_null_string(&mut out, false),
    }
    if api.request_header_version(api_version) >= 2 {
        out.put_u8(0);
    }
    request.encode(&mut out, api_version).map_err(failed)?;
    let size = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&size.to_be_bytes());
    Ok(out.freeze())
}
