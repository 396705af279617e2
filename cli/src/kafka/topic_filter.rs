//! Lists of names or patterns as the tools take them (Java: `TopicFilter.IncludeList`): commas separate alternatives,
//! each a regular expression that has to match the whole name. And what the tools that consume take in its place: one
//! pattern, which the consumer itself follows.

use client::consumer::Consumer;
use client::error::ClientError;
use regex::Regex;

use crate::Ended;
use crate::kafka::options::Given;

/// Topics that brokers make for themselves (Java: `Topic.INTERNAL_TOPICS`).
pub const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// A list to match names with.
pub struct IncludeList(Regex);

impl IncludeList {
    /// Reads a list.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn new(list: &str) -> Result<Self, Ended> {
        let quotes = ['"', '\''];
        let alternatives = list.trim().replace(',', "|").replace(' ', "");
        let alternatives = alternatives.trim_matches(quotes);
        Regex::new(&format!("^(?:{alternatives})$"))
            .map(IncludeList)
            .map_err(|_| Ended::Failed(format!("{alternatives} is an invalid regex.")))
    }

    /// Whether a topic is in the list.
    pub fn allows(&self, topic: &str, exclude_internal: bool) -> bool {
        self.0.is_match(topic) && !(exclude_internal && INTERNAL_TOPICS.contains(&topic))
    }
}

/// Subscribes to the topic of `--topic`, or to all that match the pattern of `--include`, those made later too. As with
/// Apache's consumers the pattern is one regular expression, commas included, and internal topics match only where
/// `exclude.internal.topics` is false.
///
/// # Errors
/// When the pattern is none, or the consumer has no group.
pub fn subscribe(consumer: &mut Consumer, given: &Given) -> Result<(), Ended> {
    let subscribed = match given.one("include")? {
        Some(pattern) => consumer.subscribe_pattern(pattern),
        None => consumer.subscribe(&[given.one("topic")?.unwrap_or_default()]),
    };
    subscribed.map_err(|error| match (error, given.one("include")) {
        (ClientError::Config(_), Ok(Some(pattern))) => Ended::Failed(format!("{pattern} is an invalid regex.")),
        (error, _) => Ended::Failed(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use client::config::ConsumerConfig;
    use client::metadata::Cluster;

    use super::*;

    #[test]
    fn commas_are_alternatives_and_names_match_whole() {
        let list = IncludeList::new(" 'a, b.*' ").unwrap();
        assert!(list.allows("a", false) && list.allows("bcd", false));
        assert!(!list.allows("ab", false) && !list.allows("xb", false));
    }

    #[test]
    fn internal_topics_are_left_out_when_asked() {
        let list = IncludeList::new(".*").unwrap();
        assert!(list.allows("__consumer_offsets", false));
        assert!(!list.allows("__consumer_offsets", true));
    }

    /// What a consumer knows to read once it was told what the flags name; it never asks anybody.
    fn subscribed(words: [&str; 2]) -> Result<Vec<String>, Ended> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let given = crate::kafka::console_consumer::options().read(&words.map(str::to_owned))?;
            let config = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
            let mut consumer = Consumer::new(Cluster::new("127.0.0.1:1"), config);
            subscribe(&mut consumer, &given)?;
            Ok(consumer.subscription())
        })
    }

    #[test]
    fn a_pattern_is_followed_and_a_topic_is_named() {
        assert_eq!(subscribed(["--topic", "a,b"]).unwrap(), ["a,b"]);
        // Which topics match is found with fresh metadata, again and again.
        assert!(subscribed(["--include", "a.*"]).unwrap().is_empty());
        assert!(
            matches!(subscribed(["--include", "a("]), Err(Ended::Failed(line)) if line == "a( is an invalid regex.")
        );
    }

    #[test]
    fn a_broken_pattern_is_named() {
        assert!(matches!(IncludeList::new("a("), Err(Ended::Failed(line)) if line.contains("a(")));
    }
}
