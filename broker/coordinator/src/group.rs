//! Classic groups and the offsets of all groups.
