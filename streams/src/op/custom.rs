//! The processor API: the user's own processors.
//! Given to `process` and `process_values`; made once a task. Never shared between tasks.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::record::{Data, Record};
use crate::store::token::{StoreId, StoreRef, StoreType};
use crate::task::errors::TaskError;
use crate::task::link::Timed;
use crate::task::timers::{PunctuationType, Timer};
use crate::task::{Origin, panics};
use crate::topology::processor::{
    AnyLink, Children, Context, LinkError, Linking, Nothing, Operator, Process, ProcessResult,
};

/// A processor of the user.
///
/// ```
/// use std::time::Duration;
/// use streams::prelude::*;
///
/// /// Lets each key through once an hour.
/// struct Dedup {
///     seen: StoreRef<KeyValue<String, i64>>,
/// }
///
/// impl Processor for Dedup {
///     type In = (String, String);
///     type Out = (String, String);
///
///     fn init(&mut self, ctx: &mut Ctx<'_, Self>) -> ProcessResult {
///         ctx.schedule(Duration::from_secs(30), PunctuationType::WallClock);
///         Ok(())
///     }
///
///     fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Record<String, String>) -> ProcessResult {
///         let Some(key) = record.key.clone() else { return Ok(()) };
///         let seen = ctx.store(self.seen);
///         if seen.put_if_absent(&key, record.timestamp)?.is_none() {
///             ctx.forward(record)?;
///         }
///         Ok(())
///     }
///
///     fn punctuate(&mut self, ctx: &mut Ctx<'_, Self>, _timer: Timer, now: i64) -> ProcessResult {
///         let seen = ctx.store(self.seen);
///         seen.retain(|_, at| *at >= now - 3_600_000)
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let seen = builder.add_store(Stores::key_value::<String, i64>("seen"));
/// builder.stream::<String, String>("in").process([seen], move || Dedup { seen }).to("out");
/// let topology = builder.build()?;
/// # Ok::<(), streams::TopologyError>(())
/// ```
pub trait Processor: Sized + 'static {
    /// Key and value of the records it takes.
    type In: Pair;
    /// Key and value of the records it hands on.
    type Out: Pair;

    /// Called once, before the first record: sets timers.
    fn init(&mut self, ctx: &mut Ctx<'_, Self>) -> ProcessResult {
        let _ = ctx;
        Ok(())
    }

    /// Takes one record; `ctx.forward` hands records on.
    fn process(&mut self, ctx: &mut Ctx<'_, Self>, record: Record<Key<Self::In>, Value<Self::In>>) -> ProcessResult;

    /// A timer fired, at this time by its clock.
    fn punctuate(&mut self, ctx: &mut Ctx<'_, Self>, timer: Timer, now: i64) -> ProcessResult {
        let _ = (ctx, timer, now);
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
/// The nodes below a processor.
type Next<P> = Children<Key<<P as Processor>::Out>, Value<<P as Processor>::Out>>;

/// A store that is connected to a processor, or a global one.
pub(crate) struct Connected {
    pub(crate) name: String,
    /// The number that the builder gave it.
    pub(crate) number: Option<usize>,
    pub(crate) store: Rc<dyn Any>,
}

/// What a processor sees while it is called: its stores, the nodes below it, the record's origin, times and timers.
pub struct Ctx<'a, P: Processor> {
    node: &'a str,
    stores: &'a [Connected],
    children: &'a mut Next<P>,
    context: &'a mut Context,
}

impl<P: Processor> Ctx<'_, P> {
    /// A store that is connected to this processor, or a global one.
    ///
    /// # Panics
    /// If it is neither, or of another type: this ends the task, whatever the handlers say.
    pub fn store<T: StoreType>(&mut self, store: StoreRef<T>) -> T::Lent<'_> {
        lent(self.node, self.stores, store, self.context)
    }

    /// Hands a record to all nodes below.
    pub fn forward(&mut self, record: Record<Key<P::Out>, Value<P::Out>>) -> ProcessResult {
        self.children.forward(record, self.context)
    }

    /// Hands a record to the node below that has this name.
    pub fn forward_to(&mut self, child: &str, record: Record<Key<P::Out>, Value<P::Out>>) -> ProcessResult {
        match self.children.place(child) {
            Some(place) => self.children.forward_to(place, record, self.context),
            None => Err(format!("unknown downstream node: {child} is no child of {}", self.node).into()),
        }
    }

    /// Sets a timer: `punctuate` is called each time it fires. One of stream time first fires with the first record, one of
    /// the wall clock after an interval.
    pub fn schedule(&mut self, interval: Duration, clock: PunctuationType) -> Timer {
        self.context.set_timer(clock, interval, None)
    }

    /// Sets a timer that fires at `start_ms` since 1970, and whole intervals later.
    pub fn schedule_from(&mut self, start_ms: i64, interval: Duration, clock: PunctuationType) -> Timer {
        self.context.set_timer(clock, interval, Some(start_ms))
    }

    /// Stops a timer.
    pub fn cancel(&mut self, timer: Timer) {
        self.context.cancel(timer);
    }

    /// Where the record was read: its topic, partition and offset; none of them while a timer runs.
    pub fn origin(&self) -> &Origin {
        self.context.origin()
    }

    /// The largest time of a record of this task so far; -1 before the first.
    pub fn stream_time(&self) -> i64 {
        self.context.stream_time()
    }

    /// The time of day, in ms since 1970, as of the start of this record or timer.
    pub fn wall_clock(&self) -> i64 {
        self.context.wall_clock()
    }

    /// `application.id`.
    pub fn application_id(&self) -> &str {
        &self.context.settings().application_id
    }

    /// Asks for a commit soon.
    pub fn commit(&mut self) {
        self.context.request_commit();
    }
}

/// A store of those that a processor or transformer is connected to.
pub(crate) fn lent<'a, T: StoreType>(
    node: &str,
    stores: &'a [Connected],
    store: StoreRef<T>,
    context: &'a mut Context,
) -> T::Lent<'a> {
    let is_meant = |connected: &&Connected| match store.id() {
        StoreId::Added(number) => connected.number == Some(number),
        StoreId::Named(name) => connected.name == name,
    };
    let Some(found) = stores.iter().find(is_meant) else {
        panics::stop(TaskError::Broken(format!(
            "{node} has no access to store {:?}: it must be added, and given to process",
            store.id()
        )));
    };
    let Some(typed) = found.store.downcast_ref::<RefCell<T::Store>>() else {
        let is = std::any::type_name::<T>();
        panics::stop(TaskError::Broken(format!("{node}: store {} is no {is}", found.name)));
    };
    T::lend(typed, context)
}

struct Custom<F, P> {
    make: Arc<F>,
    types: PhantomData<fn() -> P>,
}

struct Running<P: Processor> {
    node: Rc<str>,
    processor: P,
    children: Next<P>,
    stores: Vec<Connected>,
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
        let children: Next<P> = Children::typed(children)?;
        if !linking.makes_processors {
            return Ok(AnyLink::new::<Key<P::In>, Value<P::In>>(Nothing));
        }
        let (node, processor) = (Rc::clone(linking.node()), (self.make)());
        let running = Running { node, processor, children, stores: linking.connected(), number: 0 };
        let shared = Rc::new(RefCell::new(running));
        let number = linking.add_timed(Rc::clone(&shared) as Rc<dyn Timed>);
        shared.borrow_mut().number = number;
        Ok(AnyLink::shared::<Key<P::In>, Value<P::In>>(shared))
    }
}

impl<P: Processor> Running<P> {
    fn parts<'a>(&'a mut self, context: &'a mut Context) -> (&'a mut P, Ctx<'a, P>) {
        let ctx = Ctx { node: &self.node, stores: &self.stores, children: &mut self.children, context };
        (&mut self.processor, ctx)
    }
}

impl<P: Processor> Process<Key<P::In>, Value<P::In>> for Running<P> {
    fn process(&mut self, record: Record<Key<P::In>, Value<P::In>>, context: &mut Context) -> ProcessResult {
        let timed = context.timed.replace(self.number);
        let timestamp = std::mem::replace(&mut context.timestamp, record.timestamp);
        // An empty list has no allocation.
        let headers = std::mem::replace(&mut context.headers, record.headers.clone());
        let (processor, mut ctx) = self.parts(context);
        let done = processor.process(&mut ctx, record);
        (context.timed, context.timestamp, context.headers) = (timed, timestamp, headers);
        done
    }
}

impl<P: Processor> Timed for RefCell<Running<P>> {
    fn init(&self, context: &mut Context) -> ProcessResult {
        let running = &mut *self.borrow_mut();
        context.timed = Some(running.number);
        let (processor, mut ctx) = running.parts(context);
        let done = processor.init(&mut ctx);
        context.timed = None;
        done
    }

    fn punctuate(&self, timer: Timer, timestamp: i64, context: &mut Context) -> ProcessResult {
        let running = &mut *self.borrow_mut();
        context.timed = Some(running.number);
        context.timestamp = timestamp;
        context.headers.clear();
        let (processor, mut ctx) = running.parts(context);
        let done = processor.punctuate(&mut ctx, timer, timestamp);
        context.timed = None;
        done
    }

    fn close(&self) {
        self.borrow_mut().processor.close();
    }
}
