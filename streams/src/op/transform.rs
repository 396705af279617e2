//! Rows to rows of the same key by an object of the user that has stores (KTableTransformValues).
//! Given to `transform_values`; made once a task, and once more for each table that is worked out of the result without
//! keeping it. Never shared between tasks.
//! Not done: timers, which Java's `ValueTransformerWithKey` may set.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::custom::{Connected, lent};
use super::getter::{Getter, LinkedGetter, ValueGetter};
use super::keep::Keep;
use crate::record::{Change, Data, Record};
use crate::store::token::{StoreRef, StoreType};
use crate::store::{Old, Stamped};
use crate::task::link::Timed;
use crate::task::timers::Timer;
use crate::task::{Origin, errors::Failure};
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};

/// What makes the value of a row, with stores of its own (Java: `ValueTransformerWithKey`).
///
/// It is called with the row as it is and, where what follows asks for it, with the row as it was: what it answers must
/// depend on both the same way.
///
/// ```
/// use streams::prelude::*;
///
/// /// Adds how often the key was seen.
/// struct Numbered(StoreRef<KeyValue<String, i64>>);
///
/// impl ValueTransformerWithKey for Numbered {
///     type Key = String;
///     type In = String;
///     type Out = String;
///
///     fn transform(&mut self, ctx: &mut TransformerContext<'_>, key: &String, value: Option<&String>) -> Transformed<String> {
///         let Some(value) = value else { return Ok(None) };
///         let seen = ctx.store(self.0);
///         let count = seen.get(key)?.unwrap_or(0) + 1;
///         seen.put(key, count)?;
///         Ok(Some(format!("{value} {count}")))
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let seen = builder.add_store(Stores::key_value::<String, i64>("seen"));
/// let cities: KTable<String, String> = builder.table("cities", ());
/// cities.transform_values([seen], move || Numbered(seen), ()).to_stream().to("out");
///
/// let mut driver = TopologyTestDriver::new(&builder.build()?, StreamsConfig::new("app", "localhost:9092"))?;
/// let input = driver.input::<String, String>("cities");
/// for city in ["Rome", "Oslo"] {
///     input.pipe(&mut driver, "ann", city, 0)?;
/// }
/// assert_eq!(driver.output::<String, String>("out").read_map(&mut driver)["ann"], "Oslo 2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ValueTransformerWithKey: Sized + 'static {
    /// The key of the rows.
    type Key: Data;
    /// Their value.
    type In: Data;
    /// What becomes of it.
    type Out: Data;

    /// Called once, before the first row.
    fn init(&mut self, ctx: &mut TransformerContext<'_>) -> ProcessResult {
        let _ = ctx;
        Ok(())
    }

    /// The new value of a row, None for none; `value` is None where the row is deleted.
    ///
    /// # Errors
    /// Any: the processing handler decides about the record.
    fn transform(
        &mut self,
        ctx: &mut TransformerContext<'_>,
        key: &Self::Key,
        value: Option<&Self::In>,
    ) -> Transformed<Self::Out>;

    /// Called once, after the last row.
    fn close(&mut self) {}
}

/// What a transformer answers.
pub type Transformed<W> = Result<Option<W>, Failure>;

/// What a transformer sees while it is called: its stores, the record's origin and times.
pub struct TransformerContext<'a> {
    node: &'a str,
    stores: &'a [Connected],
    context: &'a mut Context,
}

impl TransformerContext<'_> {
    /// A store that is connected to this transformer, or a global one.
    ///
    /// # Panics
    /// If it is neither, or of another type: this ends the task, whatever the handlers say.
    pub fn store<T: StoreType>(&mut self, store: StoreRef<T>) -> T::Lent<'_> {
        lent(self.node, self.stores, store, self.context)
    }

    /// Where the record was read that changed the row; nowhere where a row is looked up.
    pub fn origin(&self) -> &Origin {
        self.context.origin()
    }

    /// The time of the row, in ms since 1970; -1 of none.
    pub fn timestamp(&self) -> i64 {
        self.context.timestamp
    }

    /// The largest time of a record of this task so far; -1 before the first.
    pub fn stream_time(&self) -> i64 {
        self.context.stream_time()
    }

    /// The time of day, in ms since 1970, as of the start of this record.
    pub fn wall_clock(&self) -> i64 {
        self.context.wall_clock()
    }

    /// `application.id`.
    pub fn application_id(&self) -> &str {
        &self.context.settings().application_id
    }
}

/// Makes a transformer.
pub type MakeTransformer<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// Transforms the changes of a table.
pub struct TransformValues<T> {
    /// Makes the transformer of a task.
    pub make: MakeTransformer<T>,
    /// The stores that it is connected to.
    pub connected: Vec<String>,
    /// The store of the new rows, if they are kept.
    pub store: Option<String>,
}

/// A transformer of one task, with its stores.
struct Instance<T> {
    node: Rc<str>,
    transformer: T,
    stores: Vec<Connected>,
}

impl<T: ValueTransformerWithKey> Instance<T> {
    /// Linked, and called at the start and at the end of the task; None where a topology is only checked.
    fn link(
        make: &MakeTransformer<T>,
        stores: &[String],
        linking: &mut Linking<'_>,
    ) -> Option<Rc<RefCell<Instance<T>>>> {
        if !linking.makes_processors {
            return None;
        }
        let (node, stores) = (Rc::clone(linking.node()), linking.connected_to(stores));
        let shared = Rc::new(RefCell::new(Instance { node, transformer: make(), stores }));
        linking.add_timed(Rc::clone(&shared) as Rc<dyn Timed>);
        Some(shared)
    }

    fn transform(&mut self, key: &T::Key, value: Option<&T::In>, context: &mut Context) -> Transformed<T::Out> {
        let mut ctx = TransformerContext { node: &self.node, stores: &self.stores, context };
        self.transformer.transform(&mut ctx, key, value)
    }
}

impl<T: ValueTransformerWithKey> Timed for RefCell<Instance<T>> {
    fn init(&self, context: &mut Context) -> ProcessResult {
        let instance = &mut *self.borrow_mut();
        let mut ctx = TransformerContext { node: &instance.node, stores: &instance.stores, context };
        instance.transformer.init(&mut ctx)
    }

    fn punctuate(&self, _timer: Timer, _timestamp: i64, _context: &mut Context) -> ProcessResult {
        Ok(())
    }

    fn close(&self) {
        self.borrow_mut().transformer.close();
    }
}

impl<T: ValueTransformerWithKey> Operator for TransformValues<T> {
    fn name(&self) -> &'static str {
        "table transform"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let children = Children::<T::Key, Change<T::Out>>::typed(children)?;
        let old = linking.sends_old();
        let instance = Instance::link(&self.make, &self.connected, linking);
        let target = match &self.store {
            Some(store) => Target::Kept(Keep::link(linking, store, children)?),
            None => Target::Passed(children, old),
        };
        Ok(AnyLink::new::<T::Key, Change<T::In>>(Transforming { instance, target }))
    }
}

/// Where the new rows go.
enum Target<T: ValueTransformerWithKey> {
    Kept(Keep<T::Key, T::Out>),
    Passed(Children<T::Key, Change<T::Out>>, Old),
}

struct Transforming<T: ValueTransformerWithKey> {
    instance: Option<Rc<RefCell<Instance<T>>>>,
    target: Target<T>,
}

impl<T: ValueTransformerWithKey> Process<T::Key, Change<T::In>> for Transforming<T> {
    fn process(&mut self, record: Record<T::Key, Change<T::In>>, context: &mut Context) -> ProcessResult {
        let (Some(key), Some(change), Some(instance)) = (&record.key, &record.value, &self.instance) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut context.timestamp, record.timestamp);
        let new = instance.borrow_mut().transform(key, change.new.as_ref(), context);
        let old = match &self.target {
            // Java asks the transformer about the row as it was, stores and all.
            Target::Passed(_, Old::Sent) if new.is_ok() => {
                instance.borrow_mut().transform(key, change.old.as_ref(), context)
            }
            _ => Ok(None),
        };
        context.timestamp = before;
        let (new, old, latest) = (new?, old?, change.latest);
        match &mut self.target {
            Target::Passed(children, _) => {
                children.forward(record.with_value(Some(Change { new, old, latest })), context)
            }
            Target::Kept(keep) => {
                let old = if keep.old() == Old::Sent { keep.get(key)? } else { None };
                keep.put(record.with_value(new), old, context)
            }
        }
    }
}

/// The rows of a transformation that nothing keeps: the parent's, transformed when they are looked up, by a transformer of
/// the node that looks (KTableTransformValues.KTableTransformValuesGetter).
pub(crate) fn getter<T: ValueTransformerWithKey>(
    parent: &Getter<T::Key, T::In>,
    make: &MakeTransformer<T>,
    stores: Vec<String>,
) -> Getter<T::Key, T::Out> {
    let (parent, make) = (parent.clone(), Arc::clone(make));
    Getter::new(move |linking| {
        let (parent, instance) = (parent.link(linking)?, Instance::link(&make, &stores, linking));
        Ok(Box::new(LookedUp { parent, instance, types: PhantomData::<fn() -> T> }))
    })
}

struct LookedUp<T: ValueTransformerWithKey> {
    parent: LinkedGetter<T::Key, T::In>,
    instance: Option<Rc<RefCell<Instance<T>>>>,
    types: PhantomData<fn() -> T>,
}

impl<T: ValueTransformerWithKey> LookedUp<T> {
    fn transformed(
        &self,
        key: &T::Key,
        row: Option<Stamped<T::In>>,
        context: &mut Context,
    ) -> Result<Option<Stamped<T::Out>>, Failure> {
        let Some(instance) = &self.instance else { return Ok(None) };
        let timestamp = row.as_ref().map_or(-1, |row| row.timestamp);
        // Nobody knows which record wrote the row.
        let origin = context.replace_origin(Origin::timer());
        let before = std::mem::replace(&mut context.timestamp, timestamp);
        let value = instance.borrow_mut().transform(key, row.as_ref().map(|row| &row.value), context);
        context.timestamp = before;
        context.replace_origin(origin);
        Ok(value?.map(|value| Stamped { value, timestamp }))
    }
}

impl<T: ValueTransformerWithKey> ValueGetter<T::Key, T::Out> for LookedUp<T> {
    fn get(&mut self, key: &T::Key, context: &mut Context) -> Result<Option<Stamped<T::Out>>, Failure> {
        let row = self.parent.get(key, context)?;
        self.transformed(key, row, context)
    }

    fn get_as_of(
        &mut self,
        key: &T::Key,
        timestamp: i64,
        context: &mut Context,
    ) -> Result<Option<Stamped<T::Out>>, Failure> {
        let row = self.parent.get_as_of(key, timestamp, context)?;
        self.transformed(key, row, context)
    }

    fn is_versioned(&self) -> bool {
        self.parent.is_versioned()
    }
}
