//! The Fetch response, v4 to v18, written around its records: the records stay in their files.
//!
//! The broker writes heads of topics and partitions and marks where records go; [`FetchWriter::finish`] hands back
//! the pieces between the marks. Field for field what `FetchResponse` of Apache Kafka 4.3 is; a test compares with
//! the message crate at every version.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

/// First version with compact encodings and tagged fields.
const FLEXIBLE_FROM: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// The front of the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Of the request.
    pub correlation_id: i32,
    /// How long the client is asked to wait.
    pub throttle_time_ms: i32,
    /// Of the answer as a whole; sent from v7 on.
    pub error_code: i16,
    /// 0 for none; sent from v7 on.
    pub session_id: i32,
}

/// One partition without its records.
#[derive(Clone, Copy, Debug)]
pub struct PartitionHead<'a> {
    /// Its index.
    pub index: i32,
    /// 0 for none.
    pub error_code: i16,
    /// -1 when unknown.
    pub high_watermark: i64,
    /// -1 when unknown.
    pub last_stable_offset: i64,
    /// -1 when unknown; sent from v5 on.
    pub log_start_offset: i64,
    /// Largest epoch and its end, when the client's log differs; sent from v12 on.
    pub diverging: Option<(i32, i64)>,
    /// Leader and epoch, when this node is not the leader; sent from v12 on.
    pub current_leader: Option<(i32, i32)>,
    /// Producer and first offset of aborted transactions; null for read_uncommitted.
    pub aborted: Option<&'a [(i64, i64)]>,
    /// Where the client should read instead, -1 for nowhere; sent from v11 on.
    pub preferred_read_replica: i32,
    /// Bytes of records that follow.
    pub records_length: usize,
}

/// A broker that a partition's `current_leader` names; sent from v16 on.
#[derive(Clone, Copy, Debug)]
pub struct NodeEndpoint<'a> {
    /// Its id.
    pub node_id: i32,
    /// Its host.
    pub host: &'a str,
    /// Its port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<&'a str>,
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the message.
    Bytes(BytesMut),
    /// Records: the how-manieth partition that was written with `records_length > 0`.
    Records(usize),
}

/// Writes one answer.
#[derive(Debug)]
pub struct FetchWriter {
    version: i16,
    out: BytesMut,
    /// Positions in `out` where records go.
    marks: Vec<usize>,
    records_length: usize,
}

impl FetchWriter {
    /// Begins with the length (filled in at the end), the header and `topics` topics to come.
    pub fn new(version: i16, head: Head, topics: usize) -> Self {
        let mut writer =
            FetchWriter { version, out: BytesMut::with_capacity(256), marks: Vec::new(), records_length: 0 };
        writer.out.put_i32(0);
        writer.out.put_i32(head.correlation_id);
        writer.end_struct();
        writer.out.put_i32(head.throttle_time_ms);
        if version >= 7 {
            writer.out.put_i16(head.error_code);
            writer.out.put_i32(head.session_id);
        }
        writer.count(topics);
        writer
    }

    /// A topic with `partitions` partitions to come; [`FetchWriter::end_topic`] closes it.
    pub fn topic(&mut self, name: &str, id: Uuid, partitions: usize) {
        if self.version >= TOPIC_IDS_FROM {
            self.out.put_slice(id.as_bytes());
        } else {
            self.text(name);
        }
        self.count(partitions);
    }

    /// One partition.
    pub fn partition(&mut self, head: &PartitionHead<'_>) {
        self.out.put_i32(head.index);
        self.out.put_i16(head.error_code);
        self.out.put_i64(head.high_watermark);
        self.out.put_i64(head.last_stable_offset);
        if self.version >= 5 {
            self.out.put_i64(head.log_start_offset);
        }
        self.aborted(head.aborted);
        if self.version >= 11 {
            self.out.put_i32(head.preferred_read_replica);
        }
        if self.is_flexible() {
            put_varint(&mut self.out, head.records_length as u32 + 1);
        } else {
            self.out.put_i32(head.records_length as i32);
        }
        if head.records_length > 0 {
            self.marks.push(self.out.len());
            self.records_length += head.records_length;
        }
        if self.is_flexible() {
            self.partition_tags(head);
        }
    }

    /// Ends a topic.
    pub fn end_topic(&mut self) {
        self.end_struct();
    }

    /// Ends the answer: its pieces in order.
    pub fn finish(mut self, endpoints: &[NodeEndpoint<'_>]) -> Vec<Piece> {
        if self.version >= 16 && !endpoints.is_empty() {
            self.endpoints(endpoints);
        } else {
            self.end_struct();
        }
        let length = (self.out.len() - 4 + self.records_length) as i32;
        self.out[..4].copy_from_slice(&length.to_be_bytes());
        let mut pieces = Vec::with_capacity(2 * self.marks.len() + 1);
        let mut start = 0;
        for (number, mark) in self.marks.iter().enumerate() {
            pieces.push(Piece::Bytes(self.out.split_to(mark - start)));
            pieces.push(Piece::Records(number));
            start = *mark;
        }
        if !self.out.is_empty() {
            pieces.push(Piece::Bytes(self.out));
        }
        pieces
    }

    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    /// No tagged fields.
    fn end_struct(&mut self) {
        if self.is_flexible() {
            self.out.put_u8(0);
        }
    }

    fn count(&mut self, count: usize) {
        if self.is_flexible() {
            put_varint(&mut self.out, count as u32 + 1);
        } else {
            self.out.put_i32(count as i32);
        }
    }

    fn text(&mut self, text: &str) {
        if self.is_flexible() {
            put_varint(&mut self.out, text.len() as u32 + 1);
        } else {
            self.out.put_i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
    }

    fn aborted(&mut self, aborted: Option<&[(i64, i64)]>) {
        let Some(aborted) = aborted else {
            if self.is_flexible() {
                self.out.put_u8(0);
            } else {
                self.out.put_i32(-1);
            }
            return;
        };
        self.count(aborted.len());
        for (producer_id, first_offset) in aborted {
            self.out.put_i64(*producer_id);
            self.out.put_i64(*first_offset);
            self.end_struct();
        }
    }

    fn partition_tags(&mut self, head: &PartitionHead<'_>) {
        const DIVERGING_EPOCH: u32 = 0;
        const CURRENT_LEADER: u32 = 1;
        let count = u32::from(head.diverging.is_some()) + u32::from(head.current_leader.is_some());
        put_varint(&mut self.out, count);
        if let Some((epoch, end_offset)) = head.diverging {
            put_varint(&mut self.out, DIVERGING_EPOCH);
            put_varint(&mut self.out, 4 + 8 + 1);
            self.out.put_i32(epoch);
            self.out.put_i64(end_offset);
            self.out.put_u8(0);
        }
        if let Some((leader, epoch)) = head.current_leader {
            put_varint(&mut self.out, CURRENT_LEADER);
            put_varint(&mut self.out, 4 + 4 + 1);
            self.out.put_i32(leader);
            self.out.put_i32(epoch);
            self.out.put_u8(0);
        }
    }

    fn endpoints(&mut self, endpoints: &[NodeEndpoint<'_>]) {
        const NODE_ENDPOINTS: u32 = 0;
        let message = std::mem::take(&mut self.out);
        self.count(endpoints.len());
        for endpoint in endpoints {
            self.out.put_i32(endpoint.node_id);
            self.text(endpoint.host);
            self.out.put_i32(endpoint.port);
            match endpoint.rack {
                Some(rack) => self.text(rack),
                None => self.out.put_u8(0),
            }
            self.end_struct();
        }
        let tagged = std::mem::replace(&mut self.out, message);
        put_varint(&mut self.out, 1);
        put_varint(&mut self.out, NODE_ENDPOINTS);
        put_varint(&mut self.out, tagged.len() as u32);
        self.out.put_slice(&tagged);
    }
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::fetch_response::{
        AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint as Endpoint,
        PartitionData,
    };
    use crate::messages::{ApiKey, BrokerId, FetchResponse, ProducerId, StrBytes, TopicName};
    use bytes::Bytes;

    fn joined(pieces: Vec<Piece>, records: &[&[u8]]) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => all.extend_from_slice(&bytes),
                Piece::Records(number) => all.extend_from_slice(records[number]),
            }
        }
        all
    }

    fn written(version: i16) -> Vec<u8> {
        let head = Head { correlation_id: 7, throttle_time_ms: 3, error_code: 0, session_id: 9 };
        let mut writer = FetchWriter::new(version, head, 2);
        writer.topic("first", Uuid::from_u128(1), 2);
        let part = PartitionHead {
            index: 0,
            error_code: 0,
            high_watermark: 10,
            last_stable_offset: 8,
            log_start_offset: 2,
            diverging: None,
            current_leader: None,
            aborted: Some(&[(5, 6), (7, 8)]),
            preferred_read_replica: -1,
            records_length: 5,
        };
        writer.partition(&part);
        writer.partition(&PartitionHead {
            index: 1,
            error_code: 6,
            diverging: (version >= 12).then_some((4, 44)),
            current_leader: (version >= 12).then_some((2, 3)),
            aborted: None,
            records_length: 0,
            ..part
        });
        writer.end_topic();
        writer.topic("second", Uuid::from_u128(2), 1);
        writer.partition(&PartitionHead { aborted: Some(&[]), records_length: 3, ..part });
        writer.end_topic();
        let endpoint = NodeEndpoint { node_id: 2, host: "host", port: 9092, rack: None };
        joined(writer.finish(if version >= 16 { std::slice::from_ref(&endpoint) } else { &[] }), &[b"batch", b"two"])
    }

    fn by_the_crate(version: i16) -> Vec<u8> {
        let part = PartitionData::default()
            .with_high_watermark(10)
            .with_last_stable_offset(8)
            .with_log_start_offset(if version >= 5 { 2 } else { -1 });
        let aborted = |pairs: &[(i64, i64)]| {
            Some(
                pairs
                    .iter()
                    .map(|(id, offset)| {
                        AbortedTransaction::default().with_producer_id(ProducerId(*id)).with_first_offset(*offset)
                    })
                    .collect(),
            )
        };
        let first = part
            .clone()
            .with_aborted_transactions(aborted(&[(5, 6), (7, 8)]))
            .with_records(Some(Bytes::from_static(b"batch")));
        let mut second = part
            .clone()
            .with_partition_index(1)
            .with_error_code(6)
            .with_aborted_transactions(None)
            .with_records(Some(Bytes::new()));
        if version >= 12 {
            second = second
                .with_diverging_epoch(EpochEndOffset::default().with_epoch(4).with_end_offset(44))
                .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(3));
        }
        let third = part.with_aborted_transactions(aborted(&[])).with_records(Some(Bytes::from_static(b"two")));
        let topic = |name: &'static str, id: u128, partitions| {
            let topic = FetchableTopicResponse::default().with_partitions(partitions);
            if version >= 13 {
                topic.with_topic_id(Uuid::from_u128(id))
            } else {
                topic.with_topic(TopicName(StrBytes::from_static_str(name)))
            }
        };
        let mut response = FetchResponse::default()
            .with_throttle_time_ms(3)
            .with_responses(vec![topic("first", 1, vec![first, second]), topic("second", 2, vec![third])]);
        if version >= 7 {
            response.session_id = 9;
        }
        if version >= 16 {
            response.node_endpoints = vec![
                Endpoint::default()
                    .with_node_id(BrokerId(2))
                    .with_host(StrBytes::from_static_str("host"))
                    .with_port(9092),
            ];
        }
        let mut out = BytesMut::new();
        crate::response::encode_into(&mut out, ApiKey::Fetch, version, 7, &response).expect("legal at this version");
        out.to_vec()
    }

    #[test]
    fn every_version_is_what_the_message_crate_writes() {
        for version in 4..=18 {
            assert_eq!(written(version), by_the_crate(version), "v{version}");
        }
    }
}
