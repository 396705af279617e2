//! Panics of the user's code: what is caught is an error like any other, or ends the task.
//! Asked where a panic is caught: around a record that is decoded, at the edge to a node, around a timer, and around a
//! task's turn. Never catches itself.

use std::any::Any;
use std::panic::resume_unwind;

use super::errors::{Failure, Place, ProcessError, TaskError};

/// What was thrown.
pub(crate) type Thrown = Box<dyn Any + Send>;

/// Ends the call of a user's processor where it can answer nothing, with an error that no handler lets pass: what is wrong
/// is the program, and each record would meet it.
pub(crate) fn stop(error: TaskError) -> ! {
    resume_unwind(Box::new(error))
}

/// A panic that the handler is asked about, or the error that `stop` gave.
pub(crate) fn failure(thrown: Thrown) -> Failure {
    match thrown.downcast::<TaskError>() {
        Ok(error) => Failure::fatal(*error),
        Err(thrown) => Failure::processing(ProcessError::named("panic", text(&thrown))),
    }
}

/// A panic that nobody is asked about.
pub(crate) fn fatal(thrown: Thrown, place: Place) -> TaskError {
    match thrown.downcast::<TaskError>() {
        Ok(error) => *error,
        Err(thrown) => TaskError::Panic { place, cause: text(&thrown) },
    }
}

/// What a panic said.
pub(crate) fn text(thrown: &Thrown) -> String {
    let text = thrown.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| thrown.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
