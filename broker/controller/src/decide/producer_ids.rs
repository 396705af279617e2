//! Blocks of producer ids (Java: `ProducerIdControlManager`).

use crate::image::Image;
use crate::record::MetadataRecord;
use crate::refusal::Refusal;
use crate::request::ProducerIdBlock;
use millstream_protocol::error_code::ErrorCode;

/// Ids in a block (Java: `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const BLOCK: i32 = 1000;

/// The next block. Once its record is logged nobody gets these ids again, whether they are used or not.
///
/// # Errors
/// When all ids are used up.
pub(crate) fn allocate(image: &Image) -> Result<(MetadataRecord, ProducerIdBlock), Refusal> {
    let first = image.next_producer_id();
    match first.checked_add(i64::from(BLOCK)) {
        Some(next) => Ok((MetadataRecord::ProducerIds { next }, ProducerIdBlock { first, count: BLOCK })),
        None => Err(Refusal::new(
            ErrorCode::UnknownServerError,
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit",
        )),
    }
}
