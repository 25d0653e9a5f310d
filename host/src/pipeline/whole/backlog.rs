//! What an earlier process left in the spool: delivered first, and damage made known.

use std::sync::Arc;
use std::time::Instant;

use audit_plugin_api::Timestamp;

use crate::config::{BufferSettings, Heirs, SpoolSettings};
use crate::pipeline::budget::Budget;
use crate::pipeline::counters::Tally;
use crate::pipeline::spool_room::{SpoolBound, SpoolRoom};
use crate::pipeline::spooled::{Bodies, Source, Stretch};
use crate::pipeline::store::{BacklogRun, Store};
use crate::spool::{Backlog, BacklogPart, Disk, Spool, SpoolError, SpoolOptions};

/// Bytes of frames that make about as many bytes of lines as a run has.
const RUN_FRAME_BYTES: u32 = 160 << 10;
/// Region of a slot in the spool.
const CHUNK_BYTES: usize = 64 << 10;

/// How much was found in the spool at start.
#[derive(Debug)]
pub struct Recovered {
    /// Each event once.
    pub total: u64,
    /// What each sink is to get of it.
    pub by_sink: Vec<u64>,
}

/// A spool that was opened, and what an earlier process left in it.
pub struct OpenedSpool {
    pub room: SpoolRoom,
    pub budget: Arc<Budget>,
    pub backlog: Backlog,
}

/// Opens the spool, and reads what an earlier process left in it.
pub fn open_spool(
    disk: Arc<dyn Disk>,
    settings: &SpoolSettings,
    buffer: &BufferSettings,
    mapped_bytes: usize,
    sinks: Vec<String>,
    bodies: Arc<Bodies>,
) -> Result<OpenedSpool, SpoolError> {
    let budget = Arc::new(Budget::new(usize::try_from(settings.max_bytes).unwrap_or(usize::MAX)));
    let options = SpoolOptions {
        dir: settings.dir.clone(),
        max_bytes: settings.max_bytes,
        max_event_bytes: buffer.max_event_bytes,
        chunk_bytes: CHUNK_BYTES,
        mapped_bytes,
        shadow: SpoolRoom::wants_copies(settings),
        sinks,
        heirs_of_all: settings.heirs == Heirs::AllSinks,
    };
    let bound = Arc::new(SpoolBound::new(budget.clone(), options.segment_bytes()));
    let (spool, backlog) = Spool::open(disk, options, bound.clone())?;
    let room = SpoolRoom::new(spool, bound, bodies, settings, buffer.block_timeout);
    Ok(OpenedSpool { room, budget, backlog })
}

impl Recovered {
    /// Nothing, for this many sinks.
    pub fn nothing(sinks: usize) -> Self {
        Self { total: 0, by_sink: vec![0; sinks] }
    }

    /// Counts a backlog, for this many sinks.
    pub fn count(backlog: &Backlog, sinks: usize) -> Self {
        let mut recovered = Self::nothing(sinks);
        let found = backlog.parts.iter().map(|part| (part.owed, u64::from(part.events)));
        let lost = backlog.gaps.iter().map(|gap| (gap.owed, gap.count));
        for (owed, events) in found.chain(lost).filter(|(owed, _)| *owed != 0) {
            recovered.total += events;
            for (sink, count) in recovered.by_sink.iter_mut().enumerate() {
                *count += if owed & 1 << sink == 0 { 0 } else { events };
            }
        }
        recovered
    }
}

/// Hands out what an earlier process left, and makes known what is damaged.
pub fn hand_out(store: &Store, tally: &Tally, backlog: Backlog, bodies: &Arc<Bodies>) {
    for (sink, events) in &backlog.unowed {
        tracing::warn!(
            sink,
            events,
            "the spool holds events for a sink that is configured no more; they stay there: `audit-host spool drain` \
             delivers them elsewhere"
        );
    }
    let events: u64 = backlog.parts.iter().map(|part| u64::from(part.events)).sum();
    if events > 0 {
        let doubtful: u64 = backlog.parts.iter().map(most_offered).sum();
        let oldest = backlog.parts.iter().map(|part| part.oldest).min().unwrap_or_default();
        tracing::info!(
            events,
            oldest = %Timestamp::from_micros(oldest),
            possible_duplicates = doubtful,
            "events of an earlier process are delivered first; so many of them may have been delivered already"
        );
    }
    store.hand_out_backlog(runs(backlog.parts, bodies));
    for gap in backlog.gaps {
        tally.lose_in_spool(gap.count, gap.owed);
        store.tell_gap(gap);
    }
}

fn most_offered(part: &BacklogPart) -> u64 {
    part.offered.iter().copied().max().map_or(0, u64::from)
}

/// Parts that are owed to the same sinks, put together to runs.
fn runs(parts: Vec<BacklogPart>, bodies: &Arc<Bodies>) -> Vec<BacklogRun> {
    let mut runs = Vec::new();
    let mut current: Vec<BacklogPart> = Vec::new();
    let mut bytes = 0;
    let oldest = Instant::now();
    for part in parts.into_iter().filter(|part| part.owed != 0) {
        let len = part.to - part.from;
        if current.first().is_some_and(|first| first.owed != part.owed || bytes + len > RUN_FRAME_BYTES) {
            runs.extend(run(std::mem::take(&mut current), oldest, bodies));
            bytes = 0;
        }
        bytes += len;
        current.push(part);
    }
    runs.extend(run(current, oldest, bodies));
    runs
}

fn run(parts: Vec<BacklogPart>, oldest: Instant, bodies: &Arc<Bodies>) -> Option<BacklogRun> {
    let first = parts.first()?;
    let owed = first.owed;
    let mut doubtful_to = vec![0; first.offered.len()];
    let mut len = 0;
    let mut stretches = Vec::with_capacity(parts.len());
    for part in parts {
        for (doubtful_to, offered) in doubtful_to.iter_mut().zip(&part.offered) {
            *doubtful_to = if *offered > 0 { len + offered } else { *doubtful_to };
        }
        len += part.events;
        let BacklogPart { chunk, from, to, index, events, .. } = part;
        stretches.push(Stretch { chunk, from, to, index, events, oldest });
    }
    let source = Source::left_behind(stretches, doubtful_to.into(), bodies.clone());
    Some(BacklogRun { len, source, owed, oldest })
}
