//! What keeps a service observable while it lives: health and metrics.

/// Port 9404: /health/live, /health/ready, /metrics.
pub mod admin_http;
/// The rows of the broker's metrics and handles on them.
pub mod metrics;
/// What is measured at each scrape.
pub mod measure;
