//! Where questions wait for a thread. One a thread; filled by whoever asks, emptied by the thread between two records.
//!
//! The thread looks at one flag a round; one that waits for records is woken. Never runs a question itself.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Local;

/// A question: what it answers, it tells itself.
pub(crate) type Question = Box<dyn FnOnce(&Local<'_>) + Send>;

/// Why a question was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The thread ends or has ended.
    Closed,
    /// Too many wait.
    Full,
}

/// More questions than this that wait at once are refused.
const WAITING_MAX: usize = 10_000;

/// The questions for one thread.
pub(crate) struct Queue {
    is_waiting: AtomicBool,
    /// None once the thread ends.
    questions: Mutex<Option<Vec<Question>>>,
    asked: Notify,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { is_waiting: AtomicBool::new(false), questions: Mutex::new(Some(Vec::new())), asked: Notify::new() }
    }
}

impl Queue {
    /// Adds a question. Should the thread end before it comes to it, it is dropped, which whoever waits for the answer sees.
    pub fn push(&self, question: Question) -> Result<(), Refused> {
        {
            let mut questions = self.questions.lock();
            let questions = questions.as_mut().ok_or(Refused::Closed)?;
            if questions.len() >= WAITING_MAX {
                return Err(Refused::Full);
            }
            questions.push(question);
            self.is_waiting.store(true, Ordering::Release);
        }
        self.asked.notify_one();
        Ok(())
    }

    /// Whether a question waits.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Waits for a question.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Takes the questions that wait.
    pub fn take(&self) -> Vec<Question> {
        let mut questions = self.questions.lock();
        self.is_waiting.store(false, Ordering::Release);
        questions.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The thread ends: nobody answers any more.
    pub fn close(&self) {
        let dropped = self.questions.lock().take();
        drop(dropped);
    }
}
