//! How a node runs: an operator makes a processor for each task, linked to the processors below it.
//! Operators are recorded by `dsl`; the task runtime links them. Never awaits, locks or allocates for a record it passes on.
//!
//! A record goes depth first through the whole sub-topology before the next one starts: with several children any other
//! order would show in the output. Each edge is one virtual call on a typed trait object; types are erased only in
//! `AnyLink`, which is taken apart when a task is linked, not when a record passes.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use thiserror::Error;

use super::Topology;
use crate::record::{Data, Record};

/// A closure of the user failed.
#[derive(Debug, Error)]
#[error("processing failed")]
pub struct ProcessError {
    /// What it said.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What a processor answers.
pub type ProcessResult = Result<(), ProcessError>;

/// The task's side that a processor sees.
#[derive(Debug, Default)]
pub struct Context {
    /// Records that an operator had to leave out (`dropped-records-total`).
    pub dropped: u64,
}

/// A running node.
pub trait Process<K, V> {
    /// Takes one record, and forwards what follows from it.
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult;
}

/// Makes the processor of a node, once a task; lives in the topology and is shared by all threads.
pub trait Operator: Send + Sync {
    /// The name of the operator, for messages.
    fn name(&self) -> &'static str;

    /// The processor with its children. An operator that needs a store cannot be linked without the task runtime.
    fn link(&self, children: Vec<AnyLink>) -> Result<AnyLink, LinkError> {
        let _ = children;
        Err(LinkError::NeedsRuntime(self.name()))
    }
}

/// Why nodes could not be linked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The operator works on stores, topics or timers, which only a task has.
    #[error("operator {0} needs the task runtime")]
    NeedsRuntime(&'static str),
    /// Parent and child speak of different types; the typed DSL never makes such an edge.
    #[error("a child does not take records of the type {0}")]
    Types(&'static str),
}

/// The edge to one child. A child with one parent is owned by it; a child with several is shared within the thread.
pub struct Link<K, V>(Child<K, V>);

enum Child<K, V> {
    Owned(Box<dyn Process<K, V>>),
    Shared(Rc<RefCell<Box<dyn Process<K, V>>>>),
}

impl<K, V> Link<K, V> {
    /// Hands a record to the child.
    pub fn forward(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        match &mut self.0 {
            Child::Owned(child) => child.process(record, context),
            // The graph has no cycle, so a shared child is never entered while it runs.
            Child::Shared(child) => child.borrow_mut().process(record, context),
        }
    }
}

/// The edges to all children of a node.
pub struct Children<K, V>(Vec<Link<K, V>>);

impl<K: Data, V: Data> Children<K, V> {
    /// The children by their type.
    pub fn typed(children: Vec<AnyLink>) -> Result<Children<K, V>, LinkError> {
        let typed: Result<Vec<Link<K, V>>, LinkError> = children.into_iter().map(AnyLink::typed).collect();
        Ok(Children(typed?))
    }

    /// Hands a record to each child in turn; the last one gets it without a copy.
    pub fn forward(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let Some((last, others)) = self.0.split_last_mut() else { return Ok(()) };
        for child in others {
            child.forward(record.clone(), context)?;
        }
        last.forward(record, context)
    }

    /// Hands a record to the child at `place`; to none if there is none.
    pub fn forward_to(&mut self, place: usize, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        match self.0.get_mut(place) {
            Some(child) => child.forward(record, context),
            None => Ok(()),
        }
    }
}

/// An edge without its type, while a task is linked.
pub struct AnyLink {
    link: Box<dyn Any>,
    share: fn(&mut Box<dyn Any>) -> Option<Box<dyn Any>>,
}

impl AnyLink {
    /// The edge to this processor.
    pub fn new<K: Data, V: Data>(child: impl Process<K, V> + 'static) -> AnyLink {
        let link: Link<K, V> = Link(Child::Owned(Box::new(child)));
        AnyLink { link: Box::new(link), share: share::<K, V> }
    }

    /// One more edge to the same processor.
    pub fn again(&mut self) -> Option<AnyLink> {
        let link = (self.share)(&mut self.link)?;
        Some(AnyLink { link, share: self.share })
    }

    /// The edge by its type.
    pub fn typed<K: Data, V: Data>(self) -> Result<Link<K, V>, LinkError> {
        match self.link.downcast::<Link<K, V>>() {
            Ok(link) => Ok(*link),
            Err(_) => Err(LinkError::Types(std::any::type_name::<Record<K, V>>())),
        }
    }
}

/// Turns an owned child into a shared one, and gives a second edge to it.
fn share<K: Data, V: Data>(link: &mut Box<dyn Any>) -> Option<Box<dyn Any>> {
    let link = link.downcast_mut::<Link<K, V>>()?;
    let shared = match std::mem::replace(&mut link.0, Child::Owned(Box::new(Nothing))) {
        Child::Owned(child) => Rc::new(RefCell::new(child)),
        Child::Shared(child) => child,
    };
    link.0 = Child::Shared(Rc::clone(&shared));
    Some(Box::new(Link(Child::Shared(shared))))
}

/// Stands in for a child while it is moved.
struct Nothing;

impl<K, V> Process<K, V> for Nothing {
    fn process(&mut self, _record: Record<K, V>, _context: &mut Context) -> ProcessResult {
        Ok(())
    }
}

impl Topology {
    /// Makes and links the processors of one sub-topology: its sources by their places among the nodes.
    pub fn link(&self, subtopology: usize) -> Result<Vec<(usize, AnyLink)>, LinkError> {
        let mut edges: Vec<Vec<AnyLink>> = self.nodes().iter().map(|_| Vec::new()).collect();
        let mut sources = Vec::new();
        // Parents stand before their children, so from the end each node finds its children made.
        for (place, node) in self.nodes().iter().enumerate().rev() {
            if node.subtopology != subtopology {
                continue;
            }
            // Children were met from the last to the first.
            let mut children = std::mem::take(&mut edges[place]);
            children.reverse();
            let mut link = operator(node).link(children)?;
            match node.parents.split_first() {
                None => sources.push((place, link)),
                Some((first, others)) => {
                    for parent in others {
                        edges[*parent].extend(link.again());
                    }
                    edges[*first].push(link);
                }
            }
        }
        sources.reverse();
        Ok(sources)
    }
}

fn operator(node: &super::Node) -> &dyn Operator {
    match &node.kind {
        super::NodeKind::Source { operator, .. }
        | super::NodeKind::Processor(operator)
        | super::NodeKind::Sink { operator, .. } => operator.as_ref(),
    }
}
