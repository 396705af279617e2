//! Operators that are a function of one record: filter, map, merge and their like.
//! Recorded by `dsl`; they need nothing of the task. Never keeps anything from one record to the next.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::record::{Data, Record};
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};

struct Stateless<F, K, V, L, W> {
    name: &'static str,
    function: Arc<F>,
    types: PhantomData<fn(K, V) -> (L, W)>,
}

struct Running<F, L, W> {
    function: Arc<F>,
    children: Children<L, W>,
}

/// The operator that runs `function` on each record. The function is compiled for its types; the only indirect call is the one from node to node.
pub(crate) fn stateless<K: Data, V: Data, L: Data, W: Data, F>(name: &'static str, function: F) -> Arc<dyn Operator>
where
    F: Fn(Record<K, V>, &mut Children<L, W>, &mut Context) -> ProcessResult + Send + Sync + 'static,
{
    Arc::new(Stateless { name, function: Arc::new(function), types: PhantomData::<fn(K, V) -> (L, W)> })
}

/// The operator that hands on what it gets.
pub(crate) fn pass<K: Data, V: Data>(name: &'static str) -> Arc<dyn Operator> {
    stateless(name, |record: Record<K, V>, next: &mut Children<K, V>, context| next.forward(record, context))
}

impl<F, K: Data, V: Data, L: Data, W: Data> Operator for Stateless<F, K, V, L, W>
where
    F: Fn(Record<K, V>, &mut Children<L, W>, &mut Context) -> ProcessResult + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn link(&self, children: Vec<AnyLink>, _linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let children = Children::typed(children)?;
        Ok(AnyLink::new::<K, V>(Running { function: Arc::clone(&self.function), children }))
    }
}

impl<F, K: Data, V: Data, L: Data, W: Data> Process<K, V> for Running<F, L, W>
where
    F: Fn(Record<K, V>, &mut Children<L, W>, &mut Context) -> ProcessResult,
{
    fn process(&mut self, record: Record<K, V>, context: &mut Context) -> ProcessResult {
        (self.function)(record, &mut self.children, context)
    }
}
