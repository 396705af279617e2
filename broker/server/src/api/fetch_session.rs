//! Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, so that requests and answers
//! carry only what changed.
//!
//! Called by api/k01_fetch.rs before and after the partitions are read. The rules are those of Java's `FetchManager`
//! and `FetchSession`.
//! Not done: precedence of followers' sessions over those of clients (a cluster's issue).

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::fetch_request::FetchPartition;
use millstream_protocol::messages::{FetchRequest, TopicName};
use parking_lot::Mutex;
use uuid::Uuid;

/// The epoch of a request that begins a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none, or ends one.
const FINAL_EPOCH: i32 = -1;
/// No session.
pub const NO_SESSION: i32 = 0;
/// A session may be evicted when it was not used for this long (Java: `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_MS: i64 = 120_000;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// One partition that a fetch asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Name of its topic; empty where only the id is known.
    pub topic: TopicName,
    /// Id of its topic; nil below v13.
    pub topic_id: Uuid,
    /// The name that the id had when it was first known here; none below v13.
    pub name: Option<Arc<str>>,
    /// What is wanted of it.
    pub data: FetchPartition,
}

/// What kind of answer a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything, and no session.
    Sessionless,
    /// Everything, and a session if there is room.
    Full,
    /// What changed since the last answer in this session.
    Incremental(i32),
}

/// A request's partitions with the kind of its answer.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The kind.
    pub kind: Kind,
    /// Every partition to be read, in order.
    pub asked: Vec<Asked>,
}

/// What an answer says of one partition, as far as sessions compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its high watermark.
    pub high_watermark: i64,
    /// Its log start.
    pub log_start_offset: i64,
    /// Bytes of records.
    pub records_length: usize,
    /// Its error, 0 for none.
    pub error_code: i16,
    /// Whether it names a diverging epoch or another replica.
    pub special: bool,
}

struct Cached {
    asked: Asked,
    high_watermark: i64,
    log_start_offset: i64,
}

struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    created_ms: i64,
    last_used_ms: i64,
    partitions: Vec<Cached>,
}

/// The sessions of a node.
pub struct FetchSessions {
    slots: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<i32, Session>,
}

/// Java divides the ids among this many shards.
const SHARDS: i32 = 8;
/// Ids that belong to one of them.
const IDS_OF_A_SHARD: i32 = i32::MAX / SHARDS;

/// Whether an id can be one of a session. Java divides it by the ids of a shard and fails where no shard has that
/// number, as below zero (`FetchSession.FetchSessionCache.getCacheShard`, eight shards).
pub fn is_possible(session_id: i32) -> bool {
    (0..SHARDS).contains(&(session_id / IDS_OF_A_SHARD))
}

impl FetchSessions {
    /// Room for `slots` sessions (`max.incremental.fetch.session.cache.slots`).
    pub fn new(slots: usize) -> Self {
        FetchSessions { slots, state: Mutex::default() }
    }

    /// Number of sessions.
    pub fn count(&self) -> usize {
        self.state.lock().sessions.len()
    }

    /// Takes a request into its session; `name_of` knows the topics by id.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
    pub fn open(
        &self,
        request: FetchRequest,
        version: i16,
        now_ms: i64,
        name_of: &dyn Fn(Uuid) -> Option<Arc<str>>,
    ) -> Result<Opened, ErrorCode> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != NO_SESSION {
                self.state.lock().sessions.remove(&id);
            }
            let kind = if epoch == FINAL_EPOCH { Kind::Sessionless } else { Kind::Full };
            let mut asked: Vec<Asked> = flat(request).collect();
            if version >= TOPIC_IDS_FROM {
                asked.iter_mut().for_each(|one| one.learn_name(name_of));
            }
            return Ok(Opened { kind, asked });
        }
        let mut state = self.state.lock();
        let session = state.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != (version >= TOPIC_IDS_FROM) {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let forgotten = forgotten(&request);
        let mut named: Vec<Asked> = flat(request).collect();
        session.update(&named, &forgotten);
        if session.uses_topic_ids {
            session.partitions.iter_mut().for_each(|cached| cached.asked.learn_name(name_of));
        }
        if session.partitions.is_empty() {
            if session.uses_topic_ids {
                named.iter_mut().for_each(|one| one.learn_name(name_of));
            }
            state.sessions.remove(&id);
            // What the request both adds and forgets is answered once (Java: `FetchManager.newContext`).
            return Ok(Opened { kind: Kind::Sessionless, asked: named });
        }
        session.last_used_ms = now_ms;
        session.epoch = next_epoch(session.epoch);
        let asked = session.partitions.iter().map(|cached| cached.asked.clone()).collect();
        Ok(Opened { kind: Kind::Incremental(id), asked })
    }

    /// Keeps a full fetch as a new session; its id, or none when there is no room.
    pub fn create(&self, asked: Vec<Asked>, told: &[Told], version: i16, now_ms: i64) -> i32 {
        if asked.is_empty() {
            return NO_SESSION;
        }
        let mut state = self.state.lock();
        if state.sessions.len() >= self.slots && !state.evict(asked.len(), now_ms) {
            return NO_SESSION;
        }
        let id = state.free_id();
        let partitions = asked.into_iter().zip(told).map(|(asked, told)| Cached {
            asked,
            // After an error the next answer is to name the partition again.
            high_watermark: if told.error_code == 0 { told.high_watermark } else { -1 },
            log_start_offset: told.log_start_offset,
        });
        let session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids: version >= TOPIC_IDS_FROM,
            created_ms: now_ms,
            last_used_ms: now_ms,
            partitions: partitions.collect(),
        };
        state.sessions.insert(id, session);
        id
    }

    /// Which partitions the answer in session `id` must name; remembers what they were told. Partitions that had
    /// records go behind the others, so that each has its turn.
    pub fn changed(&self, id: i32, told: &[Told]) -> Vec<bool> {
        let mut state = self.state.lock();
        let Some(session) = state.sessions.get_mut(&id) else { return vec![true; told.len()] };
        if session.partitions.len() != told.len() {
            return vec![true; told.len()];
        }
        let changed: Vec<bool> =
            session.partitions.iter_mut().zip(told).map(|(cached, told)| cached.must_tell(told)).collect();
        let mut served = Vec::new();
        let mut kept = Vec::with_capacity(told.len());
        for (cached, told) in session.partitions.drain(..).zip(told) {
            if told.records_length > 0 { served.push(cached) } else { kept.push(cached) }
        }
        kept.append(&mut served);
        session.partitions = kept;
        changed
    }
}

impl State {
    /// Drops the session that was idle longest, if it was idle long enough; else the smallest that had its time, if
    /// the new one is of more partitions (Java: `FetchSessionCacheShard.tryEvict`).
    fn evict(&mut self, size: usize, now_ms: i64) -> bool {
        let idle = |session: &Session| now_ms - session.last_used_ms > EVICTION_MS;
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used_ms);
        let oldest = oldest.filter(|(_, session)| idle(session));
        let had_its_time = |session: &Session| session.last_used_ms - session.created_ms > EVICTION_MS;
        let smallest = || {
            let old = self.sessions.iter().filter(|(_, session)| had_its_time(session));
            old.min_by_key(|(id, session)| (session.partitions.len(), **id))
                .filter(|(_, session)| session.partitions.len() < size)
        };
        let Some(id) = oldest.or_else(smallest).map(|(id, _)| *id) else { return false };
        self.sessions.remove(&id).is_some()
    }

    /// An id drawn at random, as Java's `FetchSessionCacheShard.newSessionId`: a client that kept a session over a
    /// restart of the broker must not meet another's under the same id.
    fn free_id(&self) -> i32 {
        loop {
            let drawn = (Uuid::new_v4().as_u128() % (IDS_OF_A_SHARD as u128 * SHARDS as u128)) as i32;
            if drawn != NO_SESSION && !self.sessions.contains_key(&drawn) {
                return drawn;
            }
        }
    }
}

/// A partition in a request: the name below version 13, the id from there on.
type Key = (TopicName, Uuid, i32);

impl Session {
    fn update(&mut self, named: &[Asked], forgotten: &HashSet<Key>) {
        let mut wanted: HashMap<Key, Asked> = HashMap::new();
        let mut order = Vec::new();
        for asked in named {
            let key = asked.key();
            if wanted.insert(key.clone(), asked.clone()).is_none() {
                order.push(key);
            }
        }
        for cached in &mut self.partitions {
            if let Some(asked) = wanted.remove(&cached.asked.key()) {
                cached.asked = Asked { name: cached.asked.name.take(), ..asked };
            }
        }
        for key in order {
            if let Some(asked) = wanted.remove(&key) {
                self.partitions.push(Cached { asked, high_watermark: -1, log_start_offset: -1 });
            }
        }
        // What a request both adds and forgets is forgotten.
        if !forgotten.is_empty() {
            self.partitions.retain(|cached| !forgotten.contains(&cached.asked.key()));
        }
    }
}

impl Cached {
    /// Java: `CachedPartition.maybeUpdateResponseData`.
    fn must_tell(&mut self, told: &Told) -> bool {
        let mut must = told.records_length > 0 || told.special;
        if self.high_watermark != told.high_watermark {
            must = true;
            self.high_watermark = told.high_watermark;
        }
        if self.log_start_offset != told.log_start_offset {
            must = true;
            self.log_start_offset = told.log_start_offset;
        }
        if told.error_code != 0 {
            must = true;
            self.high_watermark = -1;
        }
        must
    }
}

impl Asked {
    /// A session goes on to ask for a topic by the name that its id had, whatever becomes of the topic (Java:
    /// `CachedPartition.maybeResolveUnknownName`).
    fn learn_name(&mut self, name_of: &dyn Fn(Uuid) -> Option<Arc<str>>) {
        if self.name.is_none() {
            self.name = name_of(self.topic_id);
        }
    }

    fn key(&self) -> Key {
        (self.topic.clone(), self.topic_id, self.data.partition)
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// The partitions that `request` takes out of its session.
fn forgotten(request: &FetchRequest) -> HashSet<Key> {
    let topics = request.forgotten_topics_data.iter();
    topics
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.clone(), topic.topic_id, *index)))
        .collect()
}

/// The partitions of a request, each once: named again, the later data stands in the earlier place (Java: a linked
/// map in `FetchRequest.fetchData`).
fn flat(request: FetchRequest) -> impl Iterator<Item = Asked> {
    let several = request.topics.len() > 1 || request.topics.iter().any(|topic| topic.partitions.len() > 1);
    let mut all: Vec<Asked> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for topic in request.topics {
        for data in topic.partitions {
            let asked = Asked { topic: topic.topic.clone(), topic_id: topic.topic_id, name: None, data };
            if several {
                let key = (asked.topic.clone(), asked.topic_id, asked.data.partition);
                if let Some(place) = places.get(&key) {
                    all[*place] = asked;
                    continue;
                }
                places.insert(key, all.len());
            }
            all.push(asked);
        }
    }
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::messages::StrBytes;
    use millstream_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};

    fn topic(name: &'static str) -> TopicName {
        TopicName(StrBytes::from_static_str(name))
    }

    fn request(id: i32, epoch: i32, partitions: &[(&'static str, i32)]) -> FetchRequest {
        let topics = partitions.iter().map(|(name, index)| {
            FetchTopic::default()
                .with_topic(topic(name))
                .with_partitions(vec![FetchPartition::default().with_partition(*index)])
        });
        FetchRequest::default().with_session_id(id).with_session_epoch(epoch).with_topics(topics.collect())
    }

    fn told(high_watermark: i64, records_length: usize) -> Told {
        Told { high_watermark, log_start_offset: 0, records_length, error_code: 0, special: false }
    }

    fn session(sessions: &FetchSessions) -> i32 {
        let opened = sessions.open(request(0, 0, &[("a", 0), ("b", 0)]), 12, 0, &|_| None).expect("a full fetch");
        assert_eq!(opened.kind, Kind::Full);
        sessions.create(opened.asked, &[told(1, 0), told(1, 0)], 12, 0)
    }

    #[test]
    fn an_incremental_answer_names_what_changed() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        let opened = sessions.open(request(id, 1, &[]), 12, 0, &|_| None).expect("the next epoch");
        assert_eq!((opened.kind, opened.asked.len()), (Kind::Incremental(id), 2));
        assert_eq!(sessions.changed(id, &[told(1, 0), told(2, 7)]), [false, true]);
        assert_eq!(sessions.changed(id, &[told(1, 0), told(2, 0)]), [false, false]);
    }

    #[test]
    fn a_partition_with_records_goes_behind_the_others() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        sessions.open(request(id, 1, &[]), 12, 0, &|_| None).expect("the next epoch");
        sessions.changed(id, &[told(1, 5), told(1, 0)]);
        let opened = sessions.open(request(id, 2, &[]), 12, 0, &|_| None).expect("the next epoch");
        assert_eq!(opened.asked[0].topic, topic("b"));
    }

    #[test]
    fn an_error_is_told_each_time_and_the_recovery_too() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        sessions.open(request(id, 1, &[]), 12, 0, &|_| None).expect("the next epoch");
        let failed = Told { error_code: 6, ..told(1, 0) };
        assert_eq!(sessions.changed(id, &[failed, told(1, 0)]), [true, false]);
        assert_eq!(sessions.changed(id, &[failed, told(1, 0)]), [true, false]);
        assert_eq!(sessions.changed(id, &[told(1, 0), told(1, 0)]), [true, false]);
    }

    #[test]
    fn ids_of_one_start_are_unlike_those_of_the_last() {
        let drawn = || {
            let sessions = FetchSessions::new(10);
            [(); 10].map(|()| session(&sessions))
        };
        let (before, after) = (drawn(), drawn());
        assert!(before.iter().chain(&after).all(|id| *id != NO_SESSION && is_possible(*id)));
        assert!(before.iter().all(|id| !after.contains(id)), "{before:?} {after:?}");
    }

    #[test]
    fn forgetting_the_last_partition_ends_the_session() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        let forgotten =
            ["a", "b"].map(|name| ForgottenTopic::default().with_topic(topic(name)).with_partitions(vec![0]));
        let request = request(id, 1, &[]).with_forgotten_topics_data(forgotten.to_vec());
        assert_eq!(sessions.open(request, 12, 0, &|_| None).expect("legal").kind, Kind::Sessionless);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn what_the_last_request_adds_and_forgets_is_answered_once() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        let forgotten =
            ["a", "b"].map(|name| ForgottenTopic::default().with_topic(topic(name)).with_partitions(vec![0]));
        let request = request(id, 1, &[("a", 0)]).with_forgotten_topics_data(forgotten.to_vec());
        let opened = sessions.open(request, 12, 0, &|_| None).expect("legal");
        assert_eq!((opened.kind, opened.asked.len()), (Kind::Sessionless, 1));
    }

    #[test]
    fn wrong_ids_epochs_and_versions_have_their_errors() {
        let sessions = FetchSessions::new(10);
        let id = session(&sessions);
        let code = |result: Result<Opened, ErrorCode>| result.map(|opened| opened.kind).expect_err("refused");
        assert_eq!(code(sessions.open(request(id + 1, 1, &[]), 12, 0, &|_| None)), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(code(sessions.open(request(id, 5, &[]), 12, 0, &|_| None)), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(code(sessions.open(request(id, 1, &[]), 13, 0, &|_| None)), ErrorCode::FetchSessionTopicIdError);
    }

    #[test]
    fn a_full_cache_gives_no_session_until_one_is_old() {
        let sessions = FetchSessions::new(1);
        session(&sessions);
        let asked = sessions.open(request(0, 0, &[("c", 0)]), 12, 0, &|_| None).expect("a full fetch").asked;
        assert_eq!(sessions.create(asked.clone(), &[told(0, 0)], 12, EVICTION_MS), NO_SESSION);
        assert_ne!(sessions.create(asked, &[told(0, 0)], 12, EVICTION_MS + 1), NO_SESSION);
        assert_eq!(sessions.count(), 1);
    }

    #[test]
    fn a_larger_session_takes_the_place_of_a_smaller_one_that_had_its_time() {
        let sessions = FetchSessions::new(1);
        let id = session(&sessions);
        let asked = |names: &[(&'static str, i32)]| {
            sessions.open(request(0, 0, names), 12, 0, &|_| None).expect("a full fetch").asked
        };
        let (same, larger) = (asked(&[("c", 0), ("d", 0)]), asked(&[("c", 0), ("d", 0), ("e", 0)]));
        let all = [told(0, 0); 3];
        assert_eq!(sessions.create(larger.clone(), &all, 12, EVICTION_MS), NO_SESSION, "used, but still young");
        sessions.open(request(id, 1, &[]), 12, EVICTION_MS + 1, &|_| None).expect("the next epoch");
        assert_eq!(sessions.create(same, &all[..2], 12, EVICTION_MS + 2), NO_SESSION, "no larger");
        assert_ne!(sessions.create(larger, &all, 12, EVICTION_MS + 2), NO_SESSION);
        assert_eq!(sessions.count(), 1);
    }
}
