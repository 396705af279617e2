//! A question from a view of a store to the threads that have it, and the answers together again.
//!
//! `Asker` stands on the side of whoever asks, `Local` on that of the thread; between them goes a closure. Called by the
//! views (`key_value.rs` and its like) and by the stream thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use client::TopicPartition;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::parameters::Staleness;
use super::queue::Question;
use super::rows::{Cursor, Part};
use super::{Asked, AskedRows, Position, QueryError, Queue, Refused, StoreQueryParameters};
use crate::assign::TaskId;
use crate::runtime::states::ThreadState;
use crate::store::page::{Limit, Page, PageFrom};
use crate::task::Stores;
use crate::task::errors::Failure;
use crate::task::link::fatal;

/// The threads of an application as a view sees them.
pub(crate) trait Instance: Send + Sync {
    /// Where the questions of each thread that is alive go.
    fn queues(&self) -> Result<Vec<Arc<Queue>>, QueryError>;
}

/// How far a task is.
pub(crate) trait Located {
    /// The offsets of the last records that its stores contain.
    fn position(&self) -> Position;
    /// How far its stores are.
    fn changelogs(&self) -> Vec<ChangelogAt>;
}

/// How far a store is in its changelog.
pub(crate) struct ChangelogAt {
    pub store: String,
    pub place: TopicPartition,
    /// None of one whose task runs: it is at the end.
    pub position: Option<i64>,
}

/// What a thread does with a task, as far as it matters to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It runs.
    Active,
    /// It follows, or is being restored.
    Stale,
}

/// A task of the thread that is asked.
pub(crate) struct LocalTask<'a> {
    pub id: TaskId,
    pub standing: Standing,
    pub stores: &'a Stores,
    pub located: &'a dyn Located,
}

/// What a thread has when a question runs on it.
pub(crate) struct Local<'a> {
    pub state: ThreadState,
    /// By their ids.
    pub tasks: Vec<LocalTask<'a>>,
    pub globals: Option<&'a Stores>,
}

/// Kinds of stores that can be read from outside, with the types of their keys and values.
#[diagnostic::on_unimplemented(
    message = "no store is a `{Self}` to read from outside",
    note = "name the kind and the types: `app.store::<KeyValue<String, i64>>(\"counts\")`; keys and values must be `Clone + Send + 'static`"
)]
pub trait Queryable: Sized {
    /// What it is read by.
    type ReadOnly;

    /// The view that asks with this.
    #[doc(hidden)]
    fn read_only(asker: Asker) -> Self::ReadOnly;
}

/// Finds the typed store of a task.
pub(super) type Find<F> = fn(&Stores, &str) -> Option<F>;

/// Whether each task has a part of the store, or each thread the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Partitions,
    Global,
}

/// Who asks: for which store, of which application.
#[derive(Clone)]
pub struct Asker {
    instance: Arc<dyn Instance>,
    parameters: Arc<StoreQueryParameters>,
    scope: Scope,
    /// What a thread answers at once.
    page: Limit,
}

impl Asker {
    pub(crate) fn new(instance: Arc<dyn Instance>, parameters: StoreQueryParameters, scope: Scope) -> Asker {
        Asker { instance, parameters: Arc::new(parameters), scope, page: Limit::PAGE }
    }

    #[cfg(test)]
    pub(super) fn with_page(self, page: Limit) -> Asker {
        Asker { page, ..self }
    }

    pub(super) fn failed(&self, error: impl std::fmt::Display) -> QueryError {
        QueryError::Store { store: self.parameters.store.clone(), cause: error.to_string() }
    }

    /// What `read` finds in each part of the store, by partition.
    pub(super) fn ask<F: 'static, T: Send + 'static>(
        &self,
        find: Find<F>,
        read: impl Fn(&F) -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Asked<Vec<T>> {
        let read = Arc::new(read);
        let parameters = Arc::clone(&self.parameters);
        let scope = self.scope;
        let parts = self.each(move |_| {
            let (read, parameters) = (Arc::clone(&read), Arc::clone(&parameters));
            move |local: &Local<'_>| match scope {
                Scope::Partitions => local.read(&parameters, |task| found(find, task.stores, &parameters, &*read)),
                Scope::Global => local.read_global(&parameters, |stores| found(find, stores, &parameters, &*read)),
            }
        });
        parts.map(|parts| parts.into_iter().map(|(_, found)| found).collect())
    }

    /// The first that is found in a part.
    pub(super) fn ask_one<F: 'static, T: Send + 'static>(
        &self,
        find: Find<F>,
        read: impl Fn(&F) -> Result<Option<T>, Failure> + Send + Sync + 'static,
    ) -> Asked<Option<T>> {
        self.ask(find, read).map(|parts| parts.into_iter().flatten().next())
    }

    /// The rows of all parts, one part after the other. One page of a thread's tasks together comes first; each thread is
    /// asked at once.
    pub(super) fn ask_rows<F: 'static, T: Send + 'static>(
        &self,
        find: Find<F>,
        read: impl Fn(&F, PageFrom<'_>) -> Result<Page<T>, Failure> + Send + Sync + 'static,
    ) -> AskedRows<T> {
        let read: ReadPage<F, T> = Arc::new(read);
        let first = self.each(|thread| {
            let (read, parameters, thread) = (Arc::clone(&read), Arc::clone(&self.parameters), Arc::downgrade(thread));
            let (scope, mut limit) = (self.scope, self.page);
            move |local: &Local<'_>| {
                let mut begin = |stores: &Stores| {
                    if limit.is_used() {
                        return Ok((Vec::new(), Cursor::Begin));
                    }
                    let read = |store: &F| read(store, PageFrom { after: None, limit: &mut limit });
                    found(find, stores, &parameters, read).map(|page| (page.rows, page.next.into()))
                };
                let parts = match scope {
                    Scope::Partitions => local.read(&parameters, |task| begin(task.stores))?,
                    Scope::Global => local.read_global(&parameters, begin)?,
                };
                let part = |(partition, (rows, cursor)): (i32, (Vec<T>, Cursor))| {
                    let rows = rows.into_iter();
                    (partition, Part { partition, thread: Weak::clone(&thread), rows, cursor })
                };
                Ok(parts.into_iter().map(part).collect())
            }
        });
        let asker = self.clone();
        let first = first.map(|parts| parts.into_iter().map(|(_, part)| part).collect());
        AskedRows::new(first, move |part| asker.ask_on(part, find, &read))
    }

    /// The next page of a part, of the thread that had it.
    fn ask_on<F: 'static, T: Send + 'static>(
        &self,
        part: &Part<T>,
        find: Find<F>,
        read: &ReadPage<F, T>,
    ) -> Asked<Part<T>> {
        let (partition, thread, cursor) = (part.partition, Weak::clone(&part.thread), part.cursor.clone());
        let (read, parameters) = (Arc::clone(read), Arc::clone(&self.parameters));
        let (scope, mut limit) = (self.scope, self.page);
        let gone = QueryError::StateStoreMigrated(self.parameters.store.clone());
        let queues = match self.instance.queues() {
            Ok(queues) => queues,
            Err(error) => return Asked::known(Err(error)),
        };
        let Some(queue) = queues.into_iter().find(|queue| Arc::as_ptr(queue) == thread.as_ptr()) else {
            return Asked::known(Err(gone));
        };
        let (tell, answer) = oneshot::channel();
        let told = queue.push(answering(tell, &self.parameters, move |local| {
            let stores = match scope {
                Scope::Partitions => local.still(&parameters, partition)?,
                Scope::Global => local.global(&parameters)?,
            };
            let after = match &cursor {
                Cursor::Behind(after) => Some(&after[..]),
                Cursor::Begin | Cursor::End => None,
            };
            let page = found(find, stores, &parameters, |store| read(store, PageFrom { after, limit: &mut limit }))?;
            Ok(Part { partition, thread, rows: page.rows.into_iter(), cursor: page.next.into() })
        }));
        match told {
            Ok(()) => Asked::new(async move { answer.await.unwrap_or(Err(gone)) }),
            Err(Refused::Closed) => Asked::known(Err(gone)),
            Err(Refused::Full) => Asked::known(Err(QueryError::Busy)),
        }
    }

    /// How far the tasks of the store are.
    pub(super) fn position(&self) -> Asked<Position> {
        if self.scope == Scope::Global {
            // It follows its topics by itself, whatever the tasks do.
            return Asked::known(Ok(Position::new()));
        }
        let parameters = Arc::clone(&self.parameters);
        let parts = self.each(move |_| {
            let parameters = Arc::clone(&parameters);
            move |local: &Local<'_>| local.read(&parameters, |task| Ok(task.located.position()))
        });
        parts.map(|parts| {
            let mut all = Position::new();
            parts.iter().for_each(|(_, position)| all.merge(position));
            all
        })
    }

    fn each<T, Q>(&self, question: impl Fn(&Arc<Queue>) -> Q) -> Asked<Vec<(i32, T)>>
    where
        T: Send + 'static,
        Q: FnOnce(&Local<'_>) -> Result<Vec<(i32, T)>, QueryError> + Send + 'static,
    {
        match self.push_each(question) {
            Ok(answers) => {
                let (parameters, scope) = (Arc::clone(&self.parameters), self.scope);
                Asked::new(async move {
                    match scope {
                        Scope::Partitions => together(answers, &parameters).await,
                        Scope::Global => first(answers, &parameters).await,
                    }
                })
            }
            Err(error) => Asked::known(Err(error)),
        }
    }

    fn push_each<T, Q>(&self, question: impl Fn(&Arc<Queue>) -> Q) -> Result<Vec<Answer<T>>, QueryError>
    where
        T: Send + 'static,
        Q: FnOnce(&Local<'_>) -> Result<Vec<(i32, T)>, QueryError> + Send + 'static,
    {
        let parameters = &self.parameters;
        if self.scope == Scope::Global && !parameters.bound.is_empty() {
            return Err(self.failed("a global store has no position to wait for: it follows its topics by itself"));
        }
        let (mut answers, mut is_full) = (Vec::new(), false);
        // Each thread has the whole of a global store: the first one that comes to it answers for all.
        let is_answered = Arc::new(AtomicBool::new(false));
        for queue in self.instance.queues()? {
            let (tell, answer) = oneshot::channel();
            let (question, scope) = (answering(tell, parameters, question(&queue)), self.scope);
            let is_answered = Arc::clone(&is_answered);
            let told = queue.push(Box::new(move |local| {
                if scope == Scope::Partitions || local.globals.is_some() && !is_answered.swap(true, Ordering::AcqRel) {
                    question(local);
                }
            }));
            match told {
                // The answer of one that ends is none.
                Ok(()) | Err(Refused::Closed) => answers.push(answer),
                Err(Refused::Full) => is_full = true,
            }
        }
        let is_enough = self.scope == Scope::Global && !answers.is_empty();
        if is_full && !is_enough { Err(QueryError::Busy) } else { Ok(answers) }
    }
}

/// Reads a page of one part.
type ReadPage<F, T> = Arc<dyn Fn(&F, PageFrom<'_>) -> Result<Page<T>, Failure> + Send + Sync>;

/// What a thread runs, which tells the answer.
fn answering<T: Send + 'static>(
    tell: oneshot::Sender<Result<T, QueryError>>,
    parameters: &StoreQueryParameters,
    question: impl FnOnce(&Local<'_>) -> Result<T, QueryError> + Send + 'static,
) -> Question {
    let store = parameters.store.clone();
    Box::new(move |local| {
        // A serde that panics must not take the thread with it.
        let answer = catch_unwind(AssertUnwindSafe(|| question(local)));
        let panicked = |_| Err(QueryError::Store { store, cause: "the read panicked".to_owned() });
        _ = tell.send(answer.unwrap_or_else(panicked));
    })
}

/// The answer of one thread, by partition.
type Answer<T> = oneshot::Receiver<Result<Vec<(i32, T)>, QueryError>>;

/// A thread that ends has its tasks until it has ended, and says nothing of them (Java throws at PENDING_SHUTDOWN, and passes
/// over a thread that is DEAD).
fn ends(parameters: &StoreQueryParameters) -> QueryError {
    QueryError::StreamsRebalancing { store: parameters.store.clone(), state: ThreadState::PendingShutdown }
}

/// The answers of all threads, by partition.
async fn together<T>(answers: Vec<Answer<T>>, parameters: &StoreQueryParameters) -> Result<Vec<(i32, T)>, QueryError> {
    let (mut parts, mut failed) = (Vec::new(), None);
    for answer in answers {
        match answer.await {
            Ok(Ok(found)) => parts.extend(found),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(_) => failed = failed.or_else(|| Some(ends(parameters))),
        }
    }
    parts.sort_by_key(|(partition, _)| *partition);
    let is_whole = parameters.partition.is_some() && !parts.is_empty();
    let store = parameters.store.clone();
    match (failed, parameters.partition) {
        // The one partition that was asked for has answered, whatever the other threads do.
        (Some(error), _) if !is_whole => Err(error),
        (None, Some(partition)) if parts.is_empty() => Err(QueryError::InvalidStateStorePartition { store, partition }),
        (None, None) if parts.is_empty() => Err(QueryError::StateStoreMigrated(store)),
        _ => Ok(parts),
    }
}

/// The answer of the thread that came to the question first; the others have none.
async fn first<T>(answers: Vec<Answer<T>>, parameters: &StoreQueryParameters) -> Result<Vec<(i32, T)>, QueryError> {
    let mut answers: FuturesUnordered<Answer<T>> = answers.into_iter().collect();
    while let Some(answer) = answers.next().await {
        if let Ok(answer) = answer {
            return answer;
        }
    }
    // None of them has filled its tables yet.
    Err(QueryError::StreamsRebalancing { store: parameters.store.clone(), state: ThreadState::Starting })
}

/// Reads one store of that type.
fn found<F, T>(
    find: Find<F>,
    stores: &Stores,
    parameters: &StoreQueryParameters,
    read: impl FnOnce(&F) -> Result<T, Failure>,
) -> Result<T, QueryError> {
    let store = || parameters.store.clone();
    let found = find(stores, &parameters.store);
    let found =
        found.ok_or_else(|| QueryError::InvalidStateStore { store: store(), wanted: std::any::type_name::<F>() })?;
    read(&found).map_err(|failure| QueryError::Store { store: store(), cause: fatal(failure).to_string() })
}

impl Local<'_> {
    /// Java: `StreamThreadStateStoreProvider.stores`.
    fn read<T>(
        &self,
        parameters: &StoreQueryParameters,
        mut read: impl FnMut(&LocalTask<'_>) -> Result<T, QueryError>,
    ) -> Result<Vec<(i32, T)>, QueryError> {
        use ThreadState::{PartitionsAssigned, PartitionsRevoked, Running, Starting};
        let is_open = match parameters.staleness {
            Staleness::Active => self.state == Running,
            Staleness::Any => matches!(self.state, Starting | PartitionsRevoked | PartitionsAssigned | Running),
        };
        let store = || parameters.store.clone();
        if !is_open {
            return Err(QueryError::StreamsRebalancing { store: store(), state: self.state });
        }
        let mut parts = Vec::new();
        for task in &self.tasks {
            let partition = task.id.partition;
            let is_asked = parameters.partition.is_none_or(|wanted| wanted == partition)
                && (parameters.staleness == Staleness::Any || task.standing == Standing::Active);
            if !is_asked || task.stores.held(&parameters.store).is_none() {
                continue;
            }
            if !parameters.bound.is_empty() {
                let at = task.located.position();
                if !at.is_up_to(&parameters.bound, partition) {
                    return Err(QueryError::NotUpToBound { store: store(), partition, at });
                }
            }
            parts.push((partition, read(task)?));
        }
        Ok(parts)
    }

    /// The stores of a task that was read before. Whatever the thread does meanwhile: as in Java, who has an iterator goes
    /// on for as long as the store is open.
    fn still(&self, parameters: &StoreQueryParameters, partition: i32) -> Result<&Stores, QueryError> {
        let is_it = |task: &&LocalTask<'_>| {
            task.id.partition == partition
                && (parameters.staleness == Staleness::Any || task.standing == Standing::Active)
                && task.stores.held(&parameters.store).is_some()
        };
        let gone = || QueryError::StateStoreMigrated(parameters.store.clone());
        self.tasks.iter().find(is_it).map(|task| task.stores).ok_or_else(gone)
    }

    fn global(&self, parameters: &StoreQueryParameters) -> Result<&Stores, QueryError> {
        let store = || parameters.store.clone();
        self.globals.ok_or_else(|| QueryError::StreamsRebalancing { store: store(), state: self.state })
    }

    fn read_global<T>(
        &self,
        parameters: &StoreQueryParameters,
        read: impl FnOnce(&Stores) -> Result<T, QueryError>,
    ) -> Result<Vec<(i32, T)>, QueryError> {
        Ok(vec![(parameters.partition.unwrap_or(0), read(self.global(parameters)?)?)])
    }
}
