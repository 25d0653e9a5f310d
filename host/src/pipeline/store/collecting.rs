//! Making runs of what was accepted, and handing them to every sink.

use std::sync::Arc;
use std::time::Instant;

use audit_plugin_api::RawEvent;

use super::{Store, lock};
use crate::event::frame;
use crate::pipeline::body::Body;
use crate::pipeline::budget::Charge;
use crate::pipeline::record::ENTRY_BYTES;
use crate::pipeline::run::{Run, RunParts, owed_to_all};
use crate::pipeline::slot::{Frames, Portion};
use crate::pipeline::spooled::Source;

/// Whether the lines of a run are made at once.
#[derive(Clone, Copy)]
enum Reading {
    Now,
    /// When a sink is to get them.
    Later,
}

/// Events that an earlier process left in the spool.
pub struct BacklogRun {
    /// How many.
    pub len: u32,
    /// Where they are.
    pub source: Source,
    /// Which sinks are to get them, a bit each.
    pub owed: u32,
    /// When they count as recorded, for their `flush_interval`.
    pub oldest: Instant,
}

impl Store {
    /// Makes one run of what waits, and hands it to every sink; `false` when nothing waited.
    pub fn collect(&self) -> bool {
        self.collect_run(Reading::Now)
    }

    /// Makes runs of everything that waits, and hands them to every sink.
    pub fn collect_all(&self) {
        while self.collect() {}
    }

    /// As [`Store::collect_all`], but what is in the spool is not read.
    pub fn collect_all_unread(&self) {
        while self.collect_run(Reading::Later) {}
    }

    fn collect_run(&self, reading: Reading) -> bool {
        let mut position = lock(&self.order);
        let portions = self.next_portions();
        if portions.is_empty() {
            return false;
        }
        let run = self.make_run(portions, *position, reading);
        *position = run.behind();
        self.events.hand_out(&run);
        drop(position);
        if self.spool.is_none() {
            self.pool.prepare_chunks();
        }
        true
    }

    /// Hands out what an earlier process left in the spool, before anything else.
    pub fn hand_out_backlog(&self, parts: Vec<BacklogRun>) {
        let mut position = lock(&self.order);
        for part in parts {
            let first = *position;
            let run = RunParts {
                first,
                behind: first + u64::from(part.len),
                len: part.len,
                oldest: part.oldest,
                body: None,
                source: Some(part.source),
                owed: part.owed,
            };
            let run = Arc::new(Run::new(run, self.sinks, self.tally.clone()));
            *position = run.behind();
            self.events.hand_out(&run);
        }
    }

    /// What makes one run: at least one portion if any waits, of about [`RUN_BYTES`] together.
    fn next_portions(&self) -> Vec<Portion> {
        self.take_slots();
        let mut pending = lock(&self.pending);
        let mut portions = Vec::new();
        let mut bytes = 0;
        while let Some(portion) = pending.portions.front() {
            bytes += portion.charged;
            if bytes > self.pool.run_bytes() && !portions.is_empty() {
                break;
            }
            portions.extend(pending.portions.pop_front());
        }
        pending.events -= portions.iter().map(|portion| u64::from(portion.events)).sum::<u64>();
        portions
    }

    fn make_run(&self, portions: Vec<Portion>, first: u64, reading: Reading) -> Arc<Run> {
        let events: u32 = portions.iter().map(|portion| portion.events).sum();
        let oldest = portions.iter().map(|portion| portion.oldest).min().unwrap_or_else(Instant::now);
        let behind = first + u64::from(events);
        let owed = owed_to_all(self.sinks);
        let parts = match &self.spool {
            None => {
                let body = self.make_body(portions, events);
                RunParts { first, behind, len: body.len(), oldest, body: Some(body), source: None, owed }
            }
            Some(spool) => {
                let stretches = portions.into_iter().filter_map(|portion| match portion.frames {
                    Frames::Spool(stretch) => Some(stretch),
                    Frames::Memory { .. } => None,
                });
                let source = Some(Source::new(stretches.collect(), spool.bodies().clone()));
                RunParts { first, behind, len: events, oldest, body: None, source, owed }
            }
        };
        let run = Arc::new(Run::new(parts, self.sinks, self.tally.clone()));
        if self.spool.is_some() && matches!(reading, Reading::Now) {
            // What cannot be read now is read again by whoever needs it.
            let _ = run.body();
        }
        run
    }

    fn make_body(&self, portions: Vec<Portion>, events: u32) -> Arc<Body> {
        let charged: usize = portions.iter().map(|portion| portion.charged).sum();
        let bytes = charged.saturating_sub(events as usize * ENTRY_BYTES);
        let (mut lines, mut entries) = self.pool.run(bytes, events as usize);
        let mut charge = Charge::of(&self.budget, 0);
        for portion in portions {
            let Frames::Memory { bytes, used, lease } = portion.frames else { continue };
            let read = frame::write_lines(&bytes[..used], &mut lines, &mut entries);
            self.lose(u64::from(portion.events).saturating_sub(read as u64));
            lines.truncate(entries.last().map_or(0, |last: &RawEvent| (last.offset + last.len) as usize + 1));
            self.pool.put_chunk(bytes, self.budget.room());
            charge.absorb(lease);
        }
        charge.shrink_to(lines.len() + entries.len() * ENTRY_BYTES);
        Arc::new(Body::new(lines, entries, charge, self.pool.clone()))
    }
}
