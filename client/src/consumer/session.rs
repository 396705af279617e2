//! A fetch session with one broker: only what changed is named again (KIP-227, Java: `FetchSessionHandler`).
//!
//! Pure; `fetch.rs` builds a request from each plan and tells what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::TopicPartition;

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    pub topic_id: Uuid,
    pub offset: i64,
    pub leader_epoch: i32,
}

/// Partitions with what is asked of each; a request shares what they are called.
pub(crate) type Wants = BTreeMap<Arc<TopicPartition>, Want>;

/// What the next request says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub session_id: i32,
    pub session_epoch: i32,
    pub send: Wants,
    pub forget: Vec<(Arc<TopicPartition>, Uuid)>,
}

/// A session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    id: i32,
    /// 0 asks for a new one.
    epoch: i32,
    /// What the broker knows.
    known: Wants,
}

impl Session {
    /// What to send so that the broker looks at `wants`.
    pub fn plan(&mut self, wants: &Wants) -> Plan {
        let (session_id, session_epoch) = (self.id, self.epoch);
        if self.epoch == 0 {
            self.known = wants.clone();
            return Plan { session_id, session_epoch, send: wants.clone(), forget: Vec::new() };
        }
        let changed = wants.iter().filter(|(place, want)| self.known.get(*place) != Some(want));
        let send: Wants = changed.map(|(place, want)| (place.clone(), *want)).collect();
        // A topic that was made anew is another topic: the old one is to be forgotten.
        let gone = |place: &Arc<TopicPartition>, known: &Want| {
            wants.get(place).is_none_or(|want| want.topic_id != known.topic_id)
        };
        let forget = self.known.iter().filter(|(place, known)| gone(place, known));
        let forget = forget.map(|(place, known)| (place.clone(), known.topic_id)).collect();
        self.known = wants.clone();
        Plan { session_id, session_epoch, send, forget }
    }

    /// An answer came with this session id.
    pub fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            *self = Session::default();
        } else {
            self.id = session_id;
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
    }

    /// The broker does not know the session.
    pub fn unknown(&mut self) {
        *self = Session::default();
    }

    /// No answer came, or the broker refused: the old session is closed by asking for a new one.
    pub fn broken(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(list: &[(i32, i64)]) -> Wants {
        let want = |offset| Want { topic_id: Uuid::from_u128(1), offset, leader_epoch: 0 };
        list.iter().map(|(partition, offset)| (Arc::new(TopicPartition::new("t", *partition)), want(*offset))).collect()
    }

    #[test]
    fn only_what_changed_is_sent_again() {
        let mut session = Session::default();
        let plan = session.plan(&wants(&[(0, 5), (1, 7)]));
        assert_eq!((plan.session_id, plan.session_epoch, plan.send.len()), (0, 0, 2));
        session.answered(42);
        let plan = session.plan(&wants(&[(0, 5), (1, 9), (2, 0)]));
        assert_eq!((plan.session_id, plan.session_epoch), (42, 1));
        assert_eq!((plan.send, plan.forget), (wants(&[(1, 9), (2, 0)]), vec![]));
        session.answered(42);
        let plan = session.plan(&wants(&[(1, 9)]));
        assert!(plan.send.is_empty());
        assert_eq!(plan.forget.iter().map(|(place, _)| place.partition).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_broken_session_is_closed_and_an_unknown_one_left() {
        let mut session = Session::default();
        session.plan(&wants(&[(0, 5)]));
        session.answered(42);
        session.broken();
        let plan = session.plan(&wants(&[(0, 5)]));
        assert_eq!((plan.session_id, plan.session_epoch, plan.send.len()), (42, 0, 1));
        session.unknown();
        let plan = session.plan(&wants(&[(0, 5)]));
        assert_eq!((plan.session_id, plan.session_epoch), (0, 0));
        // A broker that keeps no sessions answers 0: every request is a full one.
        session.answered(0);
        assert_eq!(session.plan(&wants(&[(0, 5)])).send.len(), 1);
    }

    #[test]
    fn a_topic_made_anew_is_forgotten_and_named_again() {
        let mut session = Session::default();
        session.plan(&wants(&[(0, 5)]));
        session.answered(42);
        let mut other = wants(&[(0, 0)]);
        other.values_mut().for_each(|want| want.topic_id = Uuid::from_u128(2));
        let plan = session.plan(&other);
        assert_eq!((plan.send.len(), plan.forget[0].1), (1, Uuid::from_u128(1)));
    }
}
