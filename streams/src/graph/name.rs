//! Names of nodes and stores, with Java's one counter for both.
//! Called by every operator of `dsl`, in exactly Java's order: changelogs and repartition topics are named by the numbers.

use super::Graph;
use crate::error::TopologyError;

impl Graph {
    /// `prefix` and the next number.
    pub(crate) fn new_name(&mut self, prefix: &str) -> String {
        let number = self.next_name;
        self.next_name += 1;
        format!("{prefix}{number:010}")
    }

    /// The name of a store that the user gave none.
    pub(crate) fn new_store_name(&mut self, prefix: &str) -> String {
        self.new_name(&format!("{prefix}STATE-STORE-"))
    }

    /// The given name, or a new one. A number is used up either way, so that a name given later shifts no other
    /// (NamedInternal.orElseGenerateWithPrefix).
    pub(crate) fn name_or(&mut self, given: Option<&str>, prefix: &str) -> String {
        let generated = self.new_name(prefix);
        match given {
            Some(name) => self.checked(name),
            None => generated,
        }
    }

    /// The given name with a suffix, or a new one; uses up a number either way.
    pub(crate) fn suffixed_or(&mut self, given: Option<&str>, suffix: &str, prefix: &str) -> String {
        let generated = self.new_name(prefix);
        match given {
            Some(name) => self.checked(&format!("{name}{suffix}")),
            None => generated,
        }
    }

    /// Names become parts of topic names, so they follow the rules of those (Named.validate).
    pub(crate) fn checked(&mut self, name: &str) -> String {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let illegal = name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.bytes().all(legal);
        if illegal {
            self.fail(TopologyError::IllegalName(name.to_owned()));
        }
        name.to_owned()
    }
}
