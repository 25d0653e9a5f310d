//! The thread that brings to the disk what many threads wrote, with one sync for all of them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::chunk::{Chunk, Progress};
use super::error::{LeaseError, NotDurable};
use super::format::{FrameHeader, Mark, Position, seal_frame};
use super::leasing::{Cut, Leasing};
use super::mapped::TrackWriter;
use super::segment::Segment;
use super::writer::commit;

/// How long after a failed sync the next one begins.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// How long a sync is put off at most, so that it does for more of those who want it.
const LONGEST_GATHERING: Duration = Duration::from_millis(2);

/// Syncs that many wait for at once.
///
/// A sync has a number. Whoever waits needs one that begins after he came: the next one that is not begun.
#[derive(Default)]
pub struct GroupCommit {
    state: Mutex<State>,
    wanted: Condvar,
    /// The last sync that succeeded: everything that was written before it began is on the disk.
    succeeded: AtomicU64,
    /// Where those wait who need a sync of an even number, and of an odd one: only who got his is woken.
    ended: [Bell; 2],
    /// Set under the lock, so that the thread does not miss it.
    is_stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The last sync that began.
    begun: u64,
    is_wanted: bool,
    failure: Option<String>,
    /// Chunks leased since the last sync began.
    leased: u32,
    /// How many have come since the last sync began, and how many had come when it did.
    come: u32,
    came: u32,
    /// How long the last sync took.
    took: Duration,
}

/// Segments that may refuse, one after the other, before it is a failure.
const MOST_TURNS: u32 = 3;
/// After so many chunks a sync begins though nobody waits for it: their frames are kept in memory until then.
const MOST_LEASED: u32 = 16;

impl GroupCommit {
    /// Waits until everything that was written before this call is on the disk.
    pub fn wait(&self, until: Instant) -> Result<(), NotDurable> {
        let mut state = self.lock();
        let needed = state.begun + 1;
        state.come += 1;
        let is_news = !state.is_wanted || state.come == state.came;
        state.is_wanted = true;
        drop(state);
        if is_news {
            self.wanted.notify_one();
        }
        let ended = self.ended_of(needed);
        loop {
            let heard = ended.rung();
            if self.succeeded.load(Ordering::Acquire) >= needed {
                return Ok(());
            }
            if self.is_stopped() {
                return Err(NotDurable { reason: "the spool is closed".to_owned() });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let failure = self.lock().failure.clone();
                let reason = failure.unwrap_or_else(|| "the disk has not answered in time".to_owned());
                return Err(NotDurable { reason });
            }
            ended.wait(heard, left);
        }
    }

    /// Another chunk was leased: from time to time a sync begins, so that what it kept in memory can go.
    pub fn note_lease(&self) {
        let mut state = self.lock();
        state.leased += 1;
        if state.leased >= MOST_LEASED && !state.is_wanted {
            state.is_wanted = true;
            self.wanted.notify_one();
        }
    }

    /// The thread is to end.
    pub fn stop(&self) {
        let state = self.lock();
        self.is_stopped.store(true, Ordering::Release);
        drop(state);
        self.wanted.notify_one();
        self.ended.iter().for_each(Bell::ring);
    }

    /// Syncs whenever somebody wants it, until it is told to stop.
    pub fn run(&self, leasing: &Leasing) {
        let mut state = self.lock();
        loop {
            while !state.is_wanted && !self.is_stopped() {
                state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state = self.gather(state);
            if self.is_stopped() {
                return;
            }
            state.is_wanted = false;
            state.leased = 0;
            state.came = std::mem::take(&mut state.come);
            state.begun += 1;
            let begun = state.begun;
            drop(state);
            let since = Instant::now();
            let result = sync_all(leasing);
            state = self.lock();
            state.took = since.elapsed();
            match result {
                Ok(()) => {
                    self.succeeded.store(begun, Ordering::Release);
                    let has_failed = state.failure.take().is_some();
                    drop(state);
                    self.ended_of(begun).ring();
                    if has_failed {
                        // It does also for those who needed one that failed.
                        self.ended_of(begun - 1).ring();
                    }
                    state = self.lock();
                }
                Err(reason) => {
                    tracing::error!("what was recorded could not be brought to the disk: {reason}");
                    state.failure = Some(reason);
                    state.is_wanted = true;
                    // Only `stop` ends this earlier: others have their turn anyway.
                    let again = Instant::now() + TRY_AGAIN;
                    while !self.is_stopped() && Instant::now() < again {
                        let left = again.saturating_duration_since(Instant::now());
                        state =
                            self.wanted.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            }
        }
    }

    /// Those whom the last sync has let go are about to come again: waits until they are there, so that one sync does for
    /// all of them; but no longer than is worth it.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let until = Instant::now() + (state.took / 2).min(LONGEST_GATHERING);
        while state.come < state.came && !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wanted.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn ended_of(&self, sync: u64) -> &Bell {
        &self.ended[(sync % 2) as usize]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings everything that was written before this call to the disk; where that fails, to another segment.
pub fn sync_all(leasing: &Leasing) -> Result<(), String> {
    let mut failure = String::new();
    for _ in 0..MOST_TURNS {
        let mut has_moved = false;
        for segment in leasing.live() {
            if let Err(error) = sync(&segment) {
                failure = format!("{}: {error}", segment.path().display());
                tracing::warn!("{failure}: what is not on the disk is written anew to another segment");
                segment.retire();
            }
            if segment.is_retired() {
                has_moved |= move_chunks(&segment, leasing).map_err(|error| match &*failure {
                    "" => error.to_string(),
                    failure => format!("{failure}, and there is no other segment: {error}"),
                })?;
            }
        }
        // What was moved is in a segment that has to be synced in its turn.
        if !has_moved {
            return Ok(());
        }
    }
    Err(failure)
}

fn sync(segment: &Segment) -> io::Result<()> {
    let Some(file) = segment.take_dirty() else { return Ok(()) };
    // Before the sync begins: all that they hold was written by then.
    let sealed: Vec<_> =
        segment.chunks().into_iter().filter(|chunk| chunk.has_shadow() && chunk.is_sealed()).collect();
    file.sync()?;
    sealed.iter().for_each(|chunk| chunk.drop_shadow());
    Ok(())
}

/// Moves what is not on the disk out of a segment whose sync failed. Whether there was anything.
fn move_chunks(segment: &Segment, leasing: &Leasing) -> Result<bool, LeaseError> {
    let mut has_moved = false;
    for chunk in segment.chunks() {
        if chunk.has_shadow() && chunk.is_in(segment) {
            has_moved |= move_chunk(&chunk, leasing)?;
        }
    }
    Ok(has_moved)
}

fn move_chunk(chunk: &Arc<Chunk>, leasing: &Leasing) -> Result<bool, LeaseError> {
    let Cut { segment, track, position, .. } = leasing.cut_for_copy(chunk.region_len(), chunk.number())?;
    let has_moved = chunk
        .move_to(&segment, position.at, |frames, slots| copy(frames, slots, track, segment.seed, position))?;
    if has_moved {
        segment.add_chunk(chunk.clone());
        segment.mark_dirty();
    }
    Ok(has_moved)
}

/// Writes frames and marks into a fresh region. They count only when all is there.
fn copy(
    frames: &[u8],
    slots: &[Progress],
    mut track: TrackWriter,
    seed: u32,
    position: Position,
) -> io::Result<TrackWriter> {
    let mut events = 0;
    let mut rest = frames;
    let mut frame = Vec::new();
    while let Some(len) = FrameHeader::padded_len(rest) {
        let (first, after) = rest.split_at_checked(len).ok_or(io::ErrorKind::InvalidData)?;
        frame.clear();
        frame.extend_from_slice(first);
        seal_frame(&mut frame, events, seed);
        track.append(&frame);
        events += 1;
        rest = after;
    }
    for (slot, progress) in slots.iter().enumerate() {
        for (mark, value) in [(Mark::Offered, progress.offered), (Mark::Done, progress.done)] {
            track.set_word(mark.at(slot), position.mark_word(mark, slot, value));
        }
    }
    commit(&track, position.committed_salt(), events);
    Ok(track)
}
