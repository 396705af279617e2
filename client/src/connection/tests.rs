use millstream_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::{MetadataRequest, ProduceRequest};

use super::*;
use crate::metadata::topic_name;
use crate::scripted::{Act, Scripted};

fn config(request_timeout: Duration) -> ConnectionConfig {
    ConnectionConfig { request_timeout, ..ConnectionConfig::default() }
}

#[tokio::test]
async fn a_request_that_nobody_awaits_any_more_ends_the_connection_in_its_time() {
    let broker = Scripted::start(|_| Act::Silence);
    let connection = Connection::open(&broker.address, &config(Duration::from_secs(2))).await.unwrap();
    let request = MetadataRequest::default();
    let impatient = tokio::time::timeout(Duration::from_millis(10), connection.call(&request));
    assert!(impatient.await.is_err() && connection.is_open());
    assert_eq!(connection.outstanding(), 1);
    tokio::time::timeout(Duration::from_secs(30), connection.calls.closed()).await.expect("the connection ends");
    let error = connection.call(&request).await.unwrap_err();
    assert!(error.to_string().contains("not answered in time"), "{error}");
}

#[tokio::test]
async fn who_is_overdue_is_told_so_and_the_others_that_the_connection_is_lost() {
    let broker = Scripted::start(|_| Act::Silence);
    let connection = Connection::open(&broker.address, &config(Duration::from_secs(1))).await.unwrap();
    let request = MetadataRequest::default();
    let held = connection.call_held(i16::MAX, &request, Duration::from_secs(60));
    let (overdue, held) = tokio::join!(connection.call(&request), held);
    assert!(matches!(overdue, Err(ClientError::Timeout { .. })), "{overdue:?}");
    assert!(matches!(held, Err(ClientError::Lost { .. })), "{held:?}");
}

#[tokio::test]
async fn each_address_of_a_name_has_its_own_time() {
    // They take the connection and say nothing, so that TLS never begins.
    let silent = || net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let (first, second) = (silent(), silent());
    let resolved = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    let mut config = config(Duration::from_secs(1));
    config.security.tls = Some(tls::Tls::new(&tls::TlsOptions::default()).unwrap());
    let error =
        Connection::open_first(&resolved, Duration::from_millis(50), "silent:9092", &config).await.err().unwrap();
    assert!(error.to_string().contains(&resolved[1].to_string()), "{error}");
    for listener in [first, second] {
        tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.expect("it was tried").unwrap();
    }
}

#[tokio::test]
async fn a_request_without_a_reply_is_sent_when_the_system_took_all_of_it() {
    let resume = Arc::new(Notify::new());
    let stall = resume.clone();
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::Metadata => Act::Stall(stall.clone()),
        _ => Act::Silence,
    });
    let connection = Connection::open(&broker.address, &config(Duration::from_secs(60))).await.unwrap();
    let asked = connection.start(i16::MAX, &MetadataRequest::default(), Duration::from_secs(60)).unwrap();
    let records = PartitionProduceData::default().with_records(Some(Bytes::from(vec![0; 64 << 20])));
    let topic = TopicProduceData::default().with_name(topic_name("t")).with_partition_data(vec![records]);
    let request = ProduceRequest::default().with_acks(0).with_topic_data(vec![topic]);
    let mut sent = Box::pin(connection.send_only(9, &request).unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut sent).await.is_err(), "the broker does not read");
    resume.notify_one();
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("it reads again").unwrap();
    drop(asked);
}

#[test]
fn frames_leave_in_order_wherever_a_write_stops() {
    let mut outbound = Outbound::default();
    for frame in ["abc", "d", "efgh"] {
        outbound.put(Bytes::from_static(frame.as_bytes()));
    }
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!((outbound.remaining(), outbound.chunks_vectored(&mut slices)), (8, 2));
    assert_eq!((&*slices[0], &*slices[1]), (&b"abc"[..], &b"d"[..]));
    for (by, left) in [(0, "abcdefgh"), (2, "cdefgh"), (3, "fgh"), (3, "")] {
        outbound.advance(by);
        let all: Vec<u8> = outbound.frames.iter().flat_map(|frame| frame.to_vec()).collect();
        assert_eq!((String::from_utf8(all).unwrap().as_str(), outbound.size), (left, left.len()));
    }
    assert!(!outbound.has_remaining() && outbound.chunk().is_empty());
}
