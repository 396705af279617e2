//! From a topology to running nodes: stores first, then each node with its children, from the last to the first.
//! Called once when a task is made. Here types are erased and found again; on the path of a record they are not.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use thiserror::Error;

use super::collector::TopicId;
use super::context::Context;
use super::errors::{Failure, ProcessResult};
use super::settings::Settings;
use super::tally::Tallies;
use super::timers::Timer;
use crate::op::custom::Connected;
use crate::serde::SharedSerde;
use crate::state::StateError;
use crate::store::{Held, Old};
use crate::topology::Topology;

/// Why nodes could not be linked.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Nothing runs this operator yet.
    #[error("operator {0} cannot run yet")]
    NotRunnable(&'static str),
    /// Parent and child speak of different types; the typed DSL never makes such an edge.
    #[error("a child does not take records of the type {0}")]
    Types(&'static str),
    /// A node has a store that the task does not have, or that is not connected to it.
    #[error("{node} has no access to store {store}: it must be added and connected")]
    NoStore {
        /// The node.
        node: String,
        /// The store.
        store: String,
    },
    /// A store is not of the type that a node takes it for.
    #[error("store {store} is no {type_name}")]
    StoreType {
        /// The store.
        store: String,
        /// What it was taken for.
        type_name: &'static str,
    },
    /// A store was defined without the types of its keys and values.
    #[error("store {0} was defined without its types")]
    UntypedStore(String),
    /// Neither the topology nor the settings name a serde.
    #[error("{node} has no serde for {type_name}: {}", advice(type_name))]
    NoSerde {
        /// The node or store.
        node: String,
        /// The type.
        type_name: &'static str,
    },
    /// A store could not be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// A processor of the user could not be set up.
    #[error("processor {node} could not be set up: {cause}")]
    Setup {
        /// The processor.
        node: String,
        /// What it said.
        cause: String,
    },
}

/// What to do about a type without a serde.
fn advice(type_name: &str) -> &'static str {
    match type_name.starts_with("core::result::Result<") {
        true => {
            "a closure of map, map_values and their like answers with the value itself, one of try_map, try_map_values and their like with a Result of it"
        }
        false => {
            "give one in Consumed, Produced, Grouped or Materialized, or for all of the type in StreamsBuilder::default_serde"
        }
    }
}

/// The stores of a task, by name.
#[derive(Clone, Default)]
pub struct Stores {
    by_name: HashMap<String, Held>,
    /// Names in the order of the nodes that they are connected to: caches are flushed in it.
    order: Vec<String>,
}

impl Stores {
    pub(crate) fn add(&mut self, name: &str, store: Held) {
        self.order.push(name.to_owned());
        self.by_name.insert(name.to_owned(), store);
    }

    /// Names in the order in which caches are flushed.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// A store for what the task does with any.
    pub fn held(&self, name: &str) -> Option<&Held> {
        self.by_name.get(name)
    }

    /// A store by its type; None if there is none of that name and type.
    pub fn get<S: 'static>(&self, name: &str) -> Option<Rc<RefCell<S>>> {
        let any: Rc<dyn Any> = Rc::clone(&self.by_name.get(name)?.any);
        any.downcast::<RefCell<S>>().ok()
    }
}

/// What flushes a cache and hands on what was in it.
pub trait Flush {
    /// Writes and hands on all that waits.
    fn flush(&self, context: &mut Context) -> ProcessResult;
}

/// A processor of the user, as the task calls it besides its records.
pub(crate) trait Timed {
    fn init(&self, context: &mut Context) -> ProcessResult;
    fn punctuate(&self, timer: Timer, timestamp: i64, context: &mut Context) -> ProcessResult;
    fn close(&self);
}

pub(crate) struct TimedNode {
    pub(crate) name: Rc<str>,
    pub(crate) processor: Rc<dyn Timed>,
}

/// What an operator gets besides its children when it is linked.
pub struct Linking<'a> {
    topology: &'a Topology,
    context: &'a mut Context,
    stores: &'a Stores,
    globals: Option<&'a Stores>,
    place: usize,
    node: Rc<str>,
    pub(crate) flushes: HashMap<String, Rc<dyn Flush>>,
    pub(crate) timed: Vec<TimedNode>,
    /// False where a topology is only checked: processors of the user are not made.
    pub(crate) makes_processors: bool,
}

impl<'a> Linking<'a> {
    pub(crate) fn new(
        topology: &'a Topology,
        context: &'a mut Context,
        stores: &'a Stores,
        globals: Option<&'a Stores>,
    ) -> Linking<'a> {
        Linking {
            topology,
            context,
            stores,
            globals,
            place: 0,
            node: "".into(),
            flushes: HashMap::new(),
            timed: Vec::new(),
            makes_processors: true,
        }
    }

    /// The same for a check, which makes no processors of the user.
    pub(crate) fn without_processors(self) -> Linking<'a> {
        Linking { makes_processors: false, ..self }
    }

    pub(crate) fn enter(&mut self, place: usize) {
        self.place = place;
        self.node = self.topology.nodes()[place].name.as_str().into();
    }

    /// The name of the node that is being linked.
    pub fn node(&self) -> &Rc<str> {
        &self.node
    }

    /// The task's side.
    pub(crate) fn context(&self) -> &Context {
        self.context
    }

    /// Where nodes count.
    pub(crate) fn tallies(&self) -> &Rc<Tallies> {
        &self.context.tallies
    }

    /// The task's settings.
    pub fn settings(&self) -> Rc<Settings> {
        Rc::clone(self.context.settings())
    }

    /// The topics, if the node is a source, or the one it writes to.
    pub(crate) fn topology_node(&self) -> &crate::topology::Node {
        &self.topology.nodes()[self.place]
    }

    /// Whether something below wants the value before each change (Java's enableSendingOldValues).
    pub fn sends_old(&self) -> Old {
        if self.topology.nodes()[self.place].sends_old { Old::Sent } else { Old::Left }
    }

    /// Whether the changes that come are those of a table with a history, some of which may not be the latest.
    pub fn reads_versions(&self) -> bool {
        self.topology.nodes()[self.place].reads_versions
    }

    /// The number of a topic of the topology; one of the application's own gets the application id before it.
    pub fn topic(&mut self, name: &str) -> TopicId {
        let whole = self.whole_name(name);
        self.context.topic(&whole)
    }

    /// The name of a topic of the topology, as the cluster knows it.
    pub(crate) fn whole_name(&self, name: &str) -> String {
        self.topology.whole_name(&self.context.settings().application_id, name)
    }

    /// The serde that was given, or the one that the settings have for the type.
    pub fn serde<T: 'static>(&self, given: &Option<SharedSerde<T>>) -> Result<SharedSerde<T>, LinkError> {
        let known = given.clone().or_else(|| self.context.settings().serde::<T>());
        known.ok_or_else(|| LinkError::NoSerde { node: self.node.to_string(), type_name: std::any::type_name::<T>() })
    }

    /// A store of the task, or of the instance if it is a global one.
    pub fn store<S: 'static>(&self, name: &str) -> Result<Rc<RefCell<S>>, LinkError> {
        find(self.stores, self.globals, &self.node, name)
    }

    /// The stores that are connected to the node, and all global ones.
    pub(crate) fn connected(&self) -> Vec<Connected> {
        self.connected_to(&self.topology_node().stores)
    }

    /// These stores, and all global ones.
    pub(crate) fn connected_to(&self, own: &[String]) -> Vec<Connected> {
        let global = self.topology.global_stores().iter().map(|store| &store.name);
        let held = |name: &String| {
            let holders = [Some(self.stores), self.globals];
            let found = holders.into_iter().flatten().find_map(|stores| stores.held(name))?;
            let number = self.topology.added_stores().iter().position(|added| added == name);
            Some(Connected { name: name.clone(), number, store: Rc::clone(&found.any) })
        };
        own.iter().chain(global).filter_map(held).collect()
    }

    /// What is called to flush the cache of a store, instead of the store itself.
    pub fn flush_with(&mut self, store: &str, flush: Rc<dyn Flush>) {
        // The node that stands first has the last word, as it is linked last; Java's stands last. All nodes of one store
        // hand on to the same children, so it cannot be told apart.
        self.flushes.insert(store.to_owned(), flush);
    }

    /// A processor of the user; the answer is its number, under which the context knows its timers.
    pub(crate) fn add_timed(&mut self, processor: Rc<dyn Timed>) -> usize {
        self.timed.push(TimedNode { name: Rc::clone(&self.node), processor });
        self.timed.len() - 1
    }
}

fn find<S: 'static>(
    stores: &Stores,
    globals: Option<&Stores>,
    node: &str,
    name: &str,
) -> Result<Rc<RefCell<S>>, LinkError> {
    let holder = [Some(stores), globals].into_iter().flatten().find(|stores| stores.held(name).is_some());
    let holder = holder.ok_or_else(|| LinkError::NoStore { node: node.to_owned(), store: name.to_owned() })?;
    holder
        .get::<S>(name)
        .ok_or_else(|| LinkError::StoreType { store: name.to_owned(), type_name: std::any::type_name::<S>() })
}

/// A failure while caches are flushed has no node left to be asked about.
pub(crate) fn fatal(failure: Failure) -> super::errors::TaskError {
    match failure.split() {
        Ok(error) => super::errors::TaskError::Broken(format!("an error outside of any node: {error}")),
        Err(error) => error,
    }
}
