//! The load: requests encoded beforehand, several in flight on one connection, answers looked at where their error
//! code stands and nowhere else, so that what is measured is the broker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_base_env::Clock;
use millstream_protocol::messages::create_topics_request::CreatableTopic;
use millstream_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest, Request, StrBytes, TopicName,
};
use millstream_protocol::{request, response};

/// Requests in flight on a connection.
pub const IN_FLIGHT: usize = 5;

const PRODUCE_VERSION: i16 = 7;
const FETCH_VERSION: i16 = 11;
const HEADER_BYTES: usize = 61;
const CRC_AT: usize = 17;

/// A connection.
pub struct Connection {
    stream: TcpStream,
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes of records.
    pub bytes: usize,
}

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The system's.
    pub fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Connection { stream })
    }

    /// Sends a request and takes its answer.
    ///
    /// # Errors
    /// When the broker closes, or its answer cannot be read.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> anyhow::Result<R::Response> {
        self.stream.write_all(&request::encode(version, 1, Some("bench"), request)?)?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(prefix))?];
        self.stream.read_exact(&mut body)?;
        Ok(response::decode::<R>(version, body.into())?.1)
    }

    /// Makes a topic, again and again while the broker is still starting.
    ///
    /// # Errors
    /// When it is refused.
    pub fn create(&mut self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let one =
            CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![one]).with_timeout_ms(60_000);
        let response = self.call(4, &request)?;
        let code = response.topics.first().context("one answer")?.error_code;
        ensure!(code == 0, "{topic} is refused with error {code}");
        self.await_leaders(topic, partitions)
    }

    /// Apache Kafka answers a creation before the partitions' leader serves them.
    fn await_leaders(&mut self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let wanted = (0..partitions).map(|index| {
            ListOffsetsPartition::default().with_partition_index(index).with_current_leader_epoch(-1).with_timestamp(-1)
        });
        let one = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(wanted.collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![one]);
        loop {
            let response = self.call(4, &request)?;
            let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
            if answers.all(|answer| answer.error_code == 0) {
                return Ok(());
            }
            std::thread::yield_now();
        }
    }

    /// Sends `frame` `count` times with five in flight; every answer must be the acceptance of one produce.
    ///
    /// # Errors
    /// When one is refused.
    pub fn produce(&mut self, topic: &str, frame: &[u8], count: usize) -> anyhow::Result<()> {
        let error_at = 4 + 4 + 4 + 2 + topic.len() + 4 + 4;
        let answer_bytes = error_at + 2 + 8 + 8 + 8 + 4;
        let mut input = vec![0; 64 * 1024];
        let mut filled = 0;
        let (mut sent, mut answered) = (0, 0);
        while sent < IN_FLIGHT.min(count) {
            self.stream.write_all(frame)?;
            sent += 1;
        }
        while answered < count {
            let read = self.stream.read(&mut input[filled..])?;
            ensure!(read > 0, "the broker closed the connection");
            filled += read;
            let mut start = 0;
            while filled - start >= answer_bytes {
                let error = i16::from_be_bytes([input[start + error_at], input[start + error_at + 1]]);
                ensure!(error == 0, "a produce is refused with error {error}");
                start += answer_bytes;
                answered += 1;
                if sent < count {
                    self.stream.write_all(frame)?;
                    sent += 1;
                }
            }
            input.copy_within(start..filled, 0);
            filled -= start;
        }
        Ok(())
    }

    /// Fetches once; the records go to `buffer` from its start as far as they fit.
    ///
    /// # Errors
    /// When it is refused.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, buffer: &mut [u8]) -> anyhow::Result<Fetched> {
        let frame = fetch_frame(topic, partition, offset, buffer.len())?;
        self.stream.write_all(&frame)?;
        let head_bytes = 4 + 4 + 4 + 2 + 4 + 4 + 2 + topic.len() + 4 + 4 + 2 + 24 + 4;
        let mut head = vec![0; head_bytes];
        self.stream.read_exact(&mut head)?;
        let at = |from: usize| i32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let error = i16::from_be_bytes([head[head_bytes - 30], head[head_bytes - 29]]);
        ensure!(error == 0, "a fetch is refused with error {error}");
        let aborted = at(head_bytes - 4);
        ensure!(aborted <= 0, "aborted transactions where there are none");
        let mut tail = [0; 8];
        self.stream.read_exact(&mut tail)?;
        let bytes = usize::try_from(i32::from_be_bytes([tail[4], tail[5], tail[6], tail[7]]))?;
        let kept = bytes.min(buffer.len());
        self.stream.read_exact(&mut buffer[..kept])?;
        let mut rest = bytes - kept;
        let mut sink = [0; 4096];
        while rest > 0 {
            let part = rest.min(sink.len());
            self.stream.read_exact(&mut sink[..part])?;
            rest -= part;
        }
        Ok(Fetched { bytes })
    }
}

/// A whole produce request of one batch to partition 0, acks=all.
///
/// # Errors
/// None that a caller can cause.
pub fn produce_frame(topic: &str, batch: Bytes) -> anyhow::Result<Bytes> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    Ok(request::encode(PRODUCE_VERSION, 1, Some("bench"), &request)?)
}

fn fetch_frame(topic: &str, partition: i32, offset: i64, bytes_max: usize) -> anyhow::Result<Bytes> {
    let part = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(i32::try_from(bytes_max)?);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(name(topic)).with_partitions(vec![part])]);
    Ok(request::encode(FETCH_VERSION, 1, Some("bench"), &request)?)
}

/// A batch of `records` records with values of `value_bytes` bytes.
pub fn batch(records: usize, value_bytes: usize) -> Bytes {
    let mut body = BytesMut::new();
    for index in 0..records {
        let mut record = BytesMut::new();
        record.put_slice(&[0, 0]);
        put_varint(&mut record, index as i64);
        put_varint(&mut record, -1);
        put_varint(&mut record, value_bytes as i64);
        record.extend((0..value_bytes).map(|at| b'a' + (at * 7 % 26) as u8));
        record.put_u8(0);
        put_varint(&mut body, record.len() as i64);
        body.put_slice(&record);
    }
    let now = Clock::Real.now_ms();
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
    out.put_i64(0);
    out.put_i32((HEADER_BYTES - 12 + body.len()) as i32);
    out.put_i32(-1);
    out.put_u8(2);
    out.put_u32(0);
    out.put_i16(0);
    out.put_i32(records as i32 - 1);
    out.put_i64(now);
    out.put_i64(now);
    out.put_i64(-1);
    out.put_i16(-1);
    out.put_i32(-1);
    out.put_i32(records as i32);
    out.put_slice(&body);
    let crc = crc32c::crc32c(&out[CRC_AT + 4..]);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    out.freeze()
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_records_of_100_bytes_are_about_1_2_kb() {
        let batch = batch(10, 100);
        assert_eq!(batch.len(), HEADER_BYTES + 10 * 109);
        assert_eq!(i32::from_be_bytes([batch[8], batch[9], batch[10], batch[11]]) as usize, batch.len() - 12);
    }
}
