//! What an application can put into a producer: a partitioner, and interceptors that see every record come and go.
//!
//! Given to `Producer::with_plugins`. Neither may block: a partitioner runs under the producer's lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::delivery::RecordMetadata;
use super::{Header, NewRecord};
use crate::error::ClientError;
use crate::metadata::TopicView;

/// Chooses the partition of each record that names none (Java: `Partitioner`).
///
/// ```
/// use client::metadata::TopicView;
/// use client::producer::{NewRecord, Partitioner};
///
/// struct ByLength;
///
/// impl Partitioner for ByLength {
///     fn partition(&self, record: &NewRecord<'_>, topic: &TopicView) -> i32 {
///         (record.value.map_or(0, <[u8]>::len) % topic.leaders.len()) as i32
///     }
/// }
/// ```
pub trait Partitioner: Send + Sync {
    /// A partition of the topic, from 0 below the number of leaders; any other fails the record.
    fn partition(&self, record: &NewRecord<'_>, topic: &TopicView) -> i32;
}

/// A record that an interceptor may change.
///
/// ```
/// use client::producer::{NewRecord, OwnedRecord};
///
/// let mut copy = OwnedRecord::of(&NewRecord { topic: "orders", value: Some(b"paid"), ..NewRecord::default() });
/// copy.headers.push(("seen".to_owned(), None));
/// let headers = copy.lent_headers();
/// assert_eq!(copy.lend(&headers).headers, [("seen", None)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The topic.
    pub topic: String,
    /// The partition, if it is chosen.
    pub partition: Option<i32>,
    /// Its time, if it is set.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// A copy of `record`.
    pub fn of(record: &NewRecord<'_>) -> Self {
        let headers = record.headers.iter();
        OwnedRecord {
            topic: record.topic.to_owned(),
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// Its headers, lent.
    pub fn lent_headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }

    /// The record with `headers`, which come from [`OwnedRecord::lent_headers`].
    pub fn lend<'a>(&'a self, headers: &'a [Header<'a>]) -> NewRecord<'a> {
        NewRecord {
            topic: &self.topic,
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
        }
    }
}

/// Sees every record (Java: `ProducerInterceptor`). With one, a record is copied on its way in. One that panics is logged,
/// and stops nobody.
///
/// ```
/// use client::error::ClientError;
/// use client::producer::{Interceptor, OwnedRecord, RecordMetadata};
///
/// struct Stamp;
///
/// impl Interceptor for Stamp {
///     fn on_send(&self, record: &mut OwnedRecord) {
///         record.headers.push(("by".to_owned(), Some(b"billing".to_vec())));
///     }
///     fn on_acknowledgement(&self, topic: &str, result: &Result<RecordMetadata, ClientError>) {
///         println!("{topic}: {result:?}");
///     }
/// }
/// ```
pub trait Interceptor: Send + Sync {
    /// Before it is sent; changes count.
    fn on_send(&self, record: &mut OwnedRecord);
    /// After it was written or given up; for one that never came into a batch, at once. The time is that of the append,
    /// -1 where the topic keeps the producer's.
    fn on_acknowledgement(&self, topic: &str, result: &Result<RecordMetadata, ClientError>);
}

/// What an application puts in.
///
/// ```
/// use std::sync::Arc;
///
/// use client::config::ProducerConfig;
/// use client::metadata::Cluster;
/// use client::producer::{Interceptor, Plugins, Producer};
///
/// fn watched(own: Arc<dyn Interceptor>) -> Producer {
///     let plugins = Plugins { partitioner: None, interceptors: vec![own] };
///     Producer::with_plugins(Cluster::new("localhost:9092"), ProducerConfig::default(), plugins)
/// }
/// ```
#[derive(Clone, Default)]
pub struct Plugins {
    /// In place of keys and stickiness.
    pub partitioner: Option<Arc<dyn Partitioner>>,
    /// In this order.
    pub interceptors: Vec<Arc<dyn Interceptor>>,
}

impl Plugins {
    pub(super) fn sent(&self, record: &mut OwnedRecord) {
        self.each("on_send", |own| own.on_send(record));
    }

    pub(super) fn acknowledged(&self, topic: &str, result: &Result<RecordMetadata, ClientError>) {
        self.each("on_acknowledgement", |own| own.on_acknowledgement(topic, result));
    }

    /// The sender, within which most of these calls are made, outlives them (Java: `ProducerInterceptors`, which catches).
    fn each(&self, call: &str, mut tell: impl FnMut(&dyn Interceptor)) {
        for own in &self.interceptors {
            if catch_unwind(AssertUnwindSafe(|| tell(&**own))).is_err() {
                tracing::warn!(call, "an interceptor panicked");
            }
        }
    }
}
