//! The bytes of a run: canonical lines and an entry for each, made of frames.
//!
//! A body lives as long as somebody needs it. In memory that is until the run's last sink has settled its last event.
//! With a spool it may go earlier, when memory is short, and be made once more from the frames on disk.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use audit_plugin_api::RawEvent;

use super::budget::Charge;
use super::pool::Pool;

/// Canonical lines and where each stands.
#[derive(Debug)]
pub struct Body {
    lines: Vec<u8>,
    entries: Vec<RawEvent>,
    damaged: Box<[Range<u32>]>,
    pool: Arc<Pool>,
    /// Given back when all is settled, also while a call that hangs has the lines; unless a sink holds on to them.
    charge: Mutex<Option<Arc<Charge>>>,
}

impl Body {
    /// Lines, each with its newline, an entry for each, and what they take from the budget.
    pub fn new(lines: Vec<u8>, entries: Vec<RawEvent>, charge: Charge, pool: Arc<Pool>) -> Self {
        let damaged = Box::default();
        Self { lines, entries, damaged, pool, charge: Mutex::new(Some(Arc::new(charge))) }
    }

    /// As [`Body::new`], with entries of no length for events whose frames are damaged.
    pub fn salvaged(lines: Vec<u8>, entries: Vec<RawEvent>, charge: Charge, pool: Arc<Pool>) -> Self {
        let mut damaged: Vec<Range<u32>> = Vec::new();
        for (event, _) in (0..).zip(&entries).filter(|(_, entry)| entry.len == 0) {
            match damaged.last_mut().filter(|last| last.end == event) {
                Some(last) => last.end += 1,
                None => damaged.push(event..event + 1),
            }
        }
        let mut body = Self::new(lines, entries, charge, pool);
        body.damaged = damaged.into();
        body
    }

    /// Number of events.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Events whose frames are damaged, in order: their entries have no lines.
    pub fn damaged(&self) -> &[Range<u32>] {
        &self.damaged
    }

    /// What it takes from the budget, for a sink that holds on to it; `None` when all is settled already.
    pub fn charge(&self) -> Option<Arc<Charge>> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All is settled: what it takes no longer counts, but for sinks that hold on to it.
    pub fn give_back(&self) {
        drop(self.charge.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The entries from `start` to `end`.
    pub fn entries(&self, start: u32, end: u32) -> &[RawEvent] {
        &self.entries[start as usize..end as usize]
    }

    /// The lines from `start` to `end`, and where in the body they begin.
    pub fn lines(&self, start: u32, end: u32) -> (&[u8], u32) {
        let entries = self.entries(start, end);
        match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => {
                (&self.lines[first.offset as usize..(last.offset + last.len) as usize + 1], first.offset)
            }
            _ => (&[], 0),
        }
    }

    /// The canonical JSON of one event, without newline.
    pub fn json(&self, index: u32) -> &[u8] {
        let entry = &self.entries[index as usize];
        &self.lines[entry.offset as usize..(entry.offset + entry.len) as usize]
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.pool.put_run(std::mem::take(&mut self.lines), std::mem::take(&mut self.entries));
    }
}
