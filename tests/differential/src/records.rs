//! Batches of records as a seeded producer sends them.

use millstream_protocol::batch::{BatchHeader, TRANSACTIONAL};
use millstream_protocol::compress::Codec;
use millstream_protocol::record::BatchWriter;

use crate::slot::{Learnt, Slot};
use crate::value::Value;

/// One batch, before the producer's id is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whose id it carries: a transactional id, "" or "@connection" for an idempotent producer; none for no id.
    pub producer: Option<String>,
    /// Sequence of the first record, when there is a producer.
    pub base_sequence: i32,
    /// How it is compressed.
    pub codec: Codec,
    /// Key, value and time of each record.
    pub records: Vec<(Option<Vec<u8>>, Option<Vec<u8>>, i64)>,
    /// What is broken in it.
    pub damage: Damage,
}

/// What is broken in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    None,
    /// A bit of the records, which the CRC notices.
    Crc,
    /// The count in the header, under a right CRC.
    Count,
    /// The format's version.
    Magic,
    /// The last bytes are missing.
    Cut,
    /// The codec is one that does not exist, under a right CRC.
    Codec,
    /// The last offset delta, under a right CRC.
    LastOffset,
    /// The format of ten years ago.
    OldMagic,
    /// A control batch, which clients do not write.
    Control,
    /// Times that the broker is said to have set.
    BrokerTimes,
    /// Bytes that are no records, under a right CRC.
    Garbage,
    /// No records by the header, under a right CRC.
    Empty,
    /// A base offset that is not 0.
    BaseOffset,
    /// A length that is smaller than any batch.
    SmallLength,
    /// A negative length.
    NegativeLength,
    /// A length far behind the end.
    LargeLength,
    /// The leader's epoch, which the broker sets.
    LeaderEpoch,
    /// The batch twice.
    Twice,
    /// Times a century ahead.
    Future,
    /// A producer without an epoch.
    NoEpoch,
    /// A producer without a sequence.
    NoSequence,
    /// A record larger than a topic takes.
    Large,
}

/// Every damage.
pub const DAMAGES: [Damage; 21] = [
    Damage::Crc,
    Damage::Count,
    Damage::Magic,
    Damage::Cut,
    Damage::Codec,
    Damage::LastOffset,
    Damage::OldMagic,
    Damage::Control,
    Damage::BrokerTimes,
    Damage::Garbage,
    Damage::Empty,
    Damage::BaseOffset,
    Damage::SmallLength,
    Damage::NegativeLength,
    Damage::LargeLength,
    Damage::LeaderEpoch,
    Damage::Twice,
    Damage::Future,
    Damage::NoEpoch,
    Damage::NoSequence,
    Damage::Large,
];

/// More than the largest `max.message.bytes` that the generator sets.
const LARGE_BYTES: usize = 2_100_000;
/// How much later than they say the records of [`Damage::Future`] are.
const CENTURY_MS: i64 = 100 * 365 * 86_400_000;

impl Batch {
    /// The batch's bytes for the broker that told us `learnt`.
    pub fn encode(&self, learnt: &Learnt) -> Vec<u8> {
        let mut header = BatchHeader::default();
        if let Some(producer) = &self.producer {
            header.producer_id = learnt.value(&Slot::ProducerId(producer.clone())).int().unwrap_or(-1);
            header.producer_epoch = learnt.value(&Slot::ProducerEpoch(producer.clone())).int().unwrap_or(-1) as i16;
            header.base_sequence = self.base_sequence;
            if !producer.is_empty() && !producer.starts_with('@') {
                header.attributes |= TRANSACTIONAL;
            }
        }
        let mut writer = BatchWriter::new(None);
        let later = if self.damage == Damage::Future { CENTURY_MS } else { 0 };
        for (key, value, timestamp) in &self.records {
            writer.push_parts(*timestamp + later, key.as_deref(), value.as_deref(), std::iter::empty());
        }
        let codec = if self.damage == Damage::Large {
            writer.push_parts(0, None, Some(&vec![b'L'; LARGE_BYTES]), std::iter::empty());
            Codec::None
        } else {
            self.codec
        };
        header.last_offset_delta = writer.count() - 1;
        let mut out = Vec::new();
        writer.finish(&header, codec, None, &mut out).expect("a codec writes to memory");
        self.break_it(&mut out);
        out
    }

    fn break_it(&self, bytes: &mut Vec<u8>) {
        match self.damage {
            Damage::None | Damage::Future | Damage::Large => {}
            Damage::Crc => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
            }
            Damage::Magic => bytes[16] = 7,
            Damage::OldMagic => bytes[16] = 1,
            Damage::Cut => bytes.truncate(bytes.len() - 1),
            Damage::BaseOffset => bytes[7] = 5,
            Damage::SmallLength => bytes[8..12].copy_from_slice(&[0, 0, 0, 3]),
            Damage::NegativeLength => bytes[8..12].copy_from_slice(&[0xff; 4]),
            Damage::LargeLength => bytes[8..12].copy_from_slice(&[0, 1, 0, 0]),
            Damage::LeaderEpoch => bytes[12..16].copy_from_slice(&[0, 0, 0, 9]),
            Damage::Twice => bytes.extend_from_within(..),
            _ => self.break_under_crc(bytes),
        }
    }

    fn break_under_crc(&self, bytes: &mut [u8]) {
        match self.damage {
            Damage::Count => bytes[60] = bytes[60].wrapping_add(1),
            Damage::Codec => bytes[22] = bytes[22] & !7 | 5,
            Damage::LastOffset => bytes[26] = bytes[26].wrapping_add(1),
            Damage::Control => bytes[22] |= 0x20,
            Damage::BrokerTimes => bytes[22] |= 8,
            Damage::Garbage => bytes[61..].fill(0xf7),
            Damage::Empty => bytes[57..61].fill(0),
            Damage::NoEpoch => bytes[51..53].fill(0xff),
            Damage::NoSequence => bytes[53..57].fill(0xff),
            _ => {}
        }
        let Some(header) = BatchHeader::decode(bytes) else { return };
        let crc = millstream_protocol::batch::checksum(&header.encode(), &bytes[61..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Records of an answer in a form that two brokers can be compared in: ids named, times of the broker masked.
pub fn described(bytes: &[u8], learnt: &Learnt) -> Value {
    let mut out = Vec::new();
    let mut used = 0;
    for (header, batch) in millstream_protocol::batch::Batches::new(bytes) {
        used += batch.len();
        let is_broker_time = header.is_log_append_time() || header.is_control();
        let producer = learnt
            .name_of("ProducerId", &Value::Int(header.producer_id))
            .map_or(header.producer_id.to_string(), str::to_owned);
        let times = if is_broker_time { (0, 0) } else { (header.base_timestamp, header.max_timestamp) };
        out.push(Value::Text(format!(
            "batch {}..{} epoch {} attributes {:#x} times {times:?} producer {producer}/{} sequence {} count {} bytes {:02x?}",
            header.base_offset,
            header.last_offset(),
            header.leader_epoch,
            header.attributes,
            header.producer_epoch,
            header.base_sequence,
            header.record_count,
            if header.is_control() { &batch[61..67] } else { &batch[61..] },
        )));
    }
    out.push(Value::Text(format!("{} bytes of a cut batch", bytes.len() - used)));
    Value::Array(out)
}
