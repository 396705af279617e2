//! An answer of a coordinator: there, or on its way.

use std::future::Future;
use std::pin::Pin;

use millstream_broker_coordinator::step::Machine;
use millstream_protocol::error_code::ErrorCode;

use crate::api::reply::Outcome;
use crate::coord::shard::{Asked, Unavailable};

/// See the module.
pub enum Answer<T> {
    /// It is there.
    Now(T),
    /// It comes.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T: Send + 'static> Answer<T> {
    /// What becomes of a question: `pick` takes the answer apart, `refused` makes one of a question that was
    /// not taken, `lost` one when the shard vanished with the question.
    pub fn of<M: Machine>(
        asked: Asked<M>,
        pick: impl FnOnce(M::Response) -> T + Send + 'static,
        refused: impl FnOnce(M::Request, ErrorCode) -> T,
        lost: impl FnOnce(ErrorCode) -> T + Send + 'static,
    ) -> Self {
        match asked {
            Asked::Now(response) => Answer::Now(pick(response)),
            Asked::Later(receiver) => Answer::Later(Box::pin(async move {
                match receiver.await {
                    Ok(response) => pick(response),
                    Err(_) => lost(ErrorCode::NotCoordinator),
                }
            })),
            Asked::Unavailable(why, request) => Answer::Now(refused(request, unavailable(why))),
        }
    }

    /// The answer in another form.
    pub fn map<U: Send + 'static>(self, into: impl FnOnce(T) -> U + Send + 'static) -> Answer<U> {
        match self {
            Answer::Now(value) => Answer::Now(into(value)),
            Answer::Later(future) => Answer::Later(Box::pin(async move { into(future.await) })),
        }
    }

    /// Waits for it.
    pub async fn wait(self) -> T {
        match self {
            Answer::Now(value) => value,
            Answer::Later(future) => future.await,
        }
    }

    /// All of `answers`, in their order.
    pub fn all(answers: Vec<Answer<T>>) -> Answer<Vec<T>> {
        if answers.iter().all(|answer| matches!(answer, Answer::Now(_))) {
            let now = answers.into_iter().filter_map(|answer| match answer {
                Answer::Now(value) => Some(value),
                Answer::Later(_) => None,
            });
            return Answer::Now(now.collect());
        }
        Answer::Later(Box::pin(async move {
            let mut values = Vec::with_capacity(answers.len());
            for answer in answers {
                values.push(match answer {
                    Answer::Now(value) => value,
                    Answer::Later(future) => future.await,
                });
            }
            values
        }))
    }
}

impl<T> From<Answer<T>> for Outcome<T> {
    fn from(answer: Answer<T>) -> Self {
        match answer {
            Answer::Now(value) => Outcome::Now(value),
            Answer::Later(future) => Outcome::Later(future),
        }
    }
}

/// The error of a shard that takes no requests.
pub fn unavailable(why: Unavailable) -> ErrorCode {
    match why {
        Unavailable::NotCoordinator => ErrorCode::NotCoordinator,
        Unavailable::Loading => ErrorCode::CoordinatorLoadInProgress,
    }
}
