//! What closures of the user may answer: a value, or a `Result` of one, whose error the processing handler decides about.
//! Bounds of the DSL's calls; turned into one form when a record is processed. Never boxes a value that is there.

use crate::store::Stamped;

use super::errors::{BoxError, Failure, ProcessError};

/// A `T`, or a `Result<T, E>` with any error: `anyhow`'s, a text, an error type of one's own.
///
/// A closure whose answer makes the type of the next stream (joins) may need that type written down, as both a `Result` and
/// what is in it could be meant.
#[diagnostic::on_unimplemented(
    message = "the closure has to answer with `{T}`, or with a `Result` of it",
    label = "this closure answers with `{Self}`",
    note = "any error that can become a `Box<dyn Error + Send + Sync>` will do; where `{T}` cannot be told from the closure, write its type down"
)]
pub trait Outcome<T> {
    /// The value, or the error for the handler.
    fn outcome(self) -> Result<T, Failure>;
}

impl<T> Outcome<T> for T {
    fn outcome(self) -> Result<T, Failure> {
        Ok(self)
    }
}

impl<T, E: Into<BoxError>> Outcome<T> for Result<T, E> {
    fn outcome(self) -> Result<T, Failure> {
        told(self)
    }
}

/// An error of the user's as one for the handler.
pub(crate) fn told<T, E: Into<BoxError>>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::processing(ProcessError::new(error)))
}

/// What an aggregate becomes: an `A`; an `Option<A>`, of which None deletes it; a `Result` of either.
#[diagnostic::on_unimplemented(
    message = "the closure has to answer with the next aggregate: `{A}`, an `Option` of it, or a `Result` of either",
    label = "this closure answers with `{Self}`",
    note = "where the aggregate cannot be told from the closure, write the types of its arguments down: `|sum: i64, value| ..`"
)]
pub trait Update<A> {
    /// Whether there may be an error, after which the aggregate is what it was.
    const FALLIBLE: bool;

    /// The next aggregate, or the error for the handler.
    fn update(self) -> Result<Option<A>, Failure>;
}

impl<A> Update<A> for A {
    const FALLIBLE: bool = false;

    fn update(self) -> Result<Option<A>, Failure> {
        Ok(Some(self))
    }
}

impl<A> Update<A> for Option<A> {
    const FALLIBLE: bool = false;

    fn update(self) -> Result<Option<A>, Failure> {
        Ok(self)
    }
}

impl<A, E: Into<BoxError>> Update<A> for Result<A, E> {
    const FALLIBLE: bool = true;

    fn update(self) -> Result<Option<A>, Failure> {
        told(self.map(Some))
    }
}

impl<A, E: Into<BoxError>> Update<A> for Result<Option<A>, E> {
    const FALLIBLE: bool = true;

    fn update(self) -> Result<Option<A>, Failure> {
        told(self)
    }
}

/// An update that failed, and what there was before it.
pub struct Undone<A> {
    /// The error.
    pub failure: Failure,
    /// What stays.
    pub before: Option<A>,
}

impl<A> Undone<A> {
    /// The same with the time that the aggregate had; one that was only begun had none, and is not kept.
    pub(crate) fn stamped(self, timestamp: Option<i64>) -> Undone<Stamped<A>> {
        let before = self.before.zip(timestamp).map(|(value, timestamp)| Stamped { value, timestamp });
        Undone { failure: self.failure, before }
    }
}

/// Updates an aggregate, of which a copy is kept where the update may fail.
pub(crate) fn update<A: Clone, R: Update<A>>(before: A, update: impl FnOnce(A) -> R) -> Result<Option<A>, Undone<A>> {
    let kept = R::FALLIBLE.then(|| before.clone());
    update(before).update().map_err(|failure| Undone { failure, before: kept })
}
