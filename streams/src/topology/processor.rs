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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::dsl::options::Topics;
    use crate::op::custom::Processor;
    use crate::{KStream, StreamsBuilder};

    type Seen = Arc<Mutex<Vec<String>>>;

    fn stream(builder: &StreamsBuilder, topics: impl Into<Topics>) -> KStream<String, String> {
        builder.stream(topics)
    }

    /// Writes down what arrives, led by a name.
    fn watch(stream: &KStream<String, String>, seen: &Seen, name: &'static str) {
        let seen = Arc::clone(seen);
        stream.for_each(move |_, value| {
            seen.lock().expect("one thread").push(format!("{name} {}", value.as_deref().unwrap_or("null")));
        });
    }

    /// Sends values, None a null, into the sources in turn, and gives what was seen.
    fn run(builder: &StreamsBuilder, seen: &Seen, values: &[Option<&str>]) -> Vec<String> {
        let topology = builder.build().expect("the topology is sound");
        let sources = topology.link(0).expect("no operator needs a task");
        let typed =
            |(_, link): (usize, AnyLink)| link.typed::<String, String>().expect("sources are of text");
        let mut sources: Vec<Link<String, String>> = sources.into_iter().map(typed).collect();
        let mut context = Context::default();
        let count = sources.len();
        for (at, value) in values.iter().enumerate() {
            let record = Record::new(Some("k".to_owned()), value.map(str::to_owned), 0);
            sources[at % count].forward(record, &mut context).expect("no closure fails");
        }
        std::mem::take(&mut *seen.lock().expect("one thread"))
    }

    #[test]
    fn a_record_passes_all_children_before_the_next_one() {
        let (builder, seen) = (StreamsBuilder::new(), Seen::default());
        let words = stream(&builder, "in")
            .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<String>>());
        watch(&words, &seen, "one");
        watch(&words.map_values(|word| word.to_uppercase()), &seen, "two");
        // The second child is printed before the first, as it is the larger; records go by the order of the calls.
        assert_eq!(run(&builder, &seen, &[Some("a b")]), ["one a", "two A", "one b", "two B"]);
    }

    #[test]
    fn a_null_passes_where_each_operator_says() {
        let (builder, seen) = (StreamsBuilder::new(), Seen::default());
        let source = stream(&builder, "in");
        watch(&source.map_values(|value| value + "!"), &seen, "map");
        watch(&source.filter(|_, _| true), &seen, "filter");
        watch(&source.filter_not(|_, _| true), &seen, "filter_not");
        watch(&source.map(|_, value| (String::new(), value)), &seen, "pair");
        assert_eq!(run(&builder, &seen, &[None]), ["map null", "filter_not null"]);
        assert_eq!(run(&builder, &seen, &[Some("a")]), ["map a!", "filter a", "pair a"]);
    }

    #[test]
    fn a_split_record_takes_the_first_way_that_holds() {
        let (builder, seen) = (StreamsBuilder::new(), Seen::default());
        let split = stream(&builder, "in").split("s-");
        let split = split.branch(|_, value| value.is_some_and(|value| value.starts_with('a')), "a");
        let branches =
            split.branch(|_, value| value.is_some_and(|value| value.len() == 2), "two").default_branch(());
        watch(&branches["s-a"], &seen, "a");
        watch(&branches["s-two"], &seen, "two");
        watch(&branches["s-0"], &seen, "rest");
        let found = run(&builder, &seen, &[Some("ab"), Some("bc"), Some("b"), None]);
        assert_eq!(found, ["a ab", "two bc", "rest b", "rest null"]);
    }

    /// Numbers the records it sees.
    struct Numbered(u32);

    impl Processor for Numbered {
        type In = (String, String);
        type Out = (String, String);

        fn process(
            &mut self,
            record: Record<String, String>,
            next: &mut Children<String, String>,
            context: &mut Context,
        ) -> ProcessResult {
            self.0 += 1;
            let value = Some(self.0.to_string());
            next.forward(record.with_value(value), context)
        }
    }

    #[test]
    fn a_child_of_two_parents_is_one_processor() {
        let (builder, seen) = (StreamsBuilder::new(), Seen::default());
        let (one, two) = (stream(&builder, "in1"), stream(&builder, "in2"));
        watch(&one.merge(&two).process_values(|| Numbered(0), (), &[]), &seen, "number");
        assert_eq!(
            run(&builder, &seen, &[Some("a"), Some("b"), Some("c")]),
            ["number 1", "number 2", "number 3"]
        );
        // Another task has a processor of its own.
        assert_eq!(run(&builder, &seen, &[Some("d")]), ["number 1"]);
    }

    #[test]
    fn what_needs_a_task_says_so() {
        let builder = StreamsBuilder::new();
        stream(&builder, "in").to("out");
        let topology = builder.build().expect("the topology is sound");
        assert_eq!(topology.link(0).err(), Some(LinkError::NeedsRuntime("sink")));
    }
}
