//! Metadata records and their bytes.
