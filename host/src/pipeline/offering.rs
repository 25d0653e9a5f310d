//! An offer as the sink gets it: a batch that borrows its bytes from the runs.

use std::sync::Arc;

use audit_plugin_api::{Batch, Deadline, HeldRuns, Hold, RawEvent, SinkError, Written, flags};

use super::budget::Charge;
use super::delivery::Offer;
use super::piece::Doubt;
use super::run::Span;
use super::sink::SinkInstance;

/// Offers the events; `entries` is a buffer.
pub fn write_offer(
    instance: &mut dyn SinkInstance,
    entries: &mut Vec<RawEvent>,
    offer: &Offer,
    deadline: Deadline,
) -> Result<Written, SinkError> {
    entries.clear();
    let mut runs: Vec<&[u8]> = Vec::with_capacity(offer.spans.len());
    let extra = if offer.doubt == Doubt::PossibleDuplicate { flags::POSSIBLE_DUPLICATE } else { 0 };
    for span in &offer.spans {
        let (lines, begin) = span.run.lines(span.start, span.end);
        let run = runs.len() as u32;
        runs.push(lines);
        entries.extend(span.run.entries(span.start, span.end).iter().map(|entry| RawEvent {
            run,
            offset: entry.offset - begin,
            flags: entry.flags | extra,
            ..*entry
        }));
    }
    instance.write_batch(&Batch::new(
        offer.id,
        offer.attempt,
        deadline,
        &runs,
        entries,
        &Holder(&offer.spans),
    ))
}

/// Hands out handles on the runs of a batch.
struct Holder<'a>(&'a [Span]);

impl Hold for Holder<'_> {
    fn hold(&self) -> Arc<dyn HeldRuns> {
        Arc::new(HeldSpans(self.0.iter().map(|span| (span.clone(), span.run.hold())).collect()))
    }
}

/// Keeps the runs of a batch, and keeps them counted in the bound.
struct HeldSpans(Vec<(Span, Option<Arc<Charge>>)>);

impl HeldRuns for HeldSpans {
    fn run(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], |(span, _)| span.run.lines(span.start, span.end).0)
    }
}
