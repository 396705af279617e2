//! Every record below the high watermark, in order, for those who build their state from a log (coordinators).
//!
//! Walks the segments' files rather than reading by offset: a read passes over a damaged segment as over a gap that
//! compaction left, and whoever builds its state here must know of it.

use crate::codec::{self, Codec};
use crate::error::ReadError;
use crate::partition_log::{PartitionLog, Writer};
use crate::scan::{BatchScan, Located, Next};
use millstream_base_env::File;
use millstream_protocol::batch::{BatchHeader, EndMarker, HEADER_BYTES, MarkerKind, is_intact};
use millstream_protocol::record::Records;

/// What replay meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// A record of data.
    Record {
        /// Its offset.
        offset: i64,
        /// Its time.
        timestamp: i64,
        /// Its key.
        key: Option<&'a [u8]>,
        /// Its value.
        value: Option<&'a [u8]>,
        /// The producer of its batch, -1 for none.
        producer_id: i64,
        /// And its epoch.
        producer_epoch: i16,
    },
    /// The end of a transaction.
    Marker {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Whether its records count.
        end: TransactionEnd,
    },
}

/// See [`Replayed::Marker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// They count.
    Commit,
    /// They never happened.
    Abort,
}

impl PartitionLog {
    /// Hands every record and marker from the log start to the high watermark to `each`. Blocks on reads.
    ///
    /// # Errors
    /// The disk's; bytes that are no batches, a wrong CRC, or an end in front of the high watermark: a state
    /// built from a part of the log would be taken for the whole.
    pub fn replay(&self, mut each: impl FnMut(Replayed<'_>)) -> Result<(), ReadError> {
        let end = self.high_watermark();
        let mut next = self.log_start_offset();
        while next < end {
            let piece = self.piece(next)?;
            let reached = self.replay_piece(&piece, next, end, &mut each)?;
            next = match piece.next_base {
                // Compaction may leave a gap in front of the next segment.
                Some(next_base) => reached.max(next_base),
                None if reached < end => {
                    let what = format!("the log ends at offset {reached}, below its high watermark {end}");
                    return Err(ReadError::Corrupt(what));
                }
                None => reached,
            };
        }
        Ok(())
    }

    /// The segment that holds `offset`.
    fn piece(&self, offset: i64) -> Result<Piece, ReadError> {
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let index = writer.segment_of(offset);
        let is_active = index + 1 == writer.segments.len();
        let next_base = if is_active { None } else { Some(writer.end_of(index)) };
        let Writer { segments, folder, .. } = &mut *writer;
        let segment = &mut segments[index];
        let place = segment.place(&self.dir.disk, folder);
        let file = segment.file(&place).map_err(|error| self.read_failed(error))?;
        Ok(Piece { file, base_offset: segment.base_offset, size: segment.size, next_base })
    }

    /// Walks the batches of one segment up to `end`, skipping records below `from`; answers the offset after the
    /// last batch.
    fn replay_piece(
        &self,
        piece: &Piece,
        from: i64,
        end: i64,
        each: &mut impl FnMut(Replayed<'_>),
    ) -> Result<i64, ReadError> {
        let mut scan = BatchScan::new(piece.file.clone(), 0, piece.size);
        let mut next = from.max(piece.base_offset);
        loop {
            let position = scan.position();
            match scan.next().map_err(|error| self.read_failed(error))? {
                Next::End => return Ok(next),
                Next::Torn => {
                    let base = piece.base_offset;
                    let what = format!("no batch at offset {next}, position {position} of the segment at {base}");
                    return Err(ReadError::Corrupt(what));
                }
                Next::Batch(Located { header, .. }, _) if header.base_offset >= end => return Ok(next),
                Next::Batch(Located { header, .. }, _) if header.last_offset() < from => {}
                Next::Batch(Located { header, .. }, batch) => {
                    if !is_intact(&header, batch) {
                        let what = format!("the batch at offset {} has a wrong CRC", header.base_offset);
                        return Err(ReadError::Corrupt(what));
                    }
                    replay_batch(&header, batch, from, each)?;
                    next = header.last_offset() + 1;
                }
            }
        }
    }
}

/// A segment as it is at one instant; stays readable when compaction replaces it.
struct Piece {
    file: File,
    base_offset: i64,
    size: u64,
    /// Where the next one begins, `None` for the active one.
    next_base: Option<i64>,
}

fn replay_batch(
    header: &BatchHeader,
    batch: &[u8],
    from: i64,
    each: &mut impl FnMut(Replayed<'_>),
) -> Result<(), ReadError> {
    if !header.is_control() {
        return walk_records(header, &batch[HEADER_BYTES..], from, each);
    }
    if let Some(marker) = EndMarker::decode(batch) {
        each(Replayed::Marker {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            end: match marker.kind {
                MarkerKind::Commit => TransactionEnd::Commit,
                MarkerKind::Abort => TransactionEnd::Abort,
            },
        });
    }
    Ok(())
}

fn walk_records(
    header: &BatchHeader,
    records: &[u8],
    from: i64,
    each: &mut impl FnMut(Replayed<'_>),
) -> Result<(), ReadError> {
    let corrupt = |what: String| ReadError::Corrupt(format!("the batch at offset {}: {what}", header.base_offset));
    let codec = Codec::from_id(header.codec()).ok_or_else(|| corrupt("unknown compression".to_owned()))?;
    codec::with_plain(codec, records, |plain| {
        for record in Records::new(plain, header.record_count) {
            let record = record.map_err(|what| crate::error::AppendError::CorruptMessage(format!("{what:?}")))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset < from {
                continue;
            }
            each(Replayed::Record {
                offset,
                timestamp: header.base_timestamp.wrapping_add(record.timestamp_delta),
                key: record.key,
                value: record.value,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
            });
        }
        Ok(())
    })
    .map_err(|error| corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use millstream_base_env::disk::OpenMode;

    use super::*;
    use crate::testing::{Batch, Bench, DIR};
    use crate::{LeaderAppend, LogConfig};

    /// Three segments of two batches each, and the last one empty.
    fn written(bench: &Bench) -> std::sync::Arc<PartitionLog> {
        let log = bench.log(&bench.open(), &LogConfig::default());
        for offset in 0..6 {
            let batch = Batch::new().keyed("k", &offset.to_string()).bytes();
            log.append_as_leader(&batch, &LeaderAppend::coordinator(0)).unwrap();
            if offset % 2 == 1 {
                log.roll().unwrap();
            }
        }
        log
    }

    fn replayed(log: &PartitionLog) -> (Vec<i64>, Result<(), String>) {
        let mut offsets = Vec::new();
        let result = log.replay(|replayed| match replayed {
            Replayed::Record { offset, .. } => offsets.push(offset),
            Replayed::Marker { .. } => unreachable!("none was written"),
        });
        (offsets, result.map_err(|error| error.to_string()))
    }

    fn damage(bench: &Bench, segment: i64, position: u64, bytes: &[u8]) {
        let path = Path::new(DIR).join("t-0").join(format!("{segment:020}.log"));
        let file = bench.disk().open(&path, OpenMode::ReadWrite).unwrap();
        file.write_at(position, &[IoSlice::new(bytes)]).unwrap();
    }

    #[test]
    fn a_whole_log_is_replayed_over_its_segments() {
        let bench = Bench::new(1);
        assert_eq!(replayed(&written(&bench)), (vec![0, 1, 2, 3, 4, 5], Ok(())));
    }

    #[test]
    fn a_segment_of_garbage_is_an_error_and_no_gap() {
        let bench = Bench::new(2);
        let log = written(&bench);
        damage(&bench, 2, 0, &[0; 61]);
        let (offsets, result) = replayed(&log);
        assert_eq!(offsets, [0, 1]);
        let error = result.expect_err("half of the log is not the log");
        assert!(error.contains("no batch at offset 2"), "{error}");
    }

    #[test]
    fn a_batch_with_a_wrong_crc_is_an_error() {
        let bench = Bench::new(3);
        let log = written(&bench);
        // The last byte but one of the first batch: its value, which any bytes may be.
        let size = Batch::new().keyed("k", "0").bytes().len() as u64;
        damage(&bench, 4, size - 2, b"x");
        let (offsets, result) = replayed(&log);
        assert_eq!(offsets, [0, 1, 2, 3]);
        let error = result.expect_err("the value is another");
        assert!(error.contains("offset 4 has a wrong CRC"), "{error}");
    }

    #[test]
    fn a_gap_that_compaction_left_is_none_of_the_loads_business() {
        let bench = Bench::new(4);
        let log = written(&bench);
        log.writer.lock().segments.remove(1);
        assert_eq!(replayed(&log), (vec![0, 1, 4, 5], Ok(())));
    }
}
