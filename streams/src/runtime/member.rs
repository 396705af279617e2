//! A thread's membership of the group: what it tells the leader, and how it decides when it leads.
//!
//! Called by the client's consumer; shared with the thread, which keeps up to date what it says and takes what it was
//! told. The decision itself is `assign`'s, topics are `topics.rs`'s; here the cluster is asked and topics are made
//! (Java: `StreamsPartitionAssignor`, `InternalTopicManager`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::TopicPartition;
use client::admin::{Admin, Creation, NewTopic, OffsetSpec};
use client::config::Isolation;
use client::consumer::{GroupAssignment, GroupAssignor, GroupMember};
use client::error::ClientError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_base_env::clock::Moment;
use millstream_base_env::{Clock, task};
use millstream_protocol::error_code::ErrorCode;
use parking_lot::Mutex;

use super::topics::{Counts, Layout, Overrides, Plan, TopicsError};
use crate::assign::{self, Assignment, Call, Member, Options, Subscription, TaskId, Tasks};
use crate::topology::internal_topics::InternalTopic;
use crate::topology::{NodeKind, SourceTopics, Topology};

/// The name that all members have in common (Java: `StreamsPartitionAssignor.name`).
const NAME: &str = "stream";
/// Partitions in an answer about topics.
const PAGE: i32 = 2000;
/// How long the ends of changelogs are asked for: members wait meanwhile, and a task whose end is not known then stays
/// where its state is until the next probing rebalance asks again.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// How long topics that were made may take to appear everywhere.
const APPEARS: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What the members of one instance have in common.
pub(crate) struct Shared {
    /// The topology.
    pub topology: Topology,
    /// `application.id`
    pub application: String,
    /// Settings that count in the decision.
    pub options: Options,
    /// Settings of the application's topics.
    pub overrides: Overrides,
    /// `replication.factor`
    pub replication_factor: i16,
    /// Asks the cluster.
    pub admin: Admin,
    /// How long topics may be looked for and made while the group waits: half of `max.poll.interval.ms`, after which the
    /// group would go on without the leader (Java: `InternalTopicManager`).
    pub topics_within: Duration,
}

/// One thread's membership.
pub(crate) struct Membership {
    shared: Arc<Shared>,
    /// What it tells the leader; kept by the thread.
    pub said: Mutex<Subscription>,
    /// What it was told, until the thread takes it.
    told: Mutex<Option<Assignment>>,
    /// Why this member could not decide.
    failure: Mutex<Option<TopicsError>>,
}

impl Membership {
    pub fn new(shared: Arc<Shared>, said: Subscription) -> Arc<Membership> {
        Arc::new(Membership { shared, said: Mutex::new(said), told: Mutex::new(None), failure: Mutex::new(None) })
    }

    /// What it was told since it was asked last.
    pub fn take_told(&self) -> Option<Assignment> {
        self.told.lock().take()
    }

    /// Why this member, as the leader, could not decide.
    pub fn take_failure(&self) -> Option<TopicsError> {
        self.failure.lock().take()
    }

    async fn decide(&self, members: Vec<GroupMember>) -> Result<BTreeMap<String, Assignment>, ClientError> {
        let mut known = Vec::with_capacity(members.len());
        for member in members {
            let said = Subscription::read(&member.user_data.unwrap_or_default());
            let said =
                said.map_err(|_| ClientError::State("a member of the group is no member of this application"))?;
            known.push(Member { id: member.id, owned: member.owned, said });
        }
        let limit = self.shared.topics_within;
        let late =
            || ClientError::Timeout { doing: "looking for the topics of tasks and making them".to_owned(), limit };
        let found = tokio::time::timeout(limit, self.laid_out()).await.map_err(|_| late())??;
        let (layout, made) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "tasks cannot be given out");
                let missing = matches!(error, TopicsError::MissingSource(_));
                let call = if missing { Call::MissingSourceTopics } else { Call::Failed };
                // The others' errors name the topics too (Java: theirs say only that there was one).
                let told = Assignment { call, cause: error.to_string(), ..Assignment::default() };
                *self.failure.lock() = Some(error);
                return Ok(known.into_iter().map(|member| (member.id, told.clone())).collect());
            }
        };
        let tasks = Tasks { ends: self.ends(&layout, &made).await, partitions: layout.tasks };
        Ok(assign::assign(&known, &tasks, &self.shared.options, Clock::Real.now_ms()))
    }

    /// The tasks of the topics that are there, or why there can be none, and the topics that were made for them.
    async fn laid_out(&self) -> Result<Result<(Layout, BTreeSet<String>), TopicsError>, ClientError> {
        let present = self.present().await?;
        let plan = Plan::new(&self.shared.topology, &self.shared.application, &present);
        match plan.layout(&present, &self.shared.overrides) {
            Ok(layout) => {
                let made = self.make(&layout.own, &present).await?;
                Ok(Ok((layout, made)))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// The topics that the topology reads or makes, as far as they are there.
    async fn present(&self) -> Result<Counts, ClientError> {
        let (topology, application) = (&self.shared.topology, self.shared.application.as_str());
        let own = topology.internal_topics(application).into_iter().map(|topic| topic.name);
        let mut names: BTreeSet<String> = own.collect();
        let mut patterned = false;
        for node in topology.nodes() {
            match &node.kind {
                NodeKind::Source { topics: SourceTopics::Names(topics), .. } => {
                    names.extend(topics.iter().map(|topic| topology.whole_name(application, topic)));
                }
                NodeKind::Source { topics: SourceTopics::Pattern(_), .. } => patterned = true,
                _ => {}
            }
        }
        if patterned {
            names.extend(self.shared.admin.list_topics().await?.into_iter().map(|topic| topic.name));
        }
        self.counts(&names.into_iter().collect::<Vec<_>>()).await
    }

    async fn counts(&self, names: &[String]) -> Result<Counts, ClientError> {
        let mut counts = Counts::new();
        for (name, described) in self.shared.admin.describe_each_topic(names, PAGE).await? {
            match described {
                Ok(topic) => _ = counts.insert(name, topic.partitions.len()),
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counts)
    }

    /// Makes what is not there, and waits until it is to be seen; the names of what was made.
    async fn make(&self, own: &[InternalTopic], present: &Counts) -> Result<BTreeSet<String>, ClientError> {
        let missing: Vec<&InternalTopic> = own.iter().filter(|topic| !present.contains_key(&topic.name)).collect();
        if missing.is_empty() {
            return Ok(BTreeSet::new());
        }
        let factor = self.shared.replication_factor;
        let new = |topic: &&InternalTopic| NewTopic {
            name: topic.name.clone(),
            partitions: topic.partitions.and_then(|count| i32::try_from(count).ok()),
            replication_factor: (factor > 0).then_some(factor),
            configs: topic.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            ..NewTopic::default()
        };
        let wanted: Vec<NewTopic> = missing.iter().map(new).collect();
        for (name, result) in self.shared.admin.create_topics(&wanted, Creation::Done).await? {
            match result {
                Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error),
                _ => tracing::info!(topic = name, "an internal topic was made"),
            }
        }
        let names: Vec<String> = missing.iter().map(|topic| topic.name.clone()).collect();
        let started = Moment::now();
        while self.counts(&names).await?.len() < names.len() {
            if started.elapsed() > APPEARS {
                return Err(ClientError::Timeout { doing: "making internal topics".to_owned(), limit: APPEARS });
            }
            task::sleep(PAUSE).await;
        }
        Ok(names.into_iter().collect())
    }

    /// Of each task with state the sum of the ends of its changelogs; None where a broker does not say so in time.
    async fn ends(&self, layout: &Layout, made: &BTreeSet<String>) -> BTreeMap<TaskId, Option<i64>> {
        let mut wanted = BTreeMap::new();
        let mut of_task: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
        for task in layout.tasks.keys() {
            for topic in layout.changelogs.get(&task.subtopology).into_iter().flatten() {
                let place = TopicPartition::new(topic, task.partition);
                if !made.contains(topic) {
                    wanted.insert(place.clone(), OffsetSpec::Latest);
                }
                of_task.entry(*task).or_default().push(place);
            }
        }
        let mut found = BTreeMap::new();
        if !wanted.is_empty() {
            let admin = self.shared.admin.clone().with_timeout(ENDS_WITHIN.min(self.shared.topics_within));
            match admin.list_each_offset(&wanted, Isolation::ReadUncommitted).await {
                Ok(answers) => found = answers,
                Err(error) => tracing::warn!(%error, "the ends of changelogs cannot be asked for"),
            }
        }
        let unknown = || found.values().filter_map(|end| end.as_ref().err());
        if let Some(error) = unknown().next() {
            tracing::warn!(count = unknown().count(), %error, "the ends of changelogs are not known: tasks stay in place");
        }
        let end = |place: &TopicPartition| match found.get(place) {
            Some(Ok(end)) => Some(*end),
            None if made.contains(&place.topic) => Some(0),
            _ => None,
        };
        let sum = |places: &Vec<TopicPartition>| places.iter().map(end).sum::<Option<i64>>();
        of_task.iter().map(|(task, places)| (*task, sum(places))).collect()
    }
}

impl GroupAssignor for Membership {
    fn name(&self) -> &str {
        NAME
    }

    fn user_data(&self, _topics: &[String]) -> Option<Bytes> {
        Some(self.said.lock().write())
    }

    fn assign(
        &self,
        members: Vec<GroupMember>,
    ) -> BoxFuture<'_, Result<BTreeMap<String, GroupAssignment>, ClientError>> {
        async move {
            let told = self.decide(members).await?;
            let one = |(id, told): (String, Assignment)| {
                (id, GroupAssignment { partitions: told.partitions(), user_data: Some(told.write()) })
            };
            Ok(told.into_iter().map(one).collect())
        }
        .boxed()
    }

    fn assigned(&self, _partitions: &[TopicPartition], user_data: Option<Bytes>) {
        let told = user_data.map(|bytes| Assignment::read(&bytes)).unwrap_or(Ok(Assignment::default()));
        *self.told.lock() = Some(told.unwrap_or_else(|malformed| {
            tracing::error!(%malformed, "the leader of the group is no member of this application");
            let cause = format!("the leader of the group is no member of this application: {malformed}");
            Assignment { call: Call::Failed, cause, ..Assignment::default() }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use client::metadata::Cluster;

    use super::*;
    use crate::{KStream, StreamsBuilder};

    /// A broker takes the connection and says nothing.
    #[tokio::test]
    async fn nobody_waits_long_for_a_leader_whose_questions_are_not_answered() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let builder = StreamsBuilder::new();
        let words: KStream<String, String> = builder.stream("in");
        words.group_by_key().count("counts");
        let limit = Duration::from_millis(200);
        let shared = Shared {
            topology: builder.build().expect("sound"),
            application: "app".to_owned(),
            options: Options::default(),
            overrides: Overrides::default(),
            replication_factor: 1,
            admin: Admin::new(Cluster::new(&silent.local_addr().expect("it is bound").to_string())),
            topics_within: limit,
        };
        let leader = Membership::new(Arc::new(shared), Subscription::default());
        let started = Moment::now();
        let topics = leader.decide(Vec::new()).await.expect_err("what is there is not known");
        assert!(matches!(&topics, ClientError::Timeout { limit: told, .. } if *told == limit), "{topics}");
        assert!(topics.is_retriable(), "it joins again");

        let present = Counts::from([("in".to_owned(), 2)]);
        let plan = Plan::new(&leader.shared.topology, "app", &present);
        let layout = plan.layout(&present, &leader.shared.overrides).expect("all is there");
        let task = |partition| TaskId { subtopology: 0, partition };
        let made = BTreeSet::from(["app-counts-changelog".to_owned()]);
        let ends = leader.ends(&layout, &made).await;
        assert_eq!(ends, BTreeMap::from([(task(0), Some(0)), (task(1), Some(0))]), "nobody has to be asked");
        let ends = leader.ends(&layout, &BTreeSet::new()).await;
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert_eq!(ends, BTreeMap::from([(task(0), None), (task(1), None)]));

        // Whose state is where is known all the same, and the next probing rebalance asks again.
        let has = |id: &str, process, at| Member {
            id: id.to_owned(),
            owned: Vec::new(),
            said: Subscription { process, offsets: BTreeMap::from([(at, 7)]), ..Subscription::default() },
        };
        let process = |number| assign::ProcessId([number; 16]);
        let members = [has("a", process(1), task(1)), has("b", process(2), task(0))];
        let tasks = Tasks { ends, partitions: layout.tasks };
        let told = assign::assign(&members, &tasks, &leader.shared.options, 1_000);
        assert_eq!((&told["a"].active, &told["b"].active), (&BTreeSet::from([task(1)]), &BTreeSet::from([task(0)])));
        assert!(told.values().any(|told| told.next_rebalance_ms == Some(601_000)));
    }
}
