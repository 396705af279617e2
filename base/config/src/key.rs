//! A row of a table of keys.

use std::fmt;

/// Type of a value, by the names of Java's `ConfigDef.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true or false
    Boolean,
    /// Text.
    String,
    /// 32 bits, signed.
    Int,
    /// 16 bits, signed.
    Short,
    /// 64 bits, signed.
    Long,
    /// Floating point.
    Double,
    /// Comma-separated texts.
    List,
    /// Name of a Java class; kept as a text here.
    Class,
    /// A text that is never shown.
    Password,
}

impl Kind {
    /// The number of DescribeConfigs v3 (Java: `DescribeConfigsResponse.ConfigType`).
    pub fn wire(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        })
    }
}

/// What a key is worth where nobody set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set.
    Required,
    /// Nothing.
    Null,
    /// This text.
    Value(&'static str),
}

/// What a legal value satisfies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// Anything of the kind.
    Any,
    /// A number from here on.
    AtLeast(i64),
    /// A number in this range, both ends included.
    Between(i64, i64),
    /// The same, or one number outside it.
    BetweenOr(i64, i64, i64),
    /// A floating point number in this range.
    Fraction(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in any case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// A list of these texts.
    ListOf(&'static [&'static str]),
    /// At least one of these texts.
    SomeOf(&'static [&'static str]),
    /// A list of texts, none of them empty.
    Items,
    /// A list of at least one text, none of them empty.
    SomeItems,
    /// A list of `id@host:port`.
    Voters,
    /// A list of `host:port`.
    HostPorts,
    /// A text of at least one character.
    NonEmpty,
    /// Not null.
    NonNull,
    /// `partition:broker` pairs, or `*`.
    ThrottledReplicas,
    /// earliest, latest, none or by_duration:ISO-8601.
    OffsetReset,
    /// earliest, latest or by_duration:ISO-8601.
    ShareOffsetReset,
}

/// Kafka's own ranking of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Set it with care on every cluster.
    High,
    /// Worth knowing.
    Medium,
    /// Rarely touched.
    Low,
}

/// How a broker key may change while the broker runs (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// On one broker.
    PerBroker,
    /// On one broker or as the cluster's default.
    ClusterWide,
}

/// A broker key that a topic key takes its default from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// What its value is multiplied by (hours or minutes to milliseconds).
    pub factor: i64,
}

/// A configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// What it is worth where nobody set it.
    pub fallback: Fallback,
    /// What a legal value satisfies.
    pub valid: Valid,
    /// Kafka's ranking.
    pub importance: Importance,
    /// How it may change.
    pub update: Update,
    /// Whether Kafka hides it from its documentation.
    pub internal: bool,
    /// Topic keys: the broker keys its default comes from, first wins.
    pub synonyms: &'static [Synonym],
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// Whether its value is never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// The default as a text, `None` where it is null or required.
    pub fn default_value(&self) -> Option<&'static str> {
        match self.fallback {
            Fallback::Value(value) => Some(value),
            Fallback::Null | Fallback::Required => None,
        }
    }
}

/// The row of `name`.
pub fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}
