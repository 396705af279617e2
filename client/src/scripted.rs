//! A broker in a test's own process that answers as the test says.
//!
//! Used by the unit tests of this crate only. Serves every API in every version that the client speaks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use millstream_base_env::{net, task};
use millstream_protocol::api_key::{APIS, ApiKey};
use millstream_protocol::messages::api_versions_response::ApiVersion;
use millstream_protocol::messages::find_coordinator_response::Coordinator;
use millstream_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::messages::{
    ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataResponse, Request, StrBytes,
};
use millstream_protocol::request::{RequestHeader, take_request_header};
use millstream_protocol::{request, response};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::metadata::topic_name;

/// What a broker does with a request.
pub(crate) enum Act {
    Answer(Bytes),
    /// Never an answer; later requests are read.
    Silence,
    /// Reads no further before this is notified.
    Stall(Arc<Notify>),
}

/// A request that came.
pub(crate) struct Asked {
    pub header: RequestHeader,
    /// Of the broker that was asked.
    pub port: i32,
    body: Bytes,
}

impl Asked {
    pub fn key(&self) -> ApiKey {
        self.header.api_key
    }

    pub fn read<T: Request>(&self) -> T {
        request::decode::<T>(self.header.api_version, self.body.clone()).expect("a request of that kind")
    }

    pub fn answer<T: Request>(&self, reply: &T::Response) -> Act {
        let header = &self.header;
        Act::Answer(
            response::encode(header.api_key, header.api_version, header.correlation_id, reply).expect("written"),
        )
    }

    /// What brokers that serve everything say to ApiVersions.
    fn greet(&self) -> Bytes {
        let row = |api: &millstream_protocol::api_key::Api| {
            let row = ApiVersion::default().with_api_key(api.key as i16);
            row.with_min_version(api.min_version).with_max_version(api.max_version)
        };
        let reply = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(row).collect());
        let header = &self.header;
        response::encode(ApiKey::ApiVersions, header.api_version, header.correlation_id, &reply).expect("written")
    }
}

/// A broker; gone with the runtime that it was started in.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub address: String,
    port: i32,
    asked: Arc<Mutex<VecDeque<ApiKey>>>,
}

type Script = Arc<Mutex<dyn FnMut(&Asked) -> Act + Send>>;

impl Scripted {
    /// Answers each request as `script` says; ApiVersions by itself.
    pub fn start(script: impl FnMut(&Asked) -> Act + Send + 'static) -> Scripted {
        let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (script, asked): (Script, _) = (Arc::new(Mutex::new(script)), Arc::default());
        let broker = Scripted { address: address.to_string(), port: i32::from(address.port()), asked };
        let own = broker.clone();
        task::spawn("scripted broker", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                task::spawn("scripted connection", own.clone().serve(stream, script.clone()));
            }
        });
        broker
    }

    async fn serve(self, mut stream: TcpStream, script: Script) -> Option<()> {
        loop {
            let size = stream.read_u32().await.ok()?;
            let mut frame = vec![0; size as usize];
            stream.read_exact(&mut frame).await.ok()?;
            let mut body = Bytes::from(frame);
            let header = take_request_header(&mut body).expect("a header");
            let asked = Asked { header, port: self.port, body };
            if asked.key() == ApiKey::ApiVersions {
                stream.write_all(&asked.greet()).await.ok()?;
                continue;
            }
            self.asked.lock().push_back(asked.key());
            let act = (*script.lock())(&asked);
            match act {
                Act::Answer(answer) => stream.write_all(&answer).await.ok()?,
                Act::Silence => {}
                Act::Stall(until) => until.notified().await,
            }
        }
    }

    /// Requests of a kind that came so far.
    pub fn count(&self, key: ApiKey) -> usize {
        self.asked.lock().iter().filter(|asked| **asked == key).count()
    }
}

/// This broker is the coordinator of whatever is asked for.
pub(crate) fn coordinates(asked: &Asked) -> Act {
    if asked.header.api_version <= 3 {
        let found = FindCoordinatorResponse::default().with_node_id(1.into()).with_port(asked.port);
        return asked.answer::<FindCoordinatorRequest>(&found.with_host(StrBytes::from_static_str("127.0.0.1")));
    }
    let found = Coordinator::default().with_host(StrBytes::from_static_str("127.0.0.1")).with_port(asked.port);
    let keys = asked.read::<FindCoordinatorRequest>().coordinator_keys;
    let found = keys.into_iter().map(|key| found.clone().with_key(key).with_node_id(1.into()));
    asked.answer::<FindCoordinatorRequest>(&FindCoordinatorResponse::default().with_coordinators(found.collect()))
}

/// A cluster of `brokers` (id and port) where each topic has partitions led as given, -1 for by none.
pub(crate) fn described(brokers: &[(i32, i32)], topics: &[(&str, &[i32])]) -> MetadataResponse {
    let broker = |(id, port): &(i32, i32)| {
        let broker = MetadataResponseBroker::default().with_node_id((*id).into());
        broker.with_host(StrBytes::from_static_str("127.0.0.1")).with_port(*port)
    };
    let topic = |(name, leaders): &(&str, &[i32])| {
        let partition = |(index, leader): (usize, &i32)| {
            let partition = MetadataResponsePartition::default().with_partition_index(index as i32);
            partition.with_leader_id((*leader).into()).with_leader_epoch(1)
        };
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_topic_id(Uuid::from_u128(name.bytes().fold(1, |id, byte| id * 31 + u128::from(byte))))
            .with_partitions(leaders.iter().enumerate().map(partition).collect())
    };
    MetadataResponse::default()
        .with_brokers(brokers.iter().map(broker).collect())
        .with_topics(topics.iter().map(topic).collect())
}
