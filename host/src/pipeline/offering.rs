//! An offer as the sink gets it: a batch that borrows its bytes from the bodies of runs.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use audit_plugin_api::{Batch, Deadline, HeldRuns, Hold, RawEvent, SinkError, Written, flags};

use super::body::Body;
use super::budget::Charge;
use super::delivery::Offer;
use super::piece::Doubt;
use super::run::Span;
use super::sink::SinkInstance;
use super::store::Damaged;

/// What came of an offer.
pub enum Answer {
    /// The sink said this.
    Sink(Result<Written, SinkError>),
    /// It was not asked: these events are damaged, and some of them were to be offered.
    Damaged(Vec<Damaged>),
}

/// Offers the events; `entries` is a buffer. What is only in the spool is read: that it cannot be read is an error like
/// one of the sink.
pub fn write_offer(
    instance: &mut dyn SinkInstance,
    entries: &mut Vec<RawEvent>,
    offer: &Offer,
    deadline: Deadline,
) -> Answer {
    let held: Vec<HeldSpan> = match offer.spans.iter().map(HeldSpan::of).collect() {
        Ok(held) => held,
        Err(error) => {
            let reason = format!("its events cannot be read back: {error}");
            return Answer::Sink(Err(SinkError::retryable(reason)));
        }
    };
    let spans = offer.spans.iter().zip(&held);
    let damaged: Vec<_> = spans.filter_map(|(span, held)| damaged_in(span, &held.body)).collect();
    if !damaged.is_empty() {
        return Answer::Damaged(damaged);
    }
    entries.clear();
    let mut runs: Vec<&[u8]> = Vec::with_capacity(held.len());
    let repeated = if offer.doubt == Doubt::PossibleDuplicate { flags::POSSIBLE_DUPLICATE } else { 0 };
    for (span, held) in offer.spans.iter().zip(&held) {
        let (lines, begin) = held.lines();
        let run = runs.len() as u32;
        runs.push(lines);
        let doubtful_to = span.run.source().map_or(0, |source| source.doubtful_to(offer.sink));
        for (index, entry) in (span.start..).zip(held.entries()) {
            let doubt = if index < doubtful_to { flags::POSSIBLE_DUPLICATE } else { repeated };
            entries.push(RawEvent {
                run,
                offset: entry.offset - begin,
                flags: entry.flags | doubt,
                ..*entry
            });
        }
        if let Some(source) = span.run.source() {
            source.note_offered(offer.sink, span.end);
        }
    }
    let holder = Holder(&held);
    let batch = Batch::new(offer.id, offer.attempt, deadline, &runs, entries, &holder);
    Answer::Sink(instance.write_batch(&batch))
}

/// What is damaged of a run, if the span has any of it.
pub fn damaged_in(span: &Span, body: &Body) -> Option<Damaged> {
    let is_within = |damaged: &Range<u32>| damaged.start < span.end && span.start < damaged.end;
    let events = body.damaged();
    events.iter().any(is_within).then(|| Damaged { run: span.run.clone(), events: events.into() })
}

/// Events of a body.
#[derive(Clone)]
struct HeldSpan {
    body: Arc<Body>,
    range: Range<u32>,
}

impl HeldSpan {
    fn of(span: &Span) -> io::Result<Self> {
        Ok(Self { body: span.run.body()?, range: span.start..span.end })
    }

    fn lines(&self) -> (&[u8], u32) {
        self.body.lines(self.range.start, self.range.end)
    }

    fn entries(&self) -> &[RawEvent] {
        self.body.entries(self.range.start, self.range.end)
    }
}

/// Hands out handles on the bodies of a batch.
struct Holder<'a>(&'a [HeldSpan]);

impl Hold for Holder<'_> {
    fn hold(&self) -> Arc<dyn HeldRuns> {
        Arc::new(HeldSpans(self.0.iter().map(|held| (held.clone(), held.body.charge())).collect()))
    }
}

/// Keeps the bodies of a batch, and keeps them counted in the bound.
struct HeldSpans(Vec<(HeldSpan, Option<Arc<Charge>>)>);

impl HeldRuns for HeldSpans {
    fn run(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], |(held, _)| held.lines().0)
    }
}
