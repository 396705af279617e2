//! Joins of two tables by the same key.
//! Called by applications. Never keeps the result unless a Materialized says so: it is worked out from both sides.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Flow;
use super::materialized::{Materialized, Origin};
use super::stream_join::{both, left};
use super::table::KTable;
use crate::graph::table::{Force, View};
use crate::graph::{Kind, Step, TableJoin, Traits};
use crate::op::getter::Getter;
use crate::op::join::{JoinKind, Joiner};
use crate::op::table_join::{MergeJoined, Presence, SideJoiner, TableJoinSide};
use crate::record::Data;
use crate::task::outcome::Outcome;
use crate::topology::store::StoreKind;

impl<K: Data, V: Data> KTable<K, V> {
    /// A row for each key that both tables have.
    pub fn join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KTable<K, R>,
        join: impl Fn(&V, &R) -> X + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        self.join_table(other, JoinKind::Inner, both(join), materialized.into())
    }

    /// A row for each key of this table.
    pub fn left_join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> X + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        self.join_table(other, JoinKind::Left, left(join), materialized.into())
    }

    /// A row for each key of either table.
    pub fn outer_join<R: Data, O: Data, X: Outcome<O>>(
        &self,
        other: &KTable<K, R>,
        join: impl Fn(Option<&V>, Option<&R>) -> X + Send + Sync + 'static,
        materialized: impl Into<Materialized<K, O>>,
    ) -> KTable<K, O> {
        let joiner: Joiner<K, V, R, O> = Arc::new(move |_, this, that| join(this, that).outcome());
        self.join_table(other, JoinKind::Outer, joiner, materialized.into())
    }

    /// KTableImpl.doJoin: the result's store and name, then both sides' names.
    fn join_table<R: Data, O: Data>(
        &self,
        other: &KTable<K, R>,
        kind: JoinKind,
        joiner: Joiner<K, V, R, O>,
        materialized: Materialized<K, O>,
    ) -> KTable<K, O> {
        let mut graph = self.flow.graph();
        let materialized = materialized.or_serdes(&self.key, &None);
        let is_given = materialized.origin == Origin::Given;
        let store = is_given.then(|| materialized.store(&mut graph, "KTABLE-MERGE-", StoreKind::KeyValue));
        let given = self.flow.given.as_deref();
        let merge = graph.name_or(given, "KTABLE-MERGE-");
        let sources = graph.copartition(&[&self.flow.sources, &other.flow.sources]);
        if kind != JoinKind::Inner {
            graph.send_old_values(self.table, Force::Materialize);
        }
        if kind == JoinKind::Outer {
            graph.send_old_values(other.table, Force::Materialize);
        }
        let (this_name, other_name) = (
            graph.suffixed_or(given, "-join-this", "KTABLE-JOINTHIS-"),
            graph.suffixed_or(given, "-join-other", "KTABLE-JOINOTHER-"),
        );
        let (this_stores, other_stores) = (graph.stores_of(self.table), graph.stores_of(other.table));
        let kept = store.as_ref().map(|store| store.name.clone());
        let getter = match &kept {
            Some(store) => Getter::of_store(store),
            None => Getter::joined(&self.getter, &other.getter, kind, &joiner),
        };
        let table = graph.add_table(View::Join { this: self.table, other: other.table, store: kept.clone() });
        let (this, that) = sides(self, other, kind, joiner);
        let merged = Arc::new(MergeJoined::<K, O> { store: kept, types: PhantomData });
        let plan = TableJoin {
            this: (self.flow.name.clone(), Step::new(this_name, Arc::new(this)).connecting(other_stores).table(table)),
            other: (
                other.flow.name.clone(),
                Step::new(other_name, Arc::new(that)).connecting(this_stores).table(table),
            ),
            merge: Step::new(merge.clone(), merged).owning(store.into_iter().collect()).table(table),
        };
        let traits = Traits { versioned: Some(is_given && materialized.is_versioned()), ..Traits::default() };
        let node =
            graph.add(&[self.flow.node, other.flow.node], merge.clone(), Kind::TableJoin(Box::new(plan)), traits);
        drop(graph);
        let key = materialized.key.or(self.key.clone());
        KTable {
            flow: Flow::new(&self.flow.graph, node, merge, sources),
            table,
            key,
            value: materialized.value,
            getter,
        }
    }
}

/// What runs on either side: the right one joins the other way round (KTableImpl.reverseJoiner).
fn sides<K: Data, V: Data, R: Data, O: Data>(
    left: &KTable<K, V>,
    right: &KTable<K, R>,
    kind: JoinKind,
    joiner: Joiner<K, V, R, O>,
) -> (TableJoinSide<K, V, R, O>, TableJoinSide<K, R, V, O>) {
    let presence = |is_optional| if is_optional { Presence::Optional } else { Presence::Required };
    let (of_left, of_right) = (presence(kind == JoinKind::Outer), presence(kind != JoinKind::Inner));
    let reversed = Arc::clone(&joiner);
    let this = TableJoinSide {
        this: of_left,
        other: of_right,
        getter: right.getter.clone(),
        joiner: Arc::new(move |key: &K, this: Option<&V>, other: Option<&R>| joiner(Some(key), this, other))
            as SideJoiner<K, V, R, O>,
    };
    let that = TableJoinSide {
        this: of_right,
        other: of_left,
        getter: left.getter.clone(),
        joiner: Arc::new(move |key: &K, this: Option<&R>, other: Option<&V>| reversed(Some(key), other, this))
            as SideJoiner<K, R, V, O>,
    };
    (this, that)
}
