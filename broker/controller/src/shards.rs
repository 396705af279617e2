//! A map that is copied in pieces. Cloning it copies one pointer per shard; changing a key copies the shard it
//! lives in and nothing else, and only once while nobody else holds that copy. So a batch of changes to an image
//! of thousands of topics costs what it touches. Used by `image` only.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Small enough that cloning is a memcpy of 1 KiB, large enough that a shard of 5,000 topics holds about 40.
const SHARDS: usize = 128;

/// See the module's header.
#[derive(Clone, Debug)]
pub(crate) struct ShardMap<K, V> {
    shards: Vec<Arc<HashMap<K, V>>>,
    length: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> ShardMap<K, V> {
    pub(crate) fn new() -> Self {
        let empty = Arc::new(HashMap::new());
        ShardMap { shards: vec![empty; SHARDS], length: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[shard_of(key)].get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let shard = Arc::make_mut(&mut self.shards[shard_of(&key)]);
        if shard.insert(key, value).is_none() {
            self.length += 1;
        }
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let shard = &mut self.shards[shard_of(key)];
        if !shard.contains_key(key) {
            return None;
        }
        self.length -= 1;
        Arc::make_mut(shard).remove(key)
    }

    /// The value to be changed in place; the shard is copied first when an older image holds it too.
    pub(crate) fn change<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let shard = &mut self.shards[shard_of(key)];
        if !shard.contains_key(key) {
            return None;
        }
        Arc::make_mut(shard).get_mut(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Pairs of shards that are not the same allocation in both maps: everything outside them is equal.
    pub(crate) fn differing<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a HashMap<K, V>, &'a HashMap<K, V>)> {
        self.shards
            .iter()
            .zip(&other.shards)
            .filter(|(left, right)| !Arc::ptr_eq(left, right))
            .map(|(left, right)| (&**left, &**right))
    }
}

/// Equal for a key and its borrowed form, as `Borrow` demands; the same in every process, so that two maps of
/// the same content split it alike.
fn shard_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize % SHARDS
}
