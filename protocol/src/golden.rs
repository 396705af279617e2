//! Messages of every key and version as Apache's kafka-clients writes them (`golden/messages.txt.zst`, made by
//! `golden/make.sh`), and the same kind of random messages for the properties that hold for all of them.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;

use crate::api_key::APIS;
use crate::messages::*;
use crate::schema::{self, Field, Form, Kind, within};

/// Decodes and encodes again; `None` when the message crate lacks the version.
type Again = fn(i16, Bytes) -> Option<Result<Vec<u8>, String>>;

fn again<T: Message + Decodable + Encodable>(version: i16, bytes: Bytes) -> Option<Result<Vec<u8>, String>> {
    if !(T::VERSIONS.min..=T::VERSIONS.max).contains(&version) {
        return None;
    }
    let mut rest = bytes;
    let through = || -> anyhow::Result<Vec<u8>> {
        let message = T::decode(&mut rest, version)?;
        anyhow::ensure!(!rest.has_remaining(), "{} bytes left", rest.remaining());
        let mut out = BytesMut::new();
        message.encode(&mut out, version)?;
        anyhow::ensure!(out.len() == message.compute_size(version)?, "the size was computed wrong");
        Ok(out.to_vec())
    };
    let mut through = through;
    Some(through().map_err(|error| format!("{error:#}")))
}

fn pair<Q: Request>() -> (i16, Again, Again)
where
    Q::Response: Message + Decodable + Encodable,
{
    (Q::KEY, again::<Q>, again::<Q::Response>)
}

macro_rules! pairs {
    ($($name:ident)*) => { vec![$(pair::<$name>()),*] };
}

/// Every API that a broker of this project serves.
fn served() -> Vec<(i16, Again, Again)> {
    pairs![
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
        FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest SaslHandshakeRequest ApiVersionsRequest CreateTopicsRequest
        DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
        AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest
        TxnOffsetCommitRequest DescribeAclsRequest CreateAclsRequest DeleteAclsRequest DescribeConfigsRequest
        AlterConfigsRequest DescribeLogDirsRequest SaslAuthenticateRequest CreatePartitionsRequest
        DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest AlterPartitionReassignmentsRequest
        ListPartitionReassignmentsRequest OffsetDeleteRequest DescribeQuorumRequest UpdateFeaturesRequest
        DescribeClusterRequest DescribeProducersRequest DescribeTransactionsRequest ListTransactionsRequest
        ListConfigResourcesRequest DescribeTopicPartitionsRequest
    ]
}

/// Writes a random message by the table.
struct Writer {
    out: Vec<u8>,
    version: i16,
    /// xorshift64: the data must stay the same whatever a library does.
    state: u64,
}

impl Writer {
    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below
    }

    fn varint(&mut self, value: u32) {
        crate::wire::put_unsigned_varint(&mut self.out, value);
    }

    fn structure(&mut self, fields: &'static [Field], flexible: bool) {
        let mut tagged: Vec<&Field> = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| within(field.versions, version)) {
            match field.tag {
                0.. if flexible => tagged.push(field),
                _ => self.field(field, flexible),
            }
        }
        if flexible {
            tagged.sort_by_key(|field| field.tag);
            tagged.retain(|_| self.random(2) == 0);
            let unknown = self.random(4) == 0;
            self.varint(tagged.len() as u32 + u32::from(unknown));
            for field in tagged {
                let before = std::mem::take(&mut self.out);
                self.field(field, true);
                let value = std::mem::replace(&mut self.out, before);
                self.varint(field.tag as u32);
                self.varint(value.len() as u32);
                self.out.extend_from_slice(&value);
            }
            if unknown {
                self.varint(1000);
                self.varint(3);
                self.out.extend_from_slice(b"new");
            }
        }
    }

    fn field(&mut self, field: &'static Field, flexible: bool) {
        let nullable = within(field.nullable, self.version) && self.random(4) == 0;
        let compact = flexible && within(field.flexible, self.version);
        if let (Kind::Struct(_), true) = (&field.kind, within(field.nullable, self.version)) {
            self.out.push(if nullable { 0xff } else { 1 });
            if nullable {
                return;
            }
        }
        self.kind(&field.kind, nullable, flexible, compact);
    }

    fn length(&mut self, length: Option<usize>, compact: bool, width: usize) {
        match compact {
            true => self.varint(length.map_or(0, |length| length as u32 + 1)),
            false => {
                let raw = length.map_or(-1, |length| length as i64).to_be_bytes();
                self.out.extend_from_slice(&raw[8 - width..]);
            }
        }
    }

    fn kind(&mut self, kind: &'static Kind, null: bool, flexible: bool, compact: bool) {
        let width = match kind {
            Kind::Struct(fields) => return self.structure(fields, flexible),
            Kind::Array(_) | Kind::Bytes | Kind::Records if null => return self.length(None, compact, 4),
            Kind::String if null => return self.length(None, compact, 2),
            Kind::Array(element) => {
                let count = self.random(3) as usize;
                self.length(Some(count), compact, 4);
                for _ in 0..count {
                    self.kind(element, false, flexible, compact);
                }
                return;
            }
            Kind::String | Kind::Bytes | Kind::Records => {
                let length = self.random(9) as usize;
                self.length(Some(length), compact, if matches!(kind, Kind::String) { 2 } else { 4 });
                for _ in 0..length {
                    let letter = b'a' + self.random(26) as u8;
                    self.out.push(letter);
                }
                return;
            }
            Kind::Bool => {
                let flag = self.random(2) as u8;
                return self.out.push(flag);
            }
            Kind::Int8 => 1,
            Kind::Int16 | Kind::Uint16 => 2,
            Kind::Int32 | Kind::Uint32 => 4,
            // A whole number, so that no NaN has to be told from another.
            Kind::Float64 => {
                let number = self.random(1000) as f64;
                return self.out.extend_from_slice(&number.to_be_bytes());
            }
            Kind::Int64 => 8,
            Kind::Uuid => 16,
        };
        for _ in 0..width {
            let byte = self.random(256) as u8;
            self.out.push(byte);
        }
    }
}

fn random_message(message: &'static schema::Message, version: i16, seed: u64) -> Vec<u8> {
    let mut writer = Writer { out: Vec::new(), version, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
    writer.random(2);
    writer.structure(message.fields, within(message.flexible, version));
    writer.out
}

fn all_messages() -> impl Iterator<Item = (i16, char, i16, &'static schema::Message)> {
    APIS.iter().flat_map(|api| {
        let key = api.key.number();
        let (request, response) = schema::messages(key).expect("every API has its definition");
        (api.min_version..=api.max_version)
            .flat_map(move |version| [(key, 'q', version, request), (key, 'p', version, response)])
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Writes what `golden/make.sh` hands to Java; does nothing in a plain run.
#[test]
fn candidates() {
    let Ok(path) = std::env::var("MILLSTREAM_GOLDEN_CANDIDATES") else { return };
    let lines: String = all_messages()
        .flat_map(|(key, direction, version, message)| {
            (1..=2).map(move |seed| {
                let seed = seed + 16 * (version as u64) + 4096 * (key as u64) + u64::from(direction == 'q');
                format!("{key} {direction} {version} {}\n", hex(&random_message(message, version, seed)))
            })
        })
        .collect();
    std::fs::write(path, lines).unwrap();
}

struct GoldenMessage {
    key: i16,
    is_request: bool,
    version: i16,
    bytes: Vec<u8>,
    murmur2: i32,
}

fn golden() -> Vec<GoldenMessage> {
    let mut text = String::new();
    let packed: &[u8] = include_bytes!("../golden/messages.txt.zst");
    zstd::stream::read::Decoder::new(packed).unwrap().read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let mut parts = line.split(' ');
            let mut next = || parts.next().unwrap();
            GoldenMessage {
                key: next().parse().unwrap(),
                is_request: next() == "q",
                version: next().parse().unwrap(),
                bytes: unhex(next()),
                murmur2: next().parse().unwrap(),
            }
        })
        .collect()
}

#[test]
fn every_served_message_is_written_as_java_writes_it() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for message in golden() {
        let Some((_, request, response)) = served().into_iter().find(|(key, ..)| *key == message.key) else {
            continue;
        };
        count += 1;
        let codec = if message.is_request { request } else { response };
        let (key, version) = (message.key, message.version);
        let what = format!("key {key} v{version} request {}", message.is_request);
        match codec(version, message.bytes.clone().into()) {
            None => wrong.push(format!("{what}: the version is missing")),
            Some(Err(error)) => wrong.push(format!("{what}: {error}")),
            Some(Ok(bytes)) if bytes != message.bytes => {
                wrong.push(format!("{what}: {} instead of {}", hex(&bytes), hex(&message.bytes)));
            }
            Some(Ok(_)) => {}
        }
    }
    assert!(count >= 900, "{count} messages");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_walk_takes_every_message_that_java_wrote_and_ends_where_it_ends() {
    for message in golden() {
        let (request, response) = schema::messages(message.key).unwrap();
        let definition = if message.is_request { request } else { response };
        let walked = schema::walk(definition, message.version, &message.bytes).unwrap();
        assert_eq!((walked.length, walked.form), (message.bytes.len(), Form::Plain), "{}", definition.name);
        for end in 0..message.bytes.len() {
            let cut = schema::walk(definition, message.version, &message.bytes[..end]);
            assert!(cut.is_err(), "{} v{} cut at {end}", definition.name, message.version);
        }
    }
}

#[test]
fn murmur2_is_javas() {
    for message in golden() {
        assert_eq!(crate::murmur2::murmur2(&message.bytes), message.murmur2);
    }
    // Vectors of Apache's UtilsTest.testMurmur2.
    for (text, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)] {
        assert_eq!(crate::murmur2::murmur2(text.as_bytes()), hash, "{text}");
    }
    assert_eq!(crate::murmur2::partition_for_key(b"21", 6), ((-973_932_308i32) & 0x7fff_ffff) % 6);
}

proptest! {
    #![proptest_config(crate::batch_fuzz::fuzz(2000))]

    /// What the walk lets through the codecs read; what is damaged makes neither panic nor ask for much memory.
    #[test]
    fn damaged_requests_are_refused_or_read(
        seed: u64,
        place: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let served = served();
        let (key, request, response) = served[place.index(served.len())];
        let (request_definition, response_definition) = schema::messages(key).unwrap();
        let is_request = seed & 1 == 0;
        let definition = if is_request { request_definition } else { response_definition };
        let codec = if is_request { request } else { response };
        let (low, high) = definition.versions;
        // v6 of InitProducerId is not stable in Apache 4.3.
        let high = if key == 22 { 5 } else { high };
        let version = low + (seed / 2 % (high - low + 1) as u64) as i16;
        let mut bytes = random_message(definition, version, seed);
        for (at, byte) in &flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        }
        match schema::walk(definition, version, &bytes) {
            Ok(walked) => {
                prop_assert!(walked.length <= bytes.len());
                bytes.truncate(walked.length);
                if walked.form == Form::Unusual {
                    match schema::normalise(definition, version, &bytes) {
                        Ok(rewritten) => bytes = rewritten,
                        Err(_) => return Ok(()),
                    }
                }
                let read = codec(version, bytes.into()).expect("the version is there");
                // Java takes a tagged field twice, and a size that does not fit its content; the codecs do not.
                if flips.is_empty() {
                    prop_assert!(read.is_ok(), "{} v{version}: {read:?}", definition.name);
                }
            }
            Err(_) => prop_assert!(!flips.is_empty(), "{} v{version} is refused", definition.name),
        }
    }

    #[test]
    fn any_bytes_are_walked_without_panic(bytes: Vec<u8>, place: prop::sample::Index, version in 0i16..19) {
        let api = &APIS[place.index(APIS.len())];
        let (request, response) = schema::messages(api.key.number()).unwrap();
        let _ = schema::walk(request, version, &bytes);
        let _ = schema::walk(response, version, &bytes);
        let mut frame = Bytes::from(bytes.clone());
        let _ = crate::header::take_request_header(&mut frame);
        let mut buffer = BytesMut::from(&bytes[..]);
        let _ = crate::frame::take(&mut buffer, 1 << 20);
        let _ = crate::batch::Batches::new(&bytes).count();
        for record in crate::record::Records::new(&bytes, 10).flatten() {
            let _ = record.headers().count();
        }
    }
}

#[test]
fn a_count_above_the_bytes_left_reserves_nothing() {
    // Metadata v0 with two billion topics.
    let (request, _) = schema::messages(3).unwrap();
    let refused = schema::walk(request, 0, &[0x7f, 0xff, 0xff, 0xff]);
    assert!(matches!(refused, Err(crate::error::DecodeError::Count { .. })), "{refused:?}");
    assert!(crate::request::decode::<MetadataRequest>(0, Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff])).is_err());
}

#[test]
fn bytes_that_are_no_utf8_are_read_as_java_reads_them() {
    // FindCoordinator v0 with a key of one bad byte.
    let request: FindCoordinatorRequest =
        crate::request::decode(0, Bytes::from_static(&[0, 3, b'a', 0xff, b'b'])).unwrap();
    assert_eq!(&*request.key, "a\u{fffd}b");
    // DescribeGroups v0 allows no null; OffsetFetch v2 takes any negative count for null.
    assert!(crate::request::decode::<DescribeGroupsRequest>(0, Bytes::from_static(&[0xff; 4])).is_err());
    let request: OffsetFetchRequest =
        crate::request::decode(2, Bytes::from_static(&[0, 1, b'g', 0xff, 0xff, 0xff, 0xf0])).unwrap();
    assert!(request.topics.is_none());
}
