//! Interactive queries at the edges of the runtime: `KafkaStreams` takes them, the stream thread answers them between two
//! records. What they ask and answer is `query`'s.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use client::TopicPartition;
use client::admin::{Each, OffsetSpec};
use client::config::Isolation;
use client::error::ClientError;
use millstream_base_env::task;
use tokio::sync::oneshot;

use super::app::{Common, KafkaStreams};
use super::globals::Globals;
use super::held::{Held, Log, Role};
use super::states::State;
use super::thread::StreamThread;
use crate::query::metadata::{KeyQueryMetadata, LagInfo, StreamsMetadata, partition_of};
use crate::query::{
    Asked, Asker, ChangelogAt, Instance, Local, LocalTask, Located, Position, QueryError, Queryable, Queue, Refused,
    Scope, Standing, StoreQueryParameters,
};
use crate::serde::{Serde, SerdeError};

impl KafkaStreams {
    /// A store of the topology, to be read from outside: the partitions that run here, or those that the parameters name.
    ///
    /// Stream threads answer, between two records. So what runs on one cannot ask, such as a listener of the state, a handler
    /// or a processor: each read is [`QueryError::OnStreamThread`] there.
    ///
    /// ```no_run
    /// use streams::{KafkaStreams, KeyValue, QueryError, StoreQueryParameters};
    ///
    /// fn count(app: &KafkaStreams, word: &str) -> Result<Option<i64>, QueryError> {
    ///     app.store::<KeyValue<String, i64>>("counts")?.get(word).wait()
    /// }
    ///
    /// async fn maybe_old_count(app: &KafkaStreams, word: &str) -> Result<Option<i64>, QueryError> {
    ///     let counts = StoreQueryParameters::new("counts").enable_stale_stores();
    ///     app.store::<KeyValue<String, i64>>(counts)?.get(word).await
    /// }
    /// ```
    ///
    /// # Errors
    /// When the application does not run, or the topology has no such store. Whether the store is of that type, and is
    /// here, is seen with each read.
    pub fn store<Q: Queryable>(&self, parameters: impl Into<StoreQueryParameters>) -> Result<Q::ReadOnly, QueryError> {
        let parameters = parameters.into();
        self.common.check_open()?;
        let scope = self.common.scope_of(parameters.store_name())?;
        Ok(Q::read_only(Asker::new(Arc::clone(&self.common) as Arc<dyn Instance>, parameters, scope)))
    }

    /// All instances that have an `application.server`, with what they have.
    ///
    /// # Errors
    /// When the application does not run.
    pub fn metadata_for_all_streams_clients(&self) -> Result<Vec<StreamsMetadata>, QueryError> {
        self.common.check_open()?;
        let shared = &self.common.shared;
        Ok(self.common.directory().all(&shared.topology, &shared.application))
    }

    /// The instances that have a part of a store or a copy of one.
    ///
    /// # Errors
    /// When the application does not run, or the topology has no such store.
    pub fn streams_metadata_for_store(&self, store: &str) -> Result<Vec<StreamsMetadata>, QueryError> {
        self.common.check_open()?;
        self.common.scope_of(store)?;
        let shared = &self.common.shared;
        Ok(self.common.directory().of_store(&shared.topology, &shared.application, store))
    }

    /// The instances that have a key: the one whose task runs, and those with a copy. The key need not be there.
    ///
    /// ```no_run
    /// use streams::serde::StringSerde;
    /// use streams::{HostInfo, KafkaStreams, QueryError};
    ///
    /// fn host_of(app: &KafkaStreams, word: &str) -> Result<Option<HostInfo>, QueryError> {
    ///     Ok(app.query_metadata_for_key("counts", &word.to_owned(), StringSerde)?.active_host)
    /// }
    /// ```
    ///
    /// # Errors
    /// When the application does not run, the topology has no such store, or no instance is known yet.
    pub fn query_metadata_for_key<K>(
        &self,
        store: &str,
        key: &K,
        serde: impl Serde<K>,
    ) -> Result<KeyQueryMetadata, QueryError> {
        let failed = |error: SerdeError| QueryError::Store { store: store.to_owned(), cause: error.to_string() };
        self.common.of_key(store, |_, count| partition_of(key, &serde, count).map_err(failed))
    }

    /// The same where the records of the store were partitioned by a closure of `Produced` or `Repartitioned`.
    ///
    /// # Errors
    /// As above, and where it names no partition or more than one.
    pub fn query_metadata_for_key_by<K, V>(
        &self,
        store: &str,
        key: &K,
        partitioner: impl Fn(&str, Option<&K>, Option<&V>, u32) -> Option<Vec<u32>>,
    ) -> Result<KeyQueryMetadata, QueryError> {
        self.common.of_key(store, |topic, count| match partitioner(topic, Some(key), None, count).as_deref() {
            Some([one]) => Ok(*one),
            other => {
                let cause = format!("its partitioner named {other:?} in place of one partition");
                Err(QueryError::Store { store: store.to_owned(), cause })
            }
        })
    }

    /// How far each store here is behind its changelog, by its name and partition: copies and stores that are being
    /// restored too. A partition whose changelog's end the cluster does not tell is left out, and the log says why; where it
    /// tells none, that is the error (Java's fails whole with the first one that is not told).
    pub fn all_local_store_partition_lags(&self) -> Asked<Lags> {
        let Some(runtime) = &self.runtime else { return Asked::known(Err(QueryError::StreamsNotStarted)) };
        if self.common.is_stream_thread() {
            return Asked::known(Err(QueryError::OnStreamThread));
        }
        let mut answers = Vec::new();
        for queue in self.common.all_queues() {
            let (tell, answer) = oneshot::channel();
            match queue.push(Box::new(move |local| _ = tell.send(changelogs(local)))) {
                Ok(()) => answers.push(answer),
                Err(Refused::Full) => return Asked::known(Err(QueryError::Busy)),
                // Of a thread that ends nothing is here any more.
                Err(Refused::Closed) => {}
            }
        }
        let admin = self.common.shared.admin.clone();
        let _inside = runtime.enter();
        let lags = task::spawn("store lags", async move {
            let mut all = Vec::new();
            for answer in answers {
                // None of a thread that has ended meanwhile.
                all.extend(answer.await.unwrap_or_default());
            }
            let wanted: BTreeMap<_, _> = all.iter().map(|at| (at.place.clone(), OffsetSpec::Latest)).collect();
            if wanted.is_empty() {
                return Ok(Lags::new());
            }
            let unknown = |error: ClientError| QueryError::Cluster(error.to_string());
            let ends = admin.list_each_offset(&wanted, Isolation::ReadUncommitted).await.map_err(unknown)?;
            lags_of(all, &ends)
        });
        Asked::new(async move {
            lags.await.unwrap_or_else(|_| Err(QueryError::Cluster("the application ended meanwhile".to_owned())))
        })
    }
}

thread_local! {
    /// Of which application this is a stream thread.
    static WORKS_FOR: Cell<*const Common> = const { Cell::new(std::ptr::null()) };
}

impl Common {
    /// This thread is one of the application's, and holds on to it until the thread ends.
    pub(super) fn mark_stream_thread(self: &Arc<Common>) {
        WORKS_FOR.set(Arc::as_ptr(self));
    }

    /// Whether this is a thread that alone could answer what it asks: a listener, a handler or a processor asks.
    fn is_stream_thread(&self) -> bool {
        std::ptr::eq(WORKS_FOR.get(), self)
    }

    /// KafkaStreams.validateIsRunningOrRebalancing.
    fn check_open(&self) -> Result<(), QueryError> {
        match self.states.state() {
            State::Created => Err(QueryError::StreamsNotStarted),
            State::Rebalancing | State::Running => Ok(()),
            state => Err(QueryError::StreamsStopped(state)),
        }
    }

    fn scope_of(&self, store: &str) -> Result<Scope, QueryError> {
        let topology = &self.shared.topology;
        if topology.stores().iter().any(|known| known.name == store) {
            Ok(Scope::Partitions)
        } else if topology.global_stores().iter().any(|known| known.name == store) {
            Ok(Scope::Global)
        } else {
            Err(QueryError::UnknownStateStore(store.to_owned()))
        }
    }

    fn of_key(
        &self,
        store: &str,
        partition: impl FnOnce(&str, u32) -> Result<u32, QueryError>,
    ) -> Result<KeyQueryMetadata, QueryError> {
        self.check_open()?;
        self.scope_of(store)?;
        let own = self.settings.application_server.as_deref();
        let (topology, application) = (&self.shared.topology, self.shared.application.as_str());
        self.directory().of_key(topology, (application, own), store, partition)
    }
}

impl Instance for Common {
    fn queues(&self) -> Result<Vec<Arc<Queue>>, QueryError> {
        self.check_open()?;
        if self.is_stream_thread() {
            return Err(QueryError::OnStreamThread);
        }
        Ok(self.all_queues())
    }
}

/// By the names of stores, and their partitions.
type Lags = BTreeMap<String, BTreeMap<i32, LagInfo>>;

/// The lags of stores whose changelogs end there, as far as that is known.
fn lags_of(all: Vec<ChangelogAt>, ends: &Each<TopicPartition, i64>) -> Result<Lags, QueryError> {
    let (mut lags, mut failed) = (Lags::new(), None);
    for ChangelogAt { store, place, position } in all {
        match ends.get(&place) {
            Some(Ok(end)) => {
                let lag = LagInfo { current_offset_position: position.unwrap_or(*end), end_offset_position: *end };
                lags.entry(store).or_default().insert(place.partition, lag);
            }
            Some(Err(error)) => {
                tracing::warn!(store, changelog = %place, %error, "how far a store is behind is not known");
                failed = failed.or_else(|| Some(QueryError::Cluster(error.to_string())));
            }
            None => {}
        }
    }
    match failed {
        Some(error) if lags.is_empty() => Err(error),
        _ => Ok(lags),
    }
}

fn changelogs(local: &Local<'_>) -> Vec<ChangelogAt> {
    local.tasks.iter().flat_map(|task| task.located.changelogs()).collect()
}

impl Located for Held {
    /// Of a task that runs what it processed, or what was committed of what it did not process yet; of a copy what it
    /// contains of source topics that stand for changelogs.
    fn position(&self) -> Position {
        let mut position = Position::new();
        if self.role == Role::Active {
            for (place, next) in self.committed.iter().filter(|(_, next)| **next > 0) {
                position = position.with(&place.topic, place.partition, next - 1);
            }
            for (number, input) in self.task.inputs().iter().enumerate() {
                if let Some(last) = self.task.last_offset(number) {
                    position = position.with(&input.topic, input.partition, last);
                }
            }
        } else {
            for log in self.logs.iter().filter(|log| !log.is_own && log.position > 0) {
                position = position.with(&log.place.topic, log.place.partition, log.position - 1);
            }
        }
        position
    }

    fn changelogs(&self) -> Vec<ChangelogAt> {
        let position = |log: &Log| (self.role != Role::Active).then_some(log.position);
        let at =
            |log: &Log| ChangelogAt { store: log.store.clone(), place: log.place.clone(), position: position(log) };
        self.logs.iter().map(at).collect()
    }
}

impl StreamThread {
    /// Answers the queries that wait; a look at a flag where none does.
    pub(super) fn answer(&self) {
        if !self.wishes.queries.is_waiting() {
            return;
        }
        let standing = |role: Role| match role {
            Role::Active => Some(Standing::Active),
            Role::Restoring | Role::Standby => Some(Standing::Stale),
            Role::Created => None,
        };
        let task = |held| -> Option<LocalTask<'_>> {
            let held: &Held = held;
            Some(LocalTask { id: held.id, standing: standing(held.role)?, stores: held.task.stores(), located: held })
        };
        let local = Local {
            state: self.state,
            tasks: self.tasks.values().filter_map(task).collect(),
            globals: self.globals.as_ref().map(Globals::stores),
        };
        for question in self.wishes.queries.take() {
            question(&local);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;
    use crate::{KeyValue, StreamsBuilder, StreamsConfig, Uncaught};

    #[test]
    fn a_changelog_without_a_leader_hides_no_other_lag() {
        let place = |partition| TopicPartition::new("app-counts-changelog", partition);
        let at = |partition, position| ChangelogAt { store: "counts".to_owned(), place: place(partition), position };
        let all = || vec![at(0, Some(3)), at(1, Some(5)), at(2, None)];
        let topic = || "app-counts-changelog".to_owned();
        let away = |partition| (place(partition), Err(ClientError::NoLeader { topic: topic(), partition }));
        let lags =
            lags_of(all(), &Each::from([(place(0), Ok(10)), away(1), (place(2), Ok(7))])).expect("two are known");
        let known: Vec<_> = lags["counts"].iter().map(|(partition, lag)| (*partition, lag.offset_lag())).collect();
        assert_eq!(known, [(0, 7), (2, 0)]);
        let none = lags_of(all(), &Each::from([0, 1, 2].map(away)));
        assert!(matches!(&none, Err(QueryError::Cluster(cause)) if cause.contains("changelog-0")), "{none:?}");
    }

    /// What runs on a stream thread would wait there for its own answer.
    #[test]
    fn a_stream_thread_cannot_ask_its_own_application() {
        let app = || {
            let builder = StreamsBuilder::new();
            builder.stream::<String, String>("in").group_by_key().count("counts");
            // Nobody listens there; and no consumer takes that.
            let config = StreamsConfig::new("asked", "127.0.0.1:1").set("default.dsl.store", "in_memory");
            let config = config.set("main.consumer.isolation.level", "none");
            Arc::new(KafkaStreams::new(builder.build().expect("sound"), config).expect("settings are sound"))
        };
        let (app, other) = (app(), app());
        let (inside, seen) = (Arc::downgrade(&app), Arc::new(Mutex::new(Vec::new())));
        let (told, beside) = (Arc::clone(&seen), Arc::downgrade(&other));
        app.set_uncaught_handler(move |_| {
            let (app, other) = (inside.upgrade().expect("it is there"), beside.upgrade().expect("it is there"));
            let counts = app.store::<KeyValue<String, i64>>("counts").expect("it is open");
            told.lock().push(counts.get("a").wait().expect_err("it would wait for itself"));
            told.lock().push(app.all_local_store_partition_lags().wait().expect_err("it would wait for itself"));
            told.lock().push(other.store::<KeyValue<String, i64>>("counts").err().expect("it was not started"));
            Uncaught::ShutdownClient
        })
        .expect("it is not started");
        app.start().expect("threads start");
        assert!(app.wait_ended(Duration::from_secs(60)));
        use QueryError::{OnStreamThread, StreamsNotStarted};
        assert_eq!(*seen.lock(), [OnStreamThread, OnStreamThread, StreamsNotStarted]);
        assert!(
            app.all_local_store_partition_lags().wait().is_ok_and(|lags| lags.is_empty()),
            "this is another thread"
        );
    }
}
