//! Whether a topology can run: each part of it is linked once, with stores in memory and nowhere to send.
//! Called by `build`, so that a missing serde or a store of another type is told there, with the node's name, and not by a
//! thread that ends. Never calls what the user gave but for serdes: processors are not made.

use std::rc::Rc;

use super::Topology;
use crate::state::MemoryRows;
use crate::store::{Budget, StoreParts, StoreTally};
use crate::task::collector::SendFailure;
use crate::task::running::definitions;
use crate::task::{Collector, Context, LinkError, Linking, Outgoing, Settings, Stores, TopicId};

/// A collector that takes nothing.
pub(crate) struct Nowhere;

impl Collector for Nowhere {
    fn topic(&mut self, _name: &str) -> TopicId {
        TopicId(0)
    }

    fn partitions(&mut self, _topic: TopicId) -> u32 {
        1
    }

    fn send(&mut self, _record: Outgoing<'_>) -> Result<(), SendFailure> {
        Ok(())
    }
}

impl Topology {
    /// Links everything once.
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        let settings = Rc::new(Settings::new("check").for_topology(self));
        let mut globals = Stores::default();
        let places = |wanted: &dyn Fn(&super::Node) -> bool| -> Vec<usize> {
            (0..self.nodes().len()).filter(|place| wanted(&self.nodes()[*place])).collect()
        };
        let of_globals = places(&|node| self.is_global(node));
        globals = self.check_part(&of_globals, &settings, Some(&globals))?;
        for number in 0..self.subtopologies() {
            let part = places(&|node| node.subtopology == number && !self.is_global(node));
            self.check_part(&part, &settings, Some(&globals))?;
        }
        Ok(())
    }

    fn check_part(
        &self,
        places: &[usize],
        settings: &Rc<Settings>,
        globals: Option<&Stores>,
    ) -> Result<Stores, LinkError> {
        let budget = Rc::new(Budget::new(0));
        let mut stores = Stores::default();
        for definition in definitions(self, places) {
            let maker = definition.maker.as_ref();
            let maker = maker.ok_or_else(|| LinkError::UntypedStore(definition.name.clone()))?;
            let (rows, budget) = (Box::new(MemoryRows::new()), Rc::clone(&budget));
            let tally = Rc::new(StoreTally::new(definition, false, settings.recording));
            let parts = StoreParts { definition, rows, changelog: None, budget, settings, tally };
            stores.add(&definition.name, maker.make(parts)?);
        }
        let mut context = Context::new(Box::new(Nowhere), Rc::clone(settings), budget, 0);
        let mut linking = Linking::new(self, &mut context, &stores, globals).without_processors();
        self.link(places, &mut linking)?;
        Ok(stores)
    }
}
