//! What the instance has said yes to and no flush of it has: if the instance goes, that may be gone with it.
//!
//! Only of what is in the spool, whose space is given back on the word of a flush.

use crate::pipeline::run::Span;

/// Events that are delivered, and not known to be durable at the sink.
#[derive(Default)]
pub struct Unflushed {
    /// Delivered before the latest flush began.
    before: Vec<Span>,
    /// Delivered since.
    since: Vec<Span>,
}

impl Unflushed {
    /// The sink has these.
    pub fn note(&mut self, spans: &[Span]) {
        for span in spans.iter().filter(|span| span.run.source().is_some()) {
            match self.since.last_mut().filter(|last| last.is_followed_by(span)) {
                Some(last) => last.end = span.end,
                None => self.since.push(span.clone()),
            }
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.since.is_empty()
    }

    /// A flush of the sink begins: it is about what was delivered by now.
    pub fn begin_flush(&mut self) {
        self.before.append(&mut self.since);
    }

    /// The flush said yes.
    pub fn confirm(&mut self) {
        self.before.clear();
    }

    /// Takes what is before this position.
    pub fn take_before(&mut self, position: u64) -> Vec<Span> {
        let mut taken = Vec::new();
        for spans in [&mut self.before, &mut self.since] {
            spans.retain_mut(|span| {
                let count = position.saturating_sub(span.position()).min(span.len() as u64);
                if count > 0 {
                    taken.push(span.split_front(count as usize));
                }
                span.len() > 0
            });
        }
        taken
    }

    /// Takes all of it, in order.
    pub fn take(&mut self) -> Vec<Span> {
        self.begin_flush();
        let mut spans = std::mem::take(&mut self.before);
        spans.sort_by_key(Span::position);
        spans
    }
}
