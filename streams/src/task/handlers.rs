//! Closures of the user that decide about records that fail, in place of classes named in settings.
//! Held by `KafkaStreams`, whose setters fill them, and given to the test driver; asked on the stream threads. Never asked
//! about what worked.

use std::fmt;
use std::sync::Arc;

use super::errors::{
    DeserializationHandler, ErrorContext, ProcessingHandler, ProductionContext, ProductionHandler, Response,
};

/// Closures that decide about records that fail; what has none is decided by the settings.
///
/// ```
/// use streams::{Handlers, Response};
///
/// let handlers = Handlers::new().on_processing(|about| {
///     eprintln!("{} failed in {}: {}", about.place, about.node, about.error);
///     Response::Continue
/// });
/// # let _ = handlers;
/// ```
#[derive(Clone, Default)]
pub struct Handlers {
    pub(crate) deserialization: Option<DeserializationHandler>,
    pub(crate) processing: Option<ProcessingHandler>,
    pub(crate) production: Option<ProductionHandler>,
}

impl Handlers {
    /// No closures.
    pub fn new() -> Handlers {
        Handlers::default()
    }

    /// Decides about a record that is no key or value of its type (`deserialization.exception.handler`).
    #[must_use]
    pub fn on_deserialization(
        self,
        decide: impl Fn(&ErrorContext<'_>) -> Response + Send + Sync + 'static,
    ) -> Handlers {
        Handlers { deserialization: Some(Arc::new(decide)), ..self }
    }

    /// Decides about a record whose processing failed (`processing.exception.handler`).
    #[must_use]
    pub fn on_processing(self, decide: impl Fn(&ErrorContext<'_>) -> Response + Send + Sync + 'static) -> Handlers {
        Handlers { processing: Some(Arc::new(decide)), ..self }
    }

    /// Decides about a record that cannot be sent (`production.exception.handler`).
    #[must_use]
    pub fn on_production(
        self,
        decide: impl Fn(&ProductionContext<'_>) -> Response + Send + Sync + 'static,
    ) -> Handlers {
        Handlers { production: Some(Arc::new(decide)), ..self }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Handlers")
    }
}
