//! Images and what changed between two of them, to the broker. A subscriber that is behind sees one delta for
//! several images, so nothing queues up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::image::{ConfigResource, Configs, Image, Topic};

/// What changed between two images.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The newer image.
    pub image: Arc<Image>,
    /// Topics that came, changed or went.
    pub topics: Vec<TopicChange>,
    /// Resources whose dynamic configuration changed; look it up in the image.
    pub configs: Vec<ConfigResource>,
}

/// One topic that differs.
#[derive(Clone, Debug)]
pub enum TopicChange {
    /// A new topic.
    Created(Arc<Topic>),
    /// A topic with more partitions, another leader, another ISR.
    Changed {
        /// As it was.
        before: Arc<Topic>,
        /// As it is.
        after: Arc<Topic>,
    },
    /// A topic that is gone. A topic deleted and made again comes as `Deleted` and `Created`.
    Deleted(Arc<Topic>),
}

impl Delta {
    /// What makes `after` of `before`. Costs what differs: shards that both images share are skipped.
    pub fn between(before: &Image, after: &Arc<Image>) -> Delta {
        let mut topics = Vec::new();
        let mut created = Vec::new();
        for (old, new) in before.topics.differing(&after.topics) {
            for (was, is) in changed_values(old, new, Arc::ptr_eq) {
                match (was, is) {
                    (Some(was), Some(is)) if was.id == is.id => {
                        topics.push(TopicChange::Changed { before: was.clone(), after: is.clone() });
                    }
                    (was, is) => {
                        topics.extend(was.cloned().map(TopicChange::Deleted));
                        created.extend(is.cloned().map(TopicChange::Created));
                    }
                }
            }
        }
        topics.append(&mut created);
        let mut configs = Vec::new();
        for (old, new) in before.configs.differing(&after.configs) {
            let same = |resource: &ConfigResource, set: &Configs| old.get(resource) == Some(set);
            configs.extend(new.iter().filter(|(resource, set)| !same(resource, set)).map(|(key, _)| key.clone()));
            configs.extend(old.keys().filter(|resource| !new.contains_key(*resource)).cloned());
        }
        Delta { image: after.clone(), topics, configs }
    }
}

/// Pairs of values that differ under the same key; `None` where the key is missing.
fn changed_values<'a, K: Hash + Eq, V>(
    old: &'a HashMap<K, V>,
    new: &'a HashMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<(Option<&'a V>, Option<&'a V>)> {
    let mut pairs = Vec::new();
    for (key, was) in old {
        match new.get(key) {
            Some(is) if same(was, is) => {}
            is => pairs.push((Some(was), is)),
        }
    }
    pairs.extend(new.iter().filter(|(key, _)| !old.contains_key(*key)).map(|(_, is)| (None, Some(is))));
    pairs
}

/// The stream of deltas of one subscriber. The first delta holds everything there is.
#[derive(Debug)]
pub struct Subscription {
    images: watch::Receiver<Option<Arc<Image>>>,
    seen: Arc<Image>,
    first: bool,
    acted: Arc<watch::Sender<i64>>,
}

impl Subscription {
    /// Waits for the next change. Calling it says that the delta before was acted upon: methods of the
    /// controller that change metadata answer only then, so a produce that follows a create finds its partition.
    /// A subscriber must therefore not wait for such a method itself. `None` once the controller stopped.
    pub async fn next(&mut self) -> Option<Delta> {
        if !self.first {
            self.acted.send_replace(self.seen.offset());
        }
        loop {
            if !self.first {
                self.images.changed().await.ok()?;
            }
            let image = self.images.borrow_and_update().clone()?;
            let delta = Delta::between(&self.seen, &image);
            self.seen = image;
            if self.first || !delta.topics.is_empty() || !delta.configs.is_empty() {
                self.first = false;
                return Some(delta);
            }
            // Brokers, features and producer ids are read from the image when they are needed.
            self.acted.send_replace(self.seen.offset());
        }
    }
}

/// Holds the newest image and tells the subscribers.
pub(crate) struct Publisher {
    image: ArcSwap<Image>,
    images: watch::Sender<Option<Arc<Image>>>,
    subscribers: Mutex<Vec<Weak<watch::Sender<i64>>>>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let image: Arc<Image> = Arc::default();
        Publisher {
            images: watch::Sender::new(Some(image.clone())),
            image: ArcSwap::new(image),
            subscribers: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn publish(&self, image: Arc<Image>) {
        self.image.store(image.clone());
        self.images.send_if_modified(|latest| match latest {
            None => false,
            Some(latest) => {
                *latest = image;
                true
            }
        });
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        self.images.send_replace(None);
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let acted = Arc::new(watch::Sender::new(i64::MIN));
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        subscribers.push(Arc::downgrade(&acted));
        Subscription { images: self.images.subscribe(), seen: Arc::default(), first: true, acted }
    }

    /// Waits until every subscriber acted on the image at `offset`.
    pub(crate) async fn acted(&self, offset: i64) {
        let waiting: Vec<_> = {
            let subscribers = self.subscribers.lock();
            subscribers.iter().filter_map(|acted| acted.upgrade().map(|acted| acted.subscribe())).collect()
        };
        for mut acted in waiting {
            // An error means that the subscriber is gone; then nobody is left to act.
            let _gone = acted.wait_for(|done| *done >= offset).await;
        }
    }
}
