//! Metrics: tables of rows, handles that record without a lookup, one text page.
//!
//! Each crate keeps its rows as a `const METRICS: &[Metric]` and takes handles once, when the thing measured comes
//! into being (a topic, a listener, an API). Never here: what is measured.

/// A row: name, kind, labels, help, Kafka's MBean.
pub mod metric;
/// Kafka's MBean names as Prometheus names.
pub mod mbean;
/// Durations in buckets.
pub mod histogram;
/// Series by row and label values; the text page.
pub mod registry;
/// A text page of values that are known only when somebody looks.
pub mod page;
/// What applications of streams tell, by Java's names.
pub mod table_streams;
/// What the system says about this process.
pub mod process;

pub use histogram::Histogram;
pub use metric::{Kind, Metric};
pub use registry::{Counter, Gauge, Registry, Samples};
