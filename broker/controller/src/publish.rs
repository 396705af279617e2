//! Images and what changed between two of them, to the broker. A subscriber that is behind sees one delta for
//! several images, so nothing queues up.

use std::sync::Arc;

use crate::image::{Image, Topic};

/// What changed between two images.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The newer image.
    pub image: Arc<Image>,
    /// Topics that came, changed or went.
    pub topics: Vec<TopicChange>,
    /// Whether any dynamic configuration changed; look it up in the image.
    pub configs: Vec<crate::image::ConfigResource>,
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

/// The stream of deltas of one subscriber. The first delta holds everything there is.
#[derive(Debug)]
pub struct Subscription {}

impl Subscription {
    /// Waits for the next change. Calling it says that the delta before was acted upon: methods of the
    /// controller that change metadata answer only then, so a produce that follows a create finds its partition.
    /// `None` once the controller stopped.
    pub async fn next(&mut self) -> Option<Delta> {
        unimplemented!()
    }
}
