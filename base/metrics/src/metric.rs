//! A row of a table of metrics.

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows; its name ends in `_total` on the page.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Durations, in seconds.
    Histogram,
}

/// A metric. Names follow `<component>_<noun>_<unit>`; a counter's row leaves out `_total`.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, without `_total`.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Names of its labels; the set is closed.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
    /// Kafka's name for the same number, empty where Kafka has none; `{label}` stands for a label's value.
    pub mbean: &'static str,
}

impl Metric {
    /// The name as it stands on the page.
    pub fn page_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}
