//! Every configuration key of Apache Kafka 4.3 as tables, and what is made of them.
//!
//! The same row serves parsing, validation, DescribeConfigs, AlterConfigs and the docs. Never here: what a key
//! does; that is where it is read.

/// A row: name, type, default, validator, and how it may change.
pub mod key;
/// The broker keys.
pub mod table_broker;
/// The topic keys.
pub mod table_topic;
/// The keys of groups and of client-metrics subscriptions, and the broker keys that no file may set.
pub mod table_group;
/// The keys of clients.
pub mod table_client;
/// The keys of Kafka Streams applications.
pub mod table_streams;
/// Whether a text is a legal value of a key.
pub mod valid;
/// Durations as Java writes them.
pub mod iso_duration;
/// Properties files and `key=value` arguments.
pub mod parse;
/// Which of several places a value comes from.
pub mod resolve;
/// Which changes a running broker takes.
pub mod dynamic;
/// Which keys change nothing in this broker, and why.
pub mod effect;
/// Which keys change nothing in the client library, and why.
pub mod effect_client;
// Keys of streams that change nothing, and why.
pub mod effect_streams;
/// Pages of documentation made of the tables.
pub mod docs;
/// Addresses to listen on and to advertise.
pub mod listener;
/// The broker's keys as typed fields.
pub mod broker;

pub use broker::BrokerConfig;
pub use key::{Fallback, Importance, Key, Kind, Synonym, Update, Valid};
pub use parse::ConfigError;
