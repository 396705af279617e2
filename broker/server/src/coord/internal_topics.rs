//! The topics that coordinators keep their state in.

/// Offsets and groups.
pub const OFFSETS: &str = "__consumer_offsets";
/// Transactions.
pub const TRANSACTIONS: &str = "__transaction_state";
/// Share groups (the topic is protected even where they are not served).
pub const SHARE_STATE: &str = "__share_group_state";

/// Whether clients may not write to the topic (Java: `Topic.isInternal`).
pub fn is_internal(topic: &str) -> bool {
    matches!(topic, OFFSETS | TRANSACTIONS | SHARE_STATE)
}
