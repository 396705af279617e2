//! The processor API: the user's own processors.
//! Given to `process` and `process_values`; made once a task. Never shared between tasks.
//! Not done: stores and timers in the context, which come with the task runtime.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::record::{Data, Record};
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Operator, Process, ProcessResult};

/// A processor of the user.
pub trait Processor: 'static {
    /// Key and value of the records it takes.
    type In: Pair;
    /// Key and value of the records it hands on.
    type Out: Pair;

    /// Takes one record; `next.forward` hands records on.
    fn process(
        &mut self,
        record: Record<Key<Self::In>, Value<Self::In>>,
        next: &mut Children<Key<Self::Out>, Value<Self::Out>>,
        context: &mut Context,
    ) -> ProcessResult;
}

/// A key and a value.
pub trait Pair {
    /// The key.
    type Key: Data;
    /// The value.
    type Value: Data;
}

impl<K: Data, V: Data> Pair for (K, V) {
    type Key = K;
    type Value = V;
}

/// The key of a pair.
pub type Key<P> = <P as Pair>::Key;
/// The value of a pair.
pub type Value<P> = <P as Pair>::Value;

struct Custom<F, P> {
    make: Arc<F>,
    types: PhantomData<fn() -> P>,
}

struct Running<P: Processor> {
    processor: P,
    children: Children<Key<P::Out>, Value<P::Out>>,
}

/// The operator that makes the user's processor for each task.
pub(crate) fn custom<P: Processor>(make: impl Fn() -> P + Send + Sync + 'static) -> Arc<dyn Operator> {
    Arc::new(Custom { make: Arc::new(make), types: PhantomData::<fn() -> P> })
}

impl<F: Fn() -> P + Send + Sync + 'static, P: Processor> Operator for Custom<F, P> {
    fn name(&self) -> &'static str {
        "processor"
    }

    fn link(&self, children: Vec<AnyLink>) -> Result<AnyLink, LinkError> {
        let running = Running { processor: (self.make)(), children: Children::typed(children)? };
        Ok(AnyLink::new::<Key<P::In>, Value<P::In>>(running))
    }
}

impl<P: Processor> Process<Key<P::In>, Value<P::In>> for Running<P> {
    fn process(&mut self, record: Record<Key<P::In>, Value<P::In>>, context: &mut Context) -> ProcessResult {
        self.processor.process(record, &mut self.children, context)
    }
}
