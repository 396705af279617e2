//! Headers of requests and responses. Which header version goes with which API version stands in `api_key.rs`.

use bytes::{Buf, Bytes};

use crate::api_key::{Api, ApiKey};
use crate::error::DecodeError;
use crate::messages::StrBytes;
use crate::wire;

/// What stands in front of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api_key: ApiKey,
    /// In which version; may be one that nobody serves.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// Name that the client gives itself.
    pub client_id: Option<StrBytes>,
}

impl RequestHeader {
    /// The API's row in the table.
    pub fn api(&self) -> &'static Api {
        self.api_key.api()
    }
}

/// Takes the header off the front of a request's frame, leaving the body.
///
/// The version is not checked: an ApiVersions request of an unknown version is to be answered. A client id that is
/// not UTF-8 gets replacement characters, as in Java.
pub fn take_request_header(frame: &mut Bytes) -> Result<RequestHeader, DecodeError> {
    let key = wire::get_i16(frame, "api key")?;
    let api_version = wire::get_i16(frame, "api version")?;
    let api_key = ApiKey::try_from(key).map_err(DecodeError::UnknownKey)?;
    let correlation_id = wire::get_i32(frame, "correlation id")?;
    let client_id = match wire::get_i16(frame, "client id")? {
        length if length < 0 => None,
        length => {
            let raw = wire::get_raw(frame, length as usize, "client id")?;
            Some(
                StrBytes::from_utf8(raw.clone())
                    .unwrap_or_else(|_| StrBytes::from_string(String::from_utf8_lossy(&raw).into_owned())),
            )
        }
    };
    if api_key.api().request_header_version(api_version) >= 2 {
        skip_tagged_fields(frame)?;
    }
    Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
}

/// Takes the header off the front of a response's frame: the correlation id.
pub fn take_response_header(api: &Api, api_version: i16, frame: &mut Bytes) -> Result<i32, DecodeError> {
    let correlation_id = wire::get_i32(frame, "correlation id")?;
    if api.response_header_version(api_version) >= 1 {
        skip_tagged_fields(frame)?;
    }
    Ok(correlation_id)
}

fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), DecodeError> {
    for _ in 0..wire::get_unsigned_varint(frame, "tagged fields of the header")? {
        let (_, size) = wire::get_tag(frame)?;
        let left = frame.remaining();
        if size > left {
            return Err(DecodeError::Truncated { field: "tagged field of the header", need: size, left });
        }
        frame.advance(size);
    }
    Ok(())
}
