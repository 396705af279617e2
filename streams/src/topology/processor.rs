//! How a node runs: an operator makes a processor for each task, linked to the processors below it.
//! Operators are recorded by `dsl`; the task runtime links them. Never awaits, locks or allocates for a record it passes on.
//!
//! A record goes depth first through the whole sub-topology before the next one starts: with several children any other
//! order would show in the output. Each edge is one virtual call on a typed trait object; types are erased only in
//! `AnyLink`, which is taken apart when a task is linked, not when a record passes.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::Topology;
use crate::record::{Data, Record};
pub use crate::task::context::Context;
pub use crate::task::errors::{Failure, ProcessError, ProcessResult};
pub use crate::task::link::{LinkError, Linking};
use crate::task::queue::SourceNode;
use crate::task::tally::{NodeCounts, NodeTally};

/// A running node.
pub trait Process<K, V> {
    /// Takes one record, and forwards what follows from it.
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult;
}

/// Makes the processor of a node, once a task; lives in the topology and is shared by all threads.
pub trait Operator: Send + Sync {
    /// The name of the operator, for messages.
    fn name(&self) -> &'static str;

    /// The processor with its children, its stores and topics.
    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let _ = (children, linking);
        Err(LinkError::NotRunnable(self.name()))
    }

    /// The source with its children; only sources have one.
    fn source(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<Box<dyn SourceNode>, LinkError> {
        let _ = (children, linking);
        Err(LinkError::NotRunnable(self.name()))
    }
}

/// The edge to one child. A child with one parent is owned by it; a child with several is shared within the thread.
pub struct Link<K, V> {
    child: Child<K, V>,
    node: Rc<str>,
}

enum Child<K, V> {
    Owned(Box<dyn Process<K, V>>),
    Shared(Rc<RefCell<dyn Process<K, V>>>),
}

impl<K: Data, V: Data> Link<K, V> {
    /// Hands a record to the child. An error of the user's ends here, if the handler says so.
    pub fn forward(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        if context.trace.is_some() {
            return self.forward_traced(record, context);
        }
        match self.child.process(record, context) {
            Ok(()) => Ok(()),
            Err(failure) => context.fail(failure, &self.node),
        }
    }

    /// The same, where a handler may want to know the record as the child got it, and may let a panic pass: whoever called
    /// goes on as after an error.
    fn forward_traced(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let before = context.retrace(record.timestamp, record.headers.clone());
        let work = context.work();
        let done = match catch_unwind(AssertUnwindSafe(|| self.child.process(record, context))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => context.fail(failure, &self.node),
            Err(thrown) => {
                let asked = context.fail_panic(thrown, &self.node);
                context.set_work(work);
                asked
            }
        };
        if let Some((timestamp, headers)) = before {
            context.retrace(timestamp, headers);
        }
        done
    }
}

impl<K, V> Child<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        match self {
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

    /// The place of the child of that name.
    pub(crate) fn place(&self, node: &str) -> Option<usize> {
        self.0.iter().position(|child| *child.node == *node)
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
    name: fn(&mut Box<dyn Any>, &Rc<str>),
    watch: fn(&mut Box<dyn Any>, Rc<NodeTally>),
}

impl AnyLink {
    /// The edge to this processor.
    pub fn new<K: Data, V: Data>(child: impl Process<K, V> + 'static) -> AnyLink {
        AnyLink::of::<K, V>(Child::Owned(Box::new(child)))
    }

    /// The edge to a processor that others hold too.
    pub fn shared<K: Data, V: Data>(child: Rc<RefCell<dyn Process<K, V>>>) -> AnyLink {
        AnyLink::of::<K, V>(Child::Shared(child))
    }

    fn of<K: Data, V: Data>(child: Child<K, V>) -> AnyLink {
        let link: Link<K, V> = Link { child, node: "".into() };
        AnyLink { link: Box::new(link), share: share::<K, V>, name: name::<K, V>, watch: watch::<K, V> }
    }

    /// One more edge to the same processor.
    pub fn again(&mut self) -> Option<AnyLink> {
        let link = (self.share)(&mut self.link)?;
        Some(AnyLink { link, share: self.share, name: self.name, watch: self.watch })
    }

    /// The edge by its type.
    pub fn typed<K: Data, V: Data>(self) -> Result<Link<K, V>, LinkError> {
        match self.link.downcast::<Link<K, V>>() {
            Ok(link) => Ok(*link),
            Err(_) => Err(LinkError::Types(std::any::type_name::<Record<K, V>>())),
        }
    }

    fn named(mut self, node: &Rc<str>) -> AnyLink {
        (self.name)(&mut self.link, node);
        self
    }
}

/// Turns an owned child into a shared one, and gives a second edge to it.
fn share<K: Data, V: Data>(link: &mut Box<dyn Any>) -> Option<Box<dyn Any>> {
    let link = link.downcast_mut::<Link<K, V>>()?;
    let shared = match std::mem::replace(&mut link.child, Child::Owned(Box::new(Nothing))) {
        Child::Owned(child) => Rc::new(RefCell::new(child)),
        Child::Shared(child) => child,
    };
    link.child = Child::Shared(Rc::clone(&shared));
    Some(Box::new(Link { child: Child::Shared(shared), node: Rc::clone(&link.node) }))
}

fn name<K: Data, V: Data>(link: &mut Box<dyn Any>, node: &Rc<str>) {
    if let Some(link) = link.downcast_mut::<Link<K, V>>() {
        link.node = Rc::clone(node);
    }
}

/// Counts what a node without children gets.
fn watch<K: Data, V: Data>(link: &mut Box<dyn Any>, tally: Rc<NodeTally>) {
    if let Some(link) = link.downcast_mut::<Link<K, V>>() {
        let child = std::mem::replace(&mut link.child, Child::Owned(Box::new(Nothing)));
        link.child = Child::Owned(Box::new(Last { child, tally }));
    }
}

/// A node without children, of which is known how old records are when it has had them.
struct Last<K, V> {
    child: Child<K, V>,
    tally: Rc<NodeTally>,
}

impl<K, V> Process<K, V> for Last<K, V> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        let timestamp = record.timestamp;
        self.child.process(record, context)?;
        self.tally.times.add(timestamp);
        Ok(())
    }
}

impl<K, V> Process<K, V> for Box<dyn Process<K, V>> {
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        self.as_mut().process(record, context)
    }
}

/// Stands in for a child while it is moved, and for processors of the user while a topology is checked.
pub(crate) struct Nothing;

impl<K, V> Process<K, V> for Nothing {
    fn process(&mut self, _record: Record<K, V>, _context: &mut Context) -> ProcessResult {
        Ok(())
    }
}

impl Topology {
    /// Makes and links the processors of these nodes: the sources by their places.
    pub(crate) fn link(
        &self,
        places: &[usize],
        linking: &mut Linking<'_>,
    ) -> Result<Vec<(usize, Box<dyn SourceNode>)>, LinkError> {
        let mut edges: Vec<Vec<AnyLink>> = self.nodes().iter().map(|_| Vec::new()).collect();
        let mut sources = Vec::new();
        // Parents stand before their children, so from the end each node finds its children made.
        for place in places.iter().rev().copied() {
            let node = &self.nodes()[place];
            // Children were met from the last to the first.
            let mut children = std::mem::take(&mut edges[place]);
            children.reverse();
            linking.enter(place);
            let operator = operator(node);
            let Some((first, others)) = node.parents.split_first() else {
                sources.push((place, operator.source(children, linking)?));
                continue;
            };
            let is_last = children.is_empty();
            let mut link = operator.link(children, linking)?.named(linking.node());
            if is_last {
                (link.watch)(&mut link.link, linking.tallies().node(linking.node(), NodeCounts::Terminal));
            }
            for parent in others {
                edges[*parent].extend(link.again());
            }
            edges[*first].push(link);
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

#[cfg(test)]
mod tests;
