//! Runs whose frames are in the spool: their bodies need not stay in memory.
//!
//! While there is room, a body stays until its run is settled. When half of the room for bodies is taken (a part of
//! `capacity_bytes`: the rest is for mapped segments), those that were made first go; whoever needs one later reads the
//! frames again. So a sink that is behind costs disk, not memory.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use audit_plugin_api::flags;

use super::body::Body;
use super::budget::{Budget, Charge};
use super::pool::Pool;
use super::record::ENTRY_BYTES;
use super::run::Run;
use crate::event::frame;
use crate::spool::{self, Age, Gap};

/// Frames of one chunk of the spool.
#[derive(Clone)]
pub struct Stretch {
    /// The chunk.
    pub chunk: Arc<spool::Chunk>,
    /// Where they begin among its frames.
    pub from: u32,
    /// Where they end.
    pub to: u32,
    /// Number of the first within the chunk.
    pub index: u16,
    /// How many they are.
    pub events: u32,
    /// When the first of them was recorded.
    pub oldest: Instant,
}

impl Stretch {
    fn read<R>(&self, use_frames: impl FnMut(&[u8]) -> R) -> io::Result<R> {
        let age = Age::of(self.oldest, Instant::now());
        self.chunk.read_sound(self.from..self.to, self.numbers(0, self.events), age, use_frames)
    }

    /// The numbers within the chunk of the frames from `start` to `end`.
    fn numbers(&self, start: u32, end: u32) -> Range<u16> {
        let number = |event: u32| self.index.saturating_add(event as u16);
        number(start)..number(end)
    }
}

/// Where the spool has the events of a run.
pub struct Source {
    stretches: Vec<Stretch>,
    /// For each sink, up to which of the events it may have had them from an earlier process. Empty for events that this
    /// process recorded.
    doubtful_to: Box<[u32]>,
    bodies: Arc<Bodies>,
}

impl Source {
    /// Of events that this process recorded.
    pub fn new(stretches: Vec<Stretch>, bodies: Arc<Bodies>) -> Self {
        Self { stretches, doubtful_to: Box::default(), bodies }
    }

    /// Of events that an earlier process left; for each sink, up to which of them it may have had already.
    pub fn left_behind(stretches: Vec<Stretch>, doubtful_to: Box<[u32]>, bodies: Arc<Bodies>) -> Self {
        Self { stretches, doubtful_to, bodies }
    }

    /// Up to which of the events this sink may have had them from an earlier process.
    pub fn doubtful_to(&self, sink: usize) -> u32 {
        self.doubtful_to.get(sink).copied().unwrap_or(0)
    }

    /// About how much memory its body takes.
    pub fn bytes(&self) -> usize {
        body_bytes(&self.stretches)
    }

    /// Reads the lines of all its events; so many they must be.
    pub fn read(&self, events: u32) -> io::Result<Arc<Body>> {
        let replayed = if self.doubtful_to.is_empty() { 0 } else { flags::REPLAYED };
        self.bodies.make(&self.stretches, events, replayed).map(Arc::new)
    }

    /// The run has its body in memory now.
    pub fn note_body(&self, run: &Arc<Run>) {
        self.bodies.keep(run);
    }

    /// Notes in the spool that this sink may have the events up to this one from now on.
    pub fn note_offered(&self, sink: usize, end: u32) {
        let mut start = 0;
        for stretch in &self.stretches {
            if start >= end {
                return;
            }
            start += stretch.events;
            stretch.chunk.set_offered(sink, stretch.to);
        }
    }

    /// What is to be told of damage by which these events were lost; each damage once.
    pub fn take_gaps(&self, lost: &[Range<u32>]) -> Vec<Gap> {
        let (mut gaps, mut start) = (Vec::new(), 0);
        for stretch in &self.stretches {
            let within = |event: u32| event.clamp(start, start + stretch.events) - start;
            let numbers: Vec<_> =
                lost.iter().map(|lost| stretch.numbers(within(lost.start), within(lost.end))).collect();
            gaps.extend(stretch.chunk.take_gaps(&numbers));
            start += stretch.events;
        }
        gaps
    }

    /// Notes in the spool that this sink has settled the events up to this one, for good.
    pub fn note_done(&self, sink: usize, end: u32) -> io::Result<()> {
        let mut start = 0;
        for stretch in &self.stretches {
            let count = (end - start).min(stretch.events);
            if count < stretch.events {
                let offset = stretch.read(|frames| offset_of(frames, count))?;
                stretch.chunk.set_done(sink, stretch.from + offset);
                return Ok(());
            }
            stretch.chunk.set_done(sink, stretch.to);
            start += count;
        }
        Ok(())
    }
}

/// About how much memory the body of these frames takes: a line has its keys beyond what its frame has.
fn body_bytes(stretches: &[Stretch]) -> usize {
    let frames: usize = stretches.iter().map(|stretch| (stretch.to - stretch.from) as usize).sum();
    frames + frames / 2
}

/// Where the frame of this number begins, or the hole that it is in.
fn offset_of(frames: &[u8], number: u32) -> u32 {
    let (mut offset, mut left) = (0, number as usize);
    while let Some(len) = frame::frame_total(&frames[offset..])
        && let Some(rest) = left.checked_sub(frame::frame_events(&frames[offset..]).max(1))
    {
        offset += len;
        left = rest;
    }
    offset as u32
}

/// Makes bodies from the spool, and keeps those in memory that were made last.
pub struct Bodies {
    pool: Arc<Pool>,
    memory: Arc<Budget>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    runs: VecDeque<Weak<Run>>,
    /// Once there are so many, those that are gone are taken out.
    tidy_at: usize,
}

const TIDY_AT: usize = 256;

impl Bodies {
    /// Bodies that together take about half of this budget, beside what is in use.
    pub fn new(pool: Arc<Pool>, memory: Arc<Budget>) -> Self {
        Self { pool, memory, kept: Mutex::default() }
    }

    /// Makes the body of these frames: so many events.
    pub fn make(&self, stretches: &[Stretch], events: u32, replayed: u32) -> io::Result<Body> {
        let (mut lines, mut entries) = self.pool.run(body_bytes(stretches), events as usize);
        for stretch in stretches {
            stretch.read(|frames| frame::write_lines(frames, &mut lines, &mut entries))?;
        }
        if entries.len() != events as usize {
            let found = entries.len();
            self.pool.put_run(lines, entries);
            let text = format!("the spool has {found} of {events} events there");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        entries.iter_mut().for_each(|entry| entry.flags |= replayed);
        let bytes = lines.len() + entries.len() * ENTRY_BYTES;
        self.memory.force(bytes);
        let charge = Charge::of(&self.memory, bytes);
        Ok(Body::salvaged(lines, entries, charge, self.pool.clone()))
    }

    /// Notes that this run has its body in memory; lets go of others where memory is short.
    pub fn keep(&self, run: &Arc<Run>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.runs.push_back(Arc::downgrade(run));
        let mut surplus = Vec::new();
        let mut used = self.memory.used();
        while used > self.memory.capacity() / 2
            && kept.runs.len() > 1
            && let Some(run) = kept.runs.pop_front()
        {
            if let Some(run) = run.upgrade() {
                run.let_go();
                surplus.push(run);
            }
            used = self.memory.used();
        }
        if kept.runs.len() > kept.tidy_at.max(TIDY_AT) {
            kept.runs.retain(|run| run.strong_count() > 0);
            kept.tidy_at = kept.runs.len() * 2;
        }
        // A run that is dropped here may be the last of it: not under the lock.
        drop(kept);
        drop(surplus);
    }
}
