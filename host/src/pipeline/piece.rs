//! Events that share a fate: a batch to be offered, or what is left of one.

use std::time::Instant;

use audit_plugin_api::Timestamp;

use super::run::Span;

/// Events that are offered together, in order.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The events, as runs.
    pub spans: Vec<Span>,
    /// How often they were offered.
    pub attempts: u32,
    /// How often that failed in a way that is worth another try.
    pub failures: u32,
    /// How often the sink panicked over it while it was a single event.
    pub panics: u32,
    /// Whether nothing else may be in flight meanwhile: somewhere in it is a poisonous event.
    pub isolation: Isolation,
    /// Whether an earlier attempt may have delivered it.
    pub doubt: Doubt,
    /// When it failed first.
    pub first_failed: Option<Timestamp>,
    /// When it may be offered again.
    pub not_before: Option<Instant>,
    /// Why it failed last.
    pub reason: String,
}

/// Whether a piece is offered alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Beside others.
    #[default]
    None,
    /// With nothing else in flight.
    Alone,
}

/// Whether an earlier attempt may have delivered a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doubt {
    /// It has not.
    #[default]
    None,
    /// It may have.
    PossibleDuplicate,
}

impl Piece {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.spans.iter().map(Span::len).sum()
    }

    /// Position of the first event in the order of the store.
    pub fn position(&self) -> u64 {
        self.spans.first().map_or(u64::MAX, Span::position)
    }

    /// Position behind the last event.
    pub fn behind(&self) -> u64 {
        self.spans.last().map_or(0, Span::behind)
    }

    /// Whether both have failed alike, so that they may be offered together.
    pub fn has_same_past(&self, other: &Piece) -> bool {
        let past = |piece: &Piece| (piece.failures, piece.attempts, piece.doubt);
        self.isolation == Isolation::None && other.isolation == Isolation::None && past(self) == past(other)
    }

    /// Goes on as one piece with `next`.
    pub fn take_in(&mut self, next: Piece) {
        self.spans.extend(next.spans);
        self.reason = next.reason;
    }

    /// The stretches of events without a gap between them, each as a piece.
    pub fn into_stretches(mut self) -> Vec<Piece> {
        let mut stretches: Vec<Piece> = Vec::new();
        for span in std::mem::take(&mut self.spans) {
            match stretches.last_mut().filter(|last| last.behind() == span.position()) {
                Some(last) => last.spans.push(span),
                None => stretches.push(Piece { spans: vec![span], ..self.bare() }),
            }
        }
        stretches
    }

    /// The spans of the events from `start` to `end`, counted within the piece.
    pub fn slice(&self, start: usize, end: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut offset = 0;
        for span in &self.spans {
            let from = start.max(offset);
            let to = end.min(offset + span.len());
            if from < to {
                spans.push(Span {
                    run: span.run.clone(),
                    start: span.start + (from - offset) as u32,
                    end: span.start + (to - offset) as u32,
                });
            }
            offset += span.len();
        }
        spans
    }

    /// The same piece, with only the events from `start` to `end`.
    pub fn part(&self, start: usize, end: usize) -> Piece {
        Piece { spans: self.slice(start, end), ..self.bare() }
    }

    /// The same piece without its events.
    fn bare(&self) -> Piece {
        Piece {
            spans: Vec::new(),
            attempts: self.attempts,
            failures: self.failures,
            panics: self.panics,
            isolation: self.isolation,
            doubt: self.doubt,
            first_failed: self.first_failed,
            not_before: self.not_before,
            reason: self.reason.clone(),
        }
    }
}
