//! A stream split by predicates: each record goes to the first branch whose predicate holds.
//! Made by `KStream::split`. Never copies a record: it takes one way.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::{Arc, OnceLock};

use super::Flow;
use super::options::Named;
use super::stream::KStream;
use crate::graph::{Step, Traits};
use crate::op::stateless::{pass, stateless};
use crate::record::{Data, Record};
use crate::task::outcome::Outcome;
use crate::topology::processor::{Children, Context, Failure};

type Predicate<K, V> = Box<dyn Fn(Option<&K>, Option<&V>) -> Result<bool, Failure> + Send + Sync>;
/// The predicates, once all branches are there; the last branch may have none.
type Ways<K, V> = Arc<OnceLock<Vec<Option<Predicate<K, V>>>>>;

/// A stream that is being split.
pub struct BranchedKStream<K, V> {
    source: KStream<K, V>,
    splitter: Flow,
    ways: Ways<K, V>,
    predicates: Vec<Option<Predicate<K, V>>>,
    branches: BTreeMap<String, KStream<K, V>>,
}

impl<K: Data, V: Data> BranchedKStream<K, V> {
    pub(crate) fn new(source: &KStream<K, V>, named: Named) -> BranchedKStream<K, V> {
        let ways: Ways<K, V> = Arc::new(OnceLock::new());
        let tried = Arc::clone(&ways);
        let operator =
            stateless("split", move |record: Record<K, V>, next: &mut Children<K, V>, context: &mut Context| {
                let Some(ways) = tried.get() else { return Ok(()) };
                for (place, way) in ways.iter().enumerate() {
                    let (key, value) = (record.key.as_ref(), record.value.as_ref());
                    if way.as_ref().map_or(Ok(true), |predicate| predicate(key, value))? {
                        return next.forward_to(place, record, context);
                    }
                }
                Ok(())
            });
        let splitter = source.flow.named_step(named.0.as_deref(), "KSTREAM-BRANCH-", operator, Traits::default());
        BranchedKStream { source: source.clone(), splitter, ways, predicates: Vec::new(), branches: BTreeMap::new() }
    }

    /// A branch that `finish` returns by its name: that of the split and its own, or its number.
    pub fn branch<R: Outcome<bool>>(
        self,
        takes: impl Fn(Option<&K>, Option<&V>) -> R + Send + Sync + 'static,
        named: impl Into<Named>,
    ) -> Self {
        self.branch_with(takes, named, Some)
    }

    /// A branch that a closure goes on with; what it returns is returned by `finish`.
    pub fn branch_with<R: Outcome<bool>>(
        mut self,
        takes: impl Fn(Option<&K>, Option<&V>) -> R + Send + Sync + 'static,
        named: impl Into<Named>,
        then: impl FnOnce(KStream<K, V>) -> Option<KStream<K, V>>,
    ) -> Self {
        self.predicates.push(Some(Box::new(move |key, value| takes(key, value).outcome())));
        let number = self.predicates.len();
        self.add(number, named.into(), then);
        self
    }

    /// A branch for all other records, and all branches by name.
    pub fn default_branch(mut self, named: impl Into<Named>) -> Branches<K, V> {
        self.predicates.push(None);
        self.add(0, named.into(), Some);
        self.no_default_branch()
    }

    /// Leaves out all other records; all branches by name.
    pub fn no_default_branch(self) -> Branches<K, V> {
        // Only this value sets it, and it is gone now.
        let _ = self.ways.set(self.predicates);
        Branches { prefix: self.splitter.name, by_name: self.branches }
    }

    /// BranchedKStreamImpl.createBranch: uses up a number though the name never shows it.
    fn add(&mut self, number: usize, named: Named, then: impl FnOnce(KStream<K, V>) -> Option<KStream<K, V>>) {
        let suffix = named.0.unwrap_or_else(|| number.to_string());
        let name = format!("{}{suffix}", self.splitter.name);
        self.source.flow.graph().new_name(&name);
        let flow = self.splitter.step(Step::new(name.clone(), pass::<K, V>("branch")), Traits::default());
        let branch = KStream { flow, key: self.source.key.clone(), value: self.source.value.clone() };
        if let Some(branch) = then(branch) {
            self.branches.insert(name, branch);
        }
    }
}

/// The branches of a split stream, by name.
///
/// `branches["rest"]` is the branch of that name, with the name of the split before it or without.
pub struct Branches<K, V> {
    prefix: String,
    by_name: BTreeMap<String, KStream<K, V>>,
}

impl<K, V> Branches<K, V> {
    /// A branch, by its own name or by that of the split and its own.
    pub fn get(&self, name: &str) -> Option<&KStream<K, V>> {
        self.by_name.get(name).or_else(|| self.by_name.get(&format!("{}{name}", self.prefix)))
    }

    /// The whole names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl<K, V> Index<&str> for Branches<K, V> {
    type Output = KStream<K, V>;

    /// # Panics
    /// If there is no branch of that name; `get` answers with none.
    fn index(&self, name: &str) -> &KStream<K, V> {
        match self.get(name) {
            Some(branch) => branch,
            None => panic!("there is no branch {name}, only {:?}", self.names().collect::<Vec<&str>>()),
        }
    }
}

impl<K, V> IntoIterator for Branches<K, V> {
    type Item = (String, KStream<K, V>);
    type IntoIter = std::collections::btree_map::IntoIter<String, KStream<K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_name.into_iter()
    }
}
