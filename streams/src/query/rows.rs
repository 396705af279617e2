//! Rows to come: a range of a store, which the stream threads answer page by page as its rows are taken.
//!
//! Made by every read of several rows. Between two pages the threads go on with their work, and of a large store no more
//! than a page is in memory. Where a page begins is a key: a store has no iterator open for anybody.

use std::collections::VecDeque;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::asked::parked;
use super::{Asked, QueryError, Queue};

/// What is left to read of one partition.
pub(super) struct Part<T> {
    pub partition: i32,
    /// The thread that has it.
    pub thread: Weak<Queue>,
    /// What was read and not taken yet.
    pub rows: std::vec::IntoIter<T>,
    pub cursor: Cursor,
}

/// Where the next page of a partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    /// At its first row: nothing was read yet.
    Begin,
    /// Behind this place.
    Behind(Vec<u8>),
    /// Nowhere: all was read.
    End,
}

impl From<Option<Vec<u8>>> for Cursor {
    fn from(next: Option<Vec<u8>>) -> Cursor {
        next.map_or(Cursor::End, Cursor::Behind)
    }
}

/// Asks for the next page of a part.
type More<T> = Box<dyn Fn(&Part<T>) -> Asked<Part<T>> + Send + Sync>;

/// Rows to come, in the order that the read promises. A `for` goes through them where waiting is allowed, `next().await`
/// in an asynchronous program; all of them at once are there by `wait()` or `.await`, which puts them into a `Vec`.
///
/// Stream threads answer page by page (up to 1,000 rows or a mebibyte), each page when its rows are asked for, and do their
/// work meanwhile. So what is seen is not of one moment, as with Java's iterators of stores in memory: each row is as it was
/// when its page was read. No row comes twice, the order is kept, and none is left out that was there from the first page
/// to the last.
///
/// A store that goes to another thread or instance between two pages is an error ([`QueryError::StateStoreMigrated`]; Java:
/// `InvalidStateStoreException`), never an end. Nothing comes after an error.
///
/// ```no_run
/// use streams::{KafkaStreams, KeyValue, Order, QueryError};
///
/// fn first(app: &KafkaStreams, count: usize) -> Result<Vec<(String, i64)>, QueryError> {
///     // What is behind these rows is never read.
///     app.store::<KeyValue<String, i64>>("counts")?.all(Order::Ascending).into_iter().take(count).collect()
/// }
///
/// async fn sum(app: &KafkaStreams) -> Result<i64, QueryError> {
///     let mut rows = app.store::<KeyValue<String, i64>>("counts")?.all(Order::Ascending);
///     let mut sum = 0;
///     while let Some(row) = rows.next().await {
///         sum += row?.1;
///     }
///     Ok(sum)
/// }
/// ```
#[must_use = "the rows come by `for`, `.next().await`, `.await` or `.wait()`"]
pub struct AskedRows<T> {
    /// The answer that is waited for: the first pages of all parts, or the next one of one part.
    asked: Option<Asked<Vec<Part<T>>>>,
    /// By their partitions.
    parts: VecDeque<Part<T>>,
    more: More<T>,
}

impl<T: Send + 'static> AskedRows<T> {
    pub(super) fn new(
        first: Asked<Vec<Part<T>>>,
        more: impl Fn(&Part<T>) -> Asked<Part<T>> + Send + Sync + 'static,
    ) -> AskedRows<T> {
        AskedRows { asked: Some(first), parts: VecDeque::new(), more: Box::new(more) }
    }

    pub(super) fn failed(error: QueryError) -> AskedRows<T> {
        let why = error.clone();
        AskedRows::new(Asked::known(Err(error)), move |_| Asked::known(Err(why.clone())))
    }

    /// The next row; None after the last one, or after an error.
    pub async fn next(&mut self) -> Option<Result<T, QueryError>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Waits for all rows. Of an asynchronous program this holds the whole thread up: there they are awaited.
    ///
    /// # Errors
    /// Why there are none, or not all.
    pub fn wait(self) -> Result<Vec<T>, QueryError> {
        self.into_future().wait()
    }

    /// The same, for no longer than that.
    ///
    /// # Errors
    /// Why there are none, or not all, or not all yet.
    pub fn wait_for(self, limit: Duration) -> Result<Vec<T>, QueryError> {
        self.into_future().wait_for(limit)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, QueryError>>> {
        loop {
            if let Some(asked) = &mut self.asked {
                let answer = ready!(Pin::new(asked).poll(context));
                self.asked = None;
                match answer {
                    Ok(parts) => parts.into_iter().rev().for_each(|part| self.parts.push_front(part)),
                    Err(error) => {
                        self.parts.clear();
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
            let Some(mut part) = self.parts.pop_front() else { return Poll::Ready(None) };
            if let Some(row) = part.rows.next() {
                self.parts.push_front(part);
                return Poll::Ready(Some(Ok(row)));
            }
            if part.cursor != Cursor::End {
                self.asked = Some((self.more)(&part).map(|part| vec![part]));
            }
        }
    }
}

impl<T: Send + 'static> IntoFuture for AskedRows<T> {
    type Output = Result<Vec<T>, QueryError>;
    type IntoFuture = Asked<Vec<T>>;

    fn into_future(mut self) -> Asked<Vec<T>> {
        Asked::new(async move {
            let mut all = Vec::new();
            while let Some(row) = self.next().await {
                all.push(row?);
            }
            Ok(all)
        })
    }
}

impl<T: Send + 'static> IntoIterator for AskedRows<T> {
    type Item = Result<T, QueryError>;
    type IntoIter = RowsIter<T>;

    fn into_iter(self) -> RowsIter<T> {
        RowsIter(self)
    }
}

/// Waits for each of some rows to come. Of an asynchronous program this holds the whole thread up.
pub struct RowsIter<T>(AskedRows<T>);

impl<T: Send + 'static> Iterator for RowsIter<T> {
    type Item = Result<T, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let waker = parked();
        let mut context = Context::from_waker(&waker);
        loop {
            match self.0.poll(&mut context) {
                Poll::Ready(row) => return row,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}
