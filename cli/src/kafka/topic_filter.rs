//! Lists of names or patterns as the tools take them (Java: `TopicFilter.IncludeList`): commas separate alternatives,
//! each a regular expression that has to match the whole name.

use regex::Regex;

use crate::Ended;

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

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_broken_pattern_is_named() {
        assert!(matches!(IncludeList::new("a("), Err(Ended::Failed(line)) if line.contains("a(")));
    }
}
