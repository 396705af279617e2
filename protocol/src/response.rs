//! Responses: a message to bytes, and bytes to a message.
//!
//! Called by the broker for what it answers and by the client for what arrives. Fetch answers of the broker go
//! through `fetch_response.rs`, which leaves the records in their files.

use bytes::{BufMut, Bytes, BytesMut};

use crate::api_key::ApiKey;
use crate::error::{DecodeError, EncodeError};
use crate::header::take_response_header;
use crate::messages::{Encodable, Request};
use crate::request::decode_walked;
use crate::schema;

/// Appends a whole frame, length prefix first, to `out`.
pub fn encode_into<R: Encodable>(
    out: &mut BytesMut,
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<(), EncodeError> {
    let api = api_key.api();
    let failed =
        |error: anyhow::Error| EncodeError { message: api.name, version: api_version, reason: error.to_string() };
    let start = out.len();
    out.put_i32(0);
    out.put_i32(correlation_id);
    if api.response_header_version(api_version) >= 1 {
        out.put_u8(0);
    }
    if let Err(error) = response.encode(out, api_version) {
        out.truncate(start);
        return Err(failed(error));
    }
    let size = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// A whole frame, length prefix first.
pub fn encode<R: Encodable>(
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::with_capacity(256);
    encode_into(&mut out, api_key, api_version, correlation_id, response)?;
    Ok(out.freeze())
}

/// Reads the frame that answers a request `T` of `api_version`: correlation id and message.
pub fn decode<T: Request>(api_version: i16, mut frame: Bytes) -> Result<(i32, T::Response), DecodeError> {
    let key = ApiKey::try_from(T::KEY).map_err(DecodeError::UnknownKey)?;
    let (_, message) = schema::messages(T::KEY).ok_or(DecodeError::UnknownKey(T::KEY))?;
    let correlation_id = take_response_header(key.api(), api_version, &mut frame)?;
    Ok((correlation_id, decode_walked(message, api_version, frame)?))
}

/// Reads the correlation id at the front of a response's frame without taking it.
pub fn correlation_id(frame: &[u8]) -> Option<i32> {
    frame.first_chunk::<4>().map(|raw| i32::from_be_bytes(*raw))
}
