//! Batches of records as a seeded producer sends them.

use millstream_protocol::batch::{BatchHeader, TRANSACTIONAL};
use millstream_protocol::compress::Codec;
use millstream_protocol::record::BatchWriter;

use crate::slot::{Learnt, Slot};
use crate::value::Value;

/// One batch, before the producer's id is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whose id it carries: a transactional id, "" for the plain idempotent producer; none for no id.
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
}

/// Every damage.
pub const DAMAGES: [Damage; 6] =
    [Damage::Crc, Damage::Count, Damage::Magic, Damage::Cut, Damage::Codec, Damage::LastOffset];

impl Batch {
    /// The batch's bytes for the broker that told us `learnt`.
    pub fn encode(&self, learnt: &Learnt) -> Vec<u8> {
        let mut header = BatchHeader::default();
        if let Some(producer) = &self.producer {
            header.producer_id = learnt.value(&Slot::ProducerId(producer.clone())).int().unwrap_or(-1);
            header.producer_epoch = learnt.value(&Slot::ProducerEpoch(producer.clone())).int().unwrap_or(-1) as i16;
            header.base_sequence = self.base_sequence;
            if !producer.is_empty() {
                header.attributes |= TRANSACTIONAL;
            }
        }
        let mut writer = BatchWriter::new(None);
        for (key, value, timestamp) in &self.records {
            writer.push_parts(*timestamp, key.as_deref(), value.as_deref(), std::iter::empty());
        }
        header.last_offset_delta = writer.count() - 1;
        let mut out = Vec::new();
        writer.finish(&header, self.codec, None, &mut out).expect("a codec writes to memory");
        self.break_it(&mut out);
        out
    }

    fn break_it(&self, bytes: &mut Vec<u8>) {
        match self.damage {
            Damage::None => return,
            Damage::Crc => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                return;
            }
            Damage::Magic => {
                bytes[16] = 7;
                return;
            }
            Damage::Cut => {
                bytes.truncate(bytes.len() - 1);
                return;
            }
            Damage::Count => bytes[60] = bytes[60].wrapping_add(1),
            Damage::Codec => bytes[22] = bytes[22] & !7 | 5,
            Damage::LastOffset => bytes[26] = bytes[26].wrapping_add(1),
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
        let producer = learnt.name_of("ProducerId", &Value::Int(header.producer_id)).map_or(header.producer_id.to_string(), str::to_owned);
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
