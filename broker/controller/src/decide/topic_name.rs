//! Names that a topic may have (Java: `Topic`).

use std::collections::HashSet;

use crate::image::Image;
use crate::refusal::Refusal;
use millstream_protocol::error_code::ErrorCode;

/// Topics that only the broker itself writes to.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

const LENGTH_MAX: usize = 249;

/// Whether the topic is one of Kafka's own.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Refuses a name that no topic may have.
///
/// # Errors
/// INVALID_TOPIC_EXCEPTION with Apache's message.
pub fn validate(name: &str) -> Result<(), Refusal> {
    match reason_invalid(name) {
        None => Ok(()),
        Some(reason) => Err(Refusal::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}"))),
    }
}

/// Whether a topic may have that name.
pub fn is_valid(name: &str) -> bool {
    reason_invalid(name).is_none()
}

fn reason_invalid(name: &str) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        Some("the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Some(format!("'{name}' is not allowed"))
    } else if name.encode_utf16().count() > LENGTH_MAX {
        Some(format!("the length of '{name}' is longer than the max allowed length {LENGTH_MAX}"))
    } else if !name.bytes().all(legal) {
        Some(format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"))
    } else {
        None
    }
}

/// Names that become one when `.` and `_` are the same, which they are in metric names.
pub(crate) struct Collisions<'a> {
    image: &'a Image,
    unified: Option<HashSet<String>>,
}

impl<'a> Collisions<'a> {
    pub(crate) fn new(image: &'a Image) -> Self {
        Collisions { image, unified: None }
    }

    /// An existing topic whose name collides with `name`. The set of names is made on the first call that needs
    /// it, so a request of thousands of plain names costs nothing.
    pub(crate) fn find(&mut self, name: &str) -> Option<String> {
        if !name.contains(['.', '_']) {
            return None;
        }
        let wanted = unify(name);
        let image = self.image;
        let unified = self.unified.get_or_insert_with(|| {
            let named = image.topics().map(|topic| &*topic.name);
            named.filter(|name| name.contains(['.', '_'])).map(unify).collect()
        });
        if !unified.contains(&wanted) {
            return None;
        }
        let mut colliding: Vec<_> =
            image.topics().map(|topic| &*topic.name).filter(|name| unify(name) == wanted).collect();
        colliding.sort_unstable();
        colliding.first().map(|name| (*name).to_owned())
    }
}

fn unify(name: &str) -> String {
    name.replace('.', "_")
}
