//! What the plan knows of a table: which stores answer for it, and whether it hands on old values.
//! Asked by joins, group-by and suppress in `dsl`. Never decides a name.
//!
//! A source table gets a store only when something needs one: a name given by the user, a join that looks into it, or
//! an operator that wants old values (KTableImpl.valueGetterSupplier and enableSendingOldValues).

use super::Graph;
use crate::topology::store::Store;

/// A table's place in the plan.
pub(crate) type TableId = usize;

#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) view: View,
    /// Whether changes carry the value before.
    pub(crate) sends_old: bool,
}

/// Where the current value of a key is found.
#[derive(Clone)]
pub(crate) enum View {
    /// In the store of the table itself, if it has one yet.
    Source { store: Store, materialized: bool },
    /// In the store of an aggregation.
    Aggregate { store: String },
    /// In a store, or worked out from the parent's value.
    Derived { parent: TableId, store: Option<String> },
    /// In a store, or joined from both sides' values.
    Join { this: TableId, other: TableId, store: Option<String> },
    /// Among the records that wait, or with the parent.
    Suppress { parent: TableId, store: String },
}

/// Whether a table may be given a store for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    Materialize,
    OnlyIfMaterialized,
}

impl Graph {
    pub(crate) fn add_table(&mut self, view: View) -> TableId {
        self.tables.push(Table { view, sends_old: false });
        self.tables.len() - 1
    }

    /// The stores that answer for a table; a source table gets one by being asked.
    pub(crate) fn stores_of(&mut self, table: TableId) -> Vec<String> {
        if let View::Source { store, materialized } = &mut self.tables[table].view {
            *materialized = true;
            return vec![store.name.clone()];
        }
        match self.tables[table].view.clone() {
            View::Source { store, .. } => vec![store.name],
            View::Aggregate { store }
            | View::Derived { store: Some(store), .. }
            | View::Join { store: Some(store), .. } => vec![store],
            View::Derived { parent, store: None } => self.stores_of(parent),
            View::Join { this, other, store: None } => {
                let mut stores = self.stores_of(this);
                for store in self.stores_of(other) {
                    if !stores.contains(&store) {
                        stores.push(store);
                    }
                }
                stores
            }
            View::Suppress { parent, store } => {
                let mut stores = vec![store];
                stores.extend(self.stores_of(parent));
                stores
            }
        }
    }

    /// Asks a table, and what it is made of, to hand on old values; false if it cannot.
    pub(crate) fn send_old_values(&mut self, table: TableId, force: Force) -> bool {
        if self.tables[table].sends_old {
            return true;
        }
        let able = match self.tables[table].view.clone() {
            View::Source { materialized, .. } => force == Force::Materialize || materialized,
            View::Aggregate { .. } | View::Derived { store: Some(_), .. } => true,
            View::Derived { parent, store: None } | View::Suppress { parent, .. } => {
                self.send_old_values(parent, force)
            }
            View::Join { this, other, .. } => {
                self.send_old_values(this, Force::Materialize);
                self.send_old_values(other, Force::Materialize)
            }
        };
        if let (View::Source { materialized, .. }, true) = (&mut self.tables[table].view, able) {
            *materialized = true;
        }
        self.tables[table].sends_old = able;
        able
    }

    /// The table itself hands on old values, as its parent does.
    pub(crate) fn set_sends_old(&mut self, table: TableId, sends_old: bool) {
        self.tables[table].sends_old = sends_old;
    }

    /// The store of a source table, if it has one.
    pub(crate) fn source_store(&self, table: TableId) -> Option<&Store> {
        match &self.tables[table].view {
            View::Source { store, materialized: true } => Some(store),
            _ => None,
        }
    }

    /// Whether changes of a table carry the value before.
    pub(crate) fn sends_old(&self, table: TableId) -> bool {
        self.tables[table].sends_old
    }
}
