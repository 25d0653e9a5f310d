//! The spool against a model of it: whatever is done to it, and whenever its process or its machine dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::io::Errno;

use super::stage::*;
use crate::spool::memory_disk::Operation;
use crate::spool::{Age, Chunk, ChunkWriter};

const WRITERS: usize = 2;
const SINKS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    /// A thread records so many events.
    Append(usize, u8),
    /// A thread lets go of its chunk.
    Seal(usize),
    /// Somebody waits until all is on the disk.
    Wait,
    /// The next sync fails.
    FailSync,
    /// The next segment cannot be made at once.
    FailAllocation,
    /// A sink is offered, and settles, a part of one of the chunks.
    Offer(usize, prop::sample::Index, prop::sample::Index),
    Settle(usize, prop::sample::Index, prop::sample::Index),
    /// Nobody does anything any more, and another process opens the spool.
    Close,
    Kill,
    LosePower(Vec<bool>),
    /// While somebody waits, the disk does so many operations more; then as the others.
    DieInSync(usize, Option<Vec<bool>>),
    /// As `Kill`, but the next process dies after so many operations of opening the spool, and then another one opens it.
    DieInOpen(usize),
}

/// Of each sector that was not synced, whether it got to the disk.
fn kept() -> impl Strategy<Value = Vec<bool>> {
    vec(any::<bool>(), 1..64)
}

fn step() -> impl Strategy<Value = Step> {
    let part = || (0..SINKS, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    prop_oneof![
        8 => (0..WRITERS, 1..40_u8).prop_map(|(writer, count)| Step::Append(writer, count)),
        2 => (0..WRITERS).prop_map(Step::Seal),
        3 => Just(Step::Wait),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailAllocation),
        2 => part().prop_map(|(sink, chunk, event)| Step::Offer(sink, chunk, event)),
        5 => part().prop_map(|(sink, chunk, event)| Step::Settle(sink, chunk, event)),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => kept().prop_map(Step::LosePower),
        1 => (0..8_usize, prop::option::of(kept())).prop_map(|(operations, kept)| Step::DieInSync(operations, kept)),
        1 => (0..24_usize).prop_map(Step::DieInOpen),
    ]
}

/// What the model knows of an event.
#[derive(Clone, Copy)]
struct Event {
    /// This process has recorded it.
    is_own: bool,
    is_durable: bool,
}

/// A chunk, and the events in it.
type Written = (Arc<Chunk>, Vec<Place>);

/// An event in a chunk.
#[derive(Clone, Copy)]
struct Place {
    sequence: u64,
    /// Where it ends.
    to: u32,
    owed: [bool; SINKS],
}

/// A process that has the spool open.
struct Life {
    stage: Stage,
    opened: Opened,
    writers: [Option<ChunkWriter>; WRITERS],
    chunks: Vec<Written>,
    events: BTreeMap<u64, Event>,
    next: u64,
    /// A sync may have failed: chunks may be there twice, and after a loss of power not known to be the same.
    has_copies: bool,
    /// There was a loss of power while it was so: events may be there twice, or out of order.
    is_mixed: bool,
    /// How many events were missing then.
    lost: u64,
}

impl Life {
    /// Opens the spool, and takes what is there for what there is.
    fn begin(stage: Stage, next: u64, is_mixed: bool) -> Self {
        let mut opened = stage.open();
        let lost = lost(&opened.backlog);
        let gaps = std::mem::take(&mut opened.backlog.gaps);
        gaps.into_iter().for_each(|gap| gap.heal().unwrap());
        let (mut chunks, mut events) = (Vec::<Written>::new(), BTreeMap::new());
        for part in &opened.backlog.parts {
            if chunks.last().is_none_or(|(chunk, _)| !Arc::ptr_eq(chunk, &part.chunk)) {
                chunks.push((part.chunk.clone(), Vec::new()));
            }
            let found = part.chunk.read(part.from, part.to, Age::Waited, sequences).unwrap();
            let frame_len = (part.to - part.from) / part.events;
            for (number, sequence) in (1..).zip(found) {
                let owed = [0, 1].map(|sink| part.owed & 1 << sink != 0);
                let place = Place { sequence, to: part.from + number * frame_len, owed };
                chunks.last_mut().unwrap().1.push(place);
                let is_new = events.insert(sequence, Event { is_own: false, is_durable: true }).is_none();
                assert!(is_new || is_mixed, "{sequence} is there twice");
            }
        }
        let writers = [None, None];
        Self { stage, opened, writers, chunks, events, next, has_copies: false, is_mixed, lost }
    }

    fn append(&mut self, writer: usize, count: u8) {
        for _ in 0..count {
            // Threads count on their own.
            let sequence = self.next * WRITERS as u64 + writer as u64;
            let frame = frame(sequence);
            if self.writers[writer].as_mut().is_none_or(|open| open.room().len() < frame.len()) {
                self.writers[writer] = None;
                // Full, or the disk refuses: the event is not accepted.
                let Ok(open) = self.opened.spool.lease(frame.len()) else { return };
                self.chunks.push((open.chunk().clone(), Vec::new()));
                self.writers[writer] = Some(open);
            }
            let open = self.writers[writer].as_mut().unwrap();
            open.append(&frame);
            let (_, events) =
                self.chunks.iter_mut().find(|(chunk, _)| Arc::ptr_eq(chunk, open.chunk())).unwrap();
            events.push(Place { sequence, to: open.written(), owed: [true; SINKS] });
            self.events.insert(sequence, Event { is_own: true, is_durable: false });
            self.next += 1;
        }
    }

    fn offer(&mut self, sink: usize, chunk: prop::sample::Index, event: prop::sample::Index) {
        if let Some((chunk, events)) = self.part(chunk, event) {
            chunk.set_offered(sink, events.last().unwrap().to);
        }
    }

    fn settle(&mut self, sink: usize, chunk: prop::sample::Index, event: prop::sample::Index) {
        if let Some((chunk, events)) = self.part(chunk, event) {
            chunk.set_done(sink, events.last().unwrap().to);
            events.iter_mut().for_each(|event| event.owed[sink] = false);
        }
    }

    /// The first events of a chunk.
    fn part(
        &mut self,
        chunk: prop::sample::Index,
        event: prop::sample::Index,
    ) -> Option<(&Chunk, &mut [Place])> {
        let mut chunks: Vec<_> = self.chunks.iter_mut().filter(|(_, events)| !events.is_empty()).collect();
        let index = chunk.index(chunks.len().max(1));
        let (chunk, events) = (index < chunks.len()).then(|| chunks.swap_remove(index))?;
        let last = event.index(events.len());
        Some((&**chunk, &mut events[..=last]))
    }

    fn owed(&self, sink: usize) -> impl Iterator<Item = u64> {
        let places = self.chunks.iter().flat_map(|(_, events)| events);
        places.filter(move |place| place.owed[sink]).map(|place| place.sequence)
    }

    /// Opens what is left, which must be all that is owed.
    fn after_the_end_of_the_process(&self, left: Stage) -> Self {
        let next = Self::begin(left, self.next, self.is_mixed);
        assert_eq!(next.lost, 0);
        assert!(next.opened.backlog.unowed.is_empty());
        for sink in 0..SINKS {
            let mut expected = Vec::from_iter(self.owed(sink));
            expected.sort_unstable();
            let mut found = owed(&next.opened.backlog, sink);
            if !self.is_mixed {
                next.check_order(&found);
            }
            found.sort_unstable();
            assert_eq!(found, expected, "sink {sink}");
        }
        next
    }

    /// Opens what is left, which must be all that is durable and owed, and nothing that was never recorded.
    fn after_a_loss_of_power(&self, left: Stage) -> Self {
        let next = Self::begin(left, self.next, self.is_mixed || self.has_copies);
        for sink in 0..SINKS {
            let found = owed(&next.opened.backlog, sink);
            if !next.is_mixed {
                next.check_order(&found);
            }
            for sequence in self.owed(sink).filter(|sequence| self.events[sequence].is_durable) {
                assert!(found.contains(&sequence), "{sequence} is missing");
            }
            // What is settled may be there again, since nobody waits until that is on the disk.
            assert!(found.iter().all(|sequence| sequence / (WRITERS as u64) < self.next));
        }
        if !self.has_copies {
            let may_be_missing =
                |(sequence, event): &(&u64, &Event)| !event.is_durable && !next.events.contains_key(sequence);
            let most = self.events.iter().filter(may_be_missing).count() as u64;
            assert!(next.lost <= most, "{} are told as lost, and {most} may be", next.lost);
        }
        next
    }

    fn note_durable(&mut self) {
        self.events.values_mut().for_each(|event| event.is_durable |= event.is_own);
    }

    fn check_order(&self, found: &[u64]) {
        for writer in 0..WRITERS as u64 {
            let own = found.iter().filter(|sequence| *sequence % WRITERS as u64 == writer);
            assert!(own.is_sorted_by(|a, b| a < b), "thread {writer}: {found:?}");
        }
    }

    fn take(mut self, step: &Step) -> Self {
        match step {
            Step::Append(writer, count) => self.append(*writer, *count),
            Step::Seal(writer) => self.writers[*writer] = None,
            // Without copies in memory nobody waits for the disk, and nothing is promised about a loss of power.
            Step::Wait | Step::FailSync if !self.stage.options.shadow => {}
            Step::LosePower(_) | Step::DieInSync(..) if !self.stage.options.shadow => {
                return self.take(&Step::Kill);
            }
            Step::Wait => {
                self.opened.spool.wait_durable(far()).unwrap();
                self.note_durable();
            }
            Step::FailSync => {
                self.stage.disk.fail_once(Operation::Sync, Errno::IO);
                self.has_copies = true;
            }
            Step::FailAllocation => self.stage.disk.fail_once(Operation::Allocate, Errno::NOSPC),
            Step::Offer(sink, chunk, event) => self.offer(*sink, *chunk, *event),
            Step::Settle(sink, chunk, event) => self.settle(*sink, *chunk, *event),
            Step::Close => {
                self.writers = [None, None];
                self.opened.spool.close();
                let left = self.stage.with(self.stage.disk.clone());
                let mut next = self.after_the_end_of_the_process(left);
                // It is the same disk: nothing has come to it that was not brought.
                for (sequence, event) in &mut next.events {
                    event.is_durable = self.events[sequence].is_durable;
                }
                next.has_copies = self.has_copies;
                return next;
            }
            Step::Kill => return self.after_the_end_of_the_process(self.stage.killed()),
            Step::DieInSync(operations, kept) => {
                self.stage.disk.die_after(*operations);
                match until_durable_or_it_is_known_why(&self.opened) {
                    Ok(()) => self.note_durable(),
                    Err(_) => self.has_copies = true,
                }
                let end = kept.clone().map_or(Step::Kill, Step::LosePower);
                return self.take(&end);
            }
            Step::DieInOpen(operations) => {
                let left = self.stage.killed();
                left.disk.die_after(*operations);
                drop(left.try_open());
                return self.after_the_end_of_the_process(left.killed());
            }
            Step::LosePower(kept) => {
                let mut kept = kept.iter().cycle();
                let left = self.stage.disk.after_power_loss(|| *kept.next().unwrap());
                return self.after_a_loss_of_power(self.stage.with(left));
            }
        }
        self
    }
}

fn new_stage(shadow: bool, stays_mapped: bool) -> Stage {
    let mut stage = Stage::new(&["a", "b"]);
    stage.options.shadow = shadow;
    stage.options.mapped_bytes = if stays_mapped { stage.options.max_bytes as usize } else { 0 };
    stage
}

/// `AUDIT_SPOOL_CASES=200000 cargo test --release -p audit-host spool::tests::model` for many more.
fn cases() -> u32 {
    std::env::var("AUDIT_SPOOL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_spool_does_what_its_model_does(
        shadow in any::<bool>(),
        stays_mapped in any::<bool>(),
        steps in vec(step(), 1..40),
    ) {
        let life = steps.iter().fold(Life::begin(new_stage(shadow, stays_mapped), 1, false), Life::take);
        life.take(&Step::Kill).take(&Step::Close);
    }
}
