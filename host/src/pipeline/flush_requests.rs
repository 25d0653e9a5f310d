//! Who waits for a sink's own flush.

use std::collections::BTreeMap;
use std::time::Instant;

/// What a sink's flush came to; the reason where it failed.
pub type Flushed = Result<(), String>;

/// Who waits for a sink's own flush, by the number of the request.
#[derive(Default)]
pub struct FlushRequests(BTreeMap<u64, Waiting>);

struct Waiting {
    deadline: Instant,
    answer: Option<Flushed>,
}

impl FlushRequests {
    /// Somebody waits for this request, until then.
    pub fn wait(&mut self, request: u64, deadline: Instant) {
        self.0.insert(request, Waiting { deadline, answer: None });
    }

    /// A flush came back that was asked for by all requests up to this one.
    pub fn answer(&mut self, up_to: u64, flushed: &Flushed) {
        for (_, waiting) in self.0.range_mut(..=up_to) {
            waiting.answer.get_or_insert_with(|| flushed.clone());
        }
    }

    /// Whether there is an answer to this request.
    pub fn is_answered(&self, request: u64) -> bool {
        self.0.get(&request).is_some_and(|waiting| waiting.answer.is_some())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the answer, and forgets the request.
    pub fn take(&mut self, request: u64) -> Option<Flushed> {
        self.0.remove(&request)?.answer
    }

    /// How long anybody waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().filter(|waiting| waiting.answer.is_none()).map(|waiting| waiting.deadline).max()
    }
}
