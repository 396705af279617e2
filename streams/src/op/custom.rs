//! The processor API: the user's own processors.
//! Given to `process` and `process_values`; made once a task. Never shared between tasks.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::record::{Data, Record};
pub use crate::task::link::Setup;
use crate::task::link::Timed;
use crate::task::timers::Timer;
use crate::topology::processor::{
    AnyLink, Children, Context, LinkError, Linking, Nothing, Operator, Process, ProcessResult,
};

/// A processor of the user.
pub trait Processor: 'static {
    /// Key and value of the records it takes.
    type In: Pair;
    /// Key and value of the records it hands on.
    type Out: Pair;

    /// Called once, before the first record: takes its stores and sets timers.
    fn init(&mut self, setup: &mut Setup<'_>) -> Result<(), LinkError> {
        let _ = setup;
        Ok(())
    }

    /// Takes one record; `next.forward` hands records on.
    fn process(
        &mut self,
        record: Record<Key<Self::In>, Value<Self::In>>,
        next: &mut Children<Key<Self::Out>, Value<Self::Out>>,
        context: &mut Context,
    ) -> ProcessResult;

    /// A timer fired, at this time by its clock.
    fn punctuate(
        &mut self,
        timer: Timer,
        timestamp: i64,
        next: &mut Children<Key<Self::Out>, Value<Self::Out>>,
        context: &mut Context,
    ) -> ProcessResult {
        let _ = (timer, timestamp, next, context);
        Ok(())
    }

    /// Called once, after the last record.
    fn close(&mut self) {}
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
    number: usize,
}

/// The operator that makes the user's processor for each task.
pub(crate) fn custom<P: Processor>(make: impl Fn() -> P + Send + Sync + 'static) -> Arc<dyn Operator> {
    Arc::new(Custom { make: Arc::new(make), types: PhantomData::<fn() -> P> })
}

impl<F: Fn() -> P + Send + Sync + 'static, P: Processor> Operator for Custom<F, P> {
    fn name(&self) -> &'static str {
        "processor"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        if !linking.makes_processors {
            Children::<Key<P::Out>, Value<P::Out>>::typed(children)?;
            return Ok(AnyLink::new::<Key<P::In>, Value<P::In>>(Nothing));
        }
        let running = Running { processor: (self.make)(), children: Children::typed(children)?, number: 0 };
        let shared = Rc::new(RefCell::new(running));
        let number = linking.add_timed(Rc::clone(&shared) as Rc<dyn Timed>);
        shared.borrow_mut().number = number;
        Ok(AnyLink::shared::<Key<P::In>, Value<P::In>>(shared))
    }
}

impl<P: Processor> Process<Key<P::In>, Value<P::In>> for Running<P> {
    fn process(&mut self, record: Record<Key<P::In>, Value<P::In>>, context: &mut Context) -> ProcessResult {
        let timed = context.timed.replace(self.number);
        let timestamp = std::mem::replace(&mut context.timestamp, record.timestamp);
        // An empty list has no allocation.
        let headers = std::mem::replace(&mut context.headers, record.headers.clone());
        let done = self.processor.process(record, &mut self.children, context);
        (context.timed, context.timestamp, context.headers) = (timed, timestamp, headers);
        done
    }
}

impl<P: Processor> Timed for RefCell<Running<P>> {
    fn init(&self, setup: &mut Setup<'_>) -> Result<(), LinkError> {
        self.borrow_mut().processor.init(setup)
    }

    fn punctuate(&self, timer: Timer, timestamp: i64, context: &mut Context) -> ProcessResult {
        let running = &mut *self.borrow_mut();
        context.timed = Some(running.number);
        context.timestamp = timestamp;
        context.headers.clear();
        let done = running.processor.punctuate(timer, timestamp, &mut running.children, context);
        context.timed = None;
        done
    }

    fn close(&self) {
        self.borrow_mut().processor.close();
    }
}
