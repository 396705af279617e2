//! What each broker hands out itself (ids, epochs, sessions): learnt from its answers under a name that is the same
//! for both, filled into later requests, and put back into names before answers are compared.

use std::collections::HashMap;

use crate::value::Value;

/// A thing that a broker told us.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The id of a topic.
    TopicId(String),
    /// The producer id of a transactional id, or of the plain producer "".
    ProducerId(String),
    /// Its epoch.
    ProducerEpoch(String),
    /// The member of a group.
    Member(String),
    /// The generation of a group.
    Generation(String),
    /// The fetch session of a connection.
    Session(u8),
    /// Its next epoch.
    SessionEpoch(u8),
}

/// Under which name a connection's member of a group is remembered, or its producer without a transactional id ("").
pub fn label(name: &str, connection: u8) -> String {
    if connection == 0 { name.to_owned() } else { format!("{name}@{connection}") }
}

impl Slot {
    /// What a client sends before it was told.
    fn unknown(&self) -> Value {
        match self {
            // Not the nil id: several of those in one Fetch end in an exception in Java.
            Slot::TopicId(_) => Value::Uuid([9; 16]),
            Slot::ProducerId(_) | Slot::ProducerEpoch(_) | Slot::Generation(_) | Slot::SessionEpoch(_) => {
                Value::Int(-1)
            }
            Slot::Member(_) => Value::Text(String::new()),
            Slot::Session(_) => Value::Int(0),
        }
    }
}

/// What one broker told.
#[derive(Default, Debug)]
pub struct Learnt {
    now: HashMap<Slot, Value>,
    names: HashMap<String, String>,
    counts: HashMap<Slot, usize>,
}

impl Learnt {
    /// Remembers `value`.
    pub fn learn(&mut self, slot: Slot, value: Value) {
        if self.now.get(&slot) == Some(&value) {
            return;
        }
        let is_name = matches!(slot, Slot::TopicId(_) | Slot::ProducerId(_) | Slot::Member(_) | Slot::Session(_));
        if is_name && value != slot.unknown() {
            let count = self.counts.entry(slot.clone()).or_insert(0);
            *count += 1;
            let name = format!("<{slot:?} {count}>");
            self.names.insert(key_of(kind_of(&slot), &value), name);
        }
        self.now.insert(slot, value);
    }

    /// What a request has to say.
    pub fn value(&self, slot: &Slot) -> Value {
        self.now.get(slot).cloned().unwrap_or_else(|| slot.unknown())
    }

    /// The name under which `value` is known; `kind` is the field's name, which tells numbers apart.
    pub fn name_of(&self, kind: &str, value: &Value) -> Option<&str> {
        self.names.get(&key_of(kind, value)).map(String::as_str)
    }

    /// `text` with every known id in it replaced by its name.
    pub fn renamed(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (id, name) in self.names.iter().filter(|(id, _)| id.len() >= 20 && !id.contains(' ')) {
            out = out.replace(id.as_str(), name);
        }
        out
    }

    /// The tree with every learnt value filled in.
    pub fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Learnt(slot) => self.value(slot),
            Value::Batch(batch) => Value::Bytes(batch.encode(self)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.resolve(item)).collect()),
            Value::Struct(fields) => {
                Value::Struct(fields.iter().map(|(name, field)| (*name, self.resolve(field))).collect())
            }
            other => other.clone(),
        }
    }
}

/// Whose number it is.
fn kind_of(slot: &Slot) -> &'static str {
    match slot {
        Slot::Session(_) => "SessionId",
        _ => "ProducerId",
    }
}

/// How a value stands in texts: ids in Java's form.
fn key_of(kind: &str, value: &Value) -> String {
    match value {
        Value::Uuid(id) => base64(id),
        Value::Text(text) => text.clone(),
        Value::Int(number) => format!("{kind} {number}"),
        other => format!("{other:?}"),
    }
}

/// Java's `Uuid.toString`: base64 for addresses, without padding.
fn base64(id: &[u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u128::from_be_bytes(*id);
    let mut text: String = (0..21).map(|digit| DIGITS[(bits >> (122 - 6 * digit) & 63) as usize] as char).collect();
    text.push(DIGITS[((bits & 3) << 4) as usize] as char);
    text
}
