//! A region of a segment with the frames of one slot, and how far each sink is in it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::age::Age;
use super::disk::{Access, DiskFile};
use super::format::{FrameHeader, KIND_HOLE, Mark, Position, chunk_header_len};
use super::mapped::{Track, TrackWriter};
use super::salvage::Found as FoundDamage;
use super::segment::Segment;
use super::sink_map::SinkMap;

/// A region of a segment with the frames of one slot, and how far each sink is in it.
///
/// It can be read while it is written. Sinks are told by their index today. Once it is *done* (its writer is gone, and
/// every sink that its events are owed to has settled all) its space is given back.
pub struct Chunk {
    number: u64,
    region_len: u32,
    header_len: usize,
    map: Arc<SinkMap>,
    /// Stretches that hold no events for anybody, in order: whoever is done up to one is done up to its end.
    skips: Vec<(u32, u32)>,
    place: Mutex<Place>,
}

/// Where a chunk is, and how far its sinks are.
pub(super) struct Place {
    pub segment: Arc<Segment>,
    pub at: u64,
    /// The region, while it is mapped.
    track: Option<Arc<Track>>,
    /// The frames once more, until they are on the disk.
    shadow: Option<Arc<Track>>,
    /// Writes the region, where the chunk's writer writes the shadow.
    pub mirror: Option<TrackWriter>,
    left_behind: LeftBehind,
    state: State,
    slots: Vec<Progress>,
    sinks: Vec<Progress>,
    /// What turned out to be damaged.
    pub damaged: Vec<FoundDamage>,
    /// Where gaps are that are taken and not told.
    pub untold: Vec<u32>,
}

/// How far a sink is: offsets among the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is before it may have been delivered.
    pub offered: u32,
    /// What is before it is settled.
    pub done: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Written,
    /// Its frames end here.
    Sealed(u32),
    Finished,
}

/// A chunk that an earlier process left.
pub(super) struct Found {
    pub number: u64,
    pub region_len: u32,
    pub at: u64,
    pub header_len: usize,
    pub len: u32,
    pub slots: Vec<Progress>,
    pub skips: Vec<(u32, u32)>,
    pub left_behind: LeftBehind,
}

/// Where a chunk was before it was moved: what is left there looks like the chunk.
#[derive(Default)]
pub(super) struct LeftBehind(Vec<(Arc<Segment>, u64)>);

impl LeftBehind {
    /// There is one at this offset.
    pub fn add(&mut self, segment: Arc<Segment>, at: u64) {
        self.0.push((segment, at));
    }

    /// The chunk is done, and its segment may go while these stay: nobody shall take them for the chunk. They have so many
    /// slots, and end at `len` at the latest.
    pub fn mark_done(&mut self, slots: usize, len: u32) {
        for (segment, at) in self.0.drain(..) {
            (0..slots).for_each(|slot| write_mark(&segment, at, Mark::Done, slot, len));
        }
    }
}

impl Chunk {
    /// A chunk that is written in this process. `shadow` is what its writer writes, if that is not the region itself;
    /// then `mirror` writes the region.
    pub(super) fn written(
        number: u64,
        region_len: u32,
        map: Arc<SinkMap>,
        segment: Arc<Segment>,
        at: u64,
        track: Arc<Track>,
        copies: Option<(Arc<Track>, TrackWriter)>,
    ) -> Self {
        let (shadow, mirror) = copies.unzip();
        let slots = vec![Progress::default(); map.names.len()];
        let sinks = vec![Progress::default(); map.sinks];
        let header_len = chunk_header_len(slots.len());
        let place = Place {
            track: Some(track),
            shadow,
            mirror,
            ..Place::new(segment, at, State::Written, slots, sinks)
        };
        Self { number, region_len, header_len, map, skips: Vec::new(), place: Mutex::new(place) }
    }

    /// A chunk that an earlier process left.
    pub(super) fn found(found: Found, segment: Arc<Segment>, map: Arc<SinkMap>) -> Self {
        let Found { number, region_len, at, header_len, len, mut slots, skips, left_behind } = found;
        slots.iter_mut().for_each(|slot| slot.done = behind_skip(&skips, slot.done));
        let sinks = (0..map.sinks)
            .map(|sink| {
                let own = || map.slots_of(sink).filter_map(|slot| slots.get(slot));
                Progress {
                    offered: own().map(|slot| slot.offered).max().unwrap_or(len),
                    done: own().map(|slot| slot.done).min().unwrap_or(len),
                }
            })
            .collect();
        let place = Place { left_behind, ..Place::new(segment, at, State::Sealed(len), slots, sinks) };
        Self { number, region_len, header_len, map, skips, place: Mutex::new(place) }
    }

    /// Calls this with the frames from one offset to another, which must lie between frames. Without a copy where they
    /// are in memory; else they are read from the file. They are checked, but for young ones in memory, and those that are
    /// kept there until they are on the disk.
    ///
    /// # Errors
    /// `InvalidData` if a frame does not validate; what the system says if the file cannot be read.
    pub fn read<R>(
        &self,
        from: u32,
        to: u32,
        age: Age,
        use_frames: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<R> {
        let (memory, age, segment, at) = {
            let place = self.lock();
            let (memory, age) = match &place.shadow {
                Some(shadow) => (Some(shadow.clone()), Age::Young),
                None => (place.track.clone(), age),
            };
            (memory, age, place.segment.clone(), place.at)
        };
        let frames_at = at + self.header_len as u64;
        let damaged = || {
            let (path, at) = (segment.path(), frames_at + u64::from(from));
            let text = format!("{}: the frames from byte {at} on are damaged", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if let Some(memory) = memory {
            let frames = memory.read(from, to).ok_or_else(|| beyond(from, to))?;
            return match age {
                Age::Waited if check_frames(frames, segment.seed).is_none() => Err(damaged()),
                Age::Waited | Age::Young => Ok(use_frames(frames)),
            };
        }
        if from > to || u64::from(to) > u64::from(self.region_len) - self.header_len as u64 {
            return Err(beyond(from, to));
        }
        let mut frames = vec![0; (to - from) as usize];
        let read =
            segment.with_file(Access::Read, |file| file.read_at(&mut frames, frames_at + u64::from(from)))?;
        check_frames(&frames[..read], segment.seed).filter(|()| read == frames.len()).ok_or_else(damaged)?;
        Ok(use_frames(&frames))
    }

    /// Says that a sink may have the events before this offset from now on. Never moves back.
    pub fn set_offered(&self, sink: usize, to: u32) {
        self.set(Mark::Offered, sink, to);
    }

    /// Says that a sink has settled the events before this offset for good. Never moves back.
    pub fn set_done(&self, sink: usize, to: u32) {
        self.set(Mark::Done, sink, to);
    }

    fn set(&self, mark: Mark, sink: usize, to: u32) {
        let to = behind_skip(&self.skips, to);
        let mut place = self.lock();
        let Some(progress) = place.sinks.get_mut(sink) else { return };
        let value = progress.get_mut(mark);
        if to <= *value {
            return;
        }
        *value = to;
        self.write_marks(&mut place, mark, sink);
        self.finish_if_done(&mut place);
    }

    /// The gap at this offset is told.
    pub(super) fn note_told(&self, from: u32) {
        let mut place = self.lock();
        place.untold.retain(|untold| *untold != from);
        (0..self.map.sinks).for_each(|sink| self.write_marks(&mut place, Mark::Done, sink));
        self.finish_if_done(&mut place);
    }

    /// Brings the marks of those that this sink stands for to where they are. Nothing is done behind a gap that is not told.
    fn write_marks(&self, place: &mut Place, mark: Mark, sink: usize) {
        let told_to = place.untold.iter().copied().min().unwrap_or(u32::MAX);
        for slot in self.map.slots_of(sink) {
            let standing =
                place.sinks.iter().enumerate().filter(|(sink, _)| self.map.standing[slot] & 1 << sink != 0);
            let values = standing.map(|(_, progress)| progress.get(mark));
            let value = match mark {
                Mark::Offered => values.max(),
                Mark::Done => values.min().map(|done| done.min(told_to)),
            };
            let value = value.unwrap_or(0);
            let Some(progress) = place.slots.get_mut(slot) else { continue };
            if value > progress.get(mark) {
                *progress.get_mut(mark) = value;
                place.write_mark(mark, slot, value);
            }
        }
    }

    /// How far a sink is.
    pub(super) fn progress(&self, sink: usize) -> Progress {
        self.lock().sinks.get(sink).copied().unwrap_or_default()
    }

    /// For whom nobody stands, and how far they were.
    pub(super) fn abandoned_slots(&self) -> Vec<(String, u32)> {
        let place = self.lock();
        let slots = self.map.names.iter().zip(&self.map.standing).zip(&place.slots);
        slots
            .filter(|((_, bits), _)| **bits == 0)
            .map(|((name, _), slot)| (name.clone(), slot.done))
            .collect()
    }

    /// Its number in the folder.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of its region.
    pub(super) fn region_len(&self) -> u32 {
        self.region_len
    }

    /// Nothing more is written: its frames end here.
    pub(super) fn seal(&self, len: u32) {
        let mut place = self.lock();
        place.state = State::Sealed(len);
        place.mirror = None;
        self.finish_if_done(&mut place);
        if place.shadow.is_some() {
            // The next sync is to drop it, also where nothing was written since the last one.
            place.segment.mark_dirty();
        }
    }

    /// Whether nothing more is written.
    pub(super) fn is_sealed(&self) -> bool {
        self.lock().state != State::Written
    }

    /// Lets go of its mapping, if that is in this segment.
    pub(super) fn detach(&self, segment: &Arc<Segment>) {
        let mut place = self.lock();
        if Arc::ptr_eq(&place.segment, segment) {
            place.let_go_of_mapping();
        }
    }

    /// Its segment, and where in that its frames begin.
    pub(super) fn frames_place(&self) -> (Arc<Segment>, u64) {
        let place = self.lock();
        (place.segment.clone(), place.at + self.header_len as u64)
    }

    /// Whether it is in this segment.
    pub(super) fn is_in(&self, segment: &Segment) -> bool {
        std::ptr::eq(&*self.lock().segment, segment)
    }

    /// Whether its frames are kept in memory.
    pub(super) fn has_shadow(&self) -> bool {
        self.lock().shadow.is_some()
    }

    /// Its frames are on the disk: they need not be kept in memory.
    pub(super) fn drop_shadow(&self) {
        let shadow = self.lock().shadow.take();
        drop(shadow);
    }

    /// Moves it to another region of the same length: calls this with the frames in memory and the marks, to write them
    /// there. Does nothing if they are not in memory, or not wanted any more.
    pub(super) fn move_to(
        &self,
        segment: &Arc<Segment>,
        at: u64,
        write: impl FnOnce(&[u8], &[Progress]) -> io::Result<TrackWriter>,
    ) -> io::Result<bool> {
        let mut place = self.lock();
        let Some(shadow) = place.shadow.clone() else { return Ok(false) };
        let frames = shadow.read(0, shadow.filled()).unwrap_or_default();
        let mirror = write(frames, &place.slots)?;
        segment.hold();
        let old = std::mem::replace(&mut place.segment, segment.clone());
        let old_at = std::mem::replace(&mut place.at, at);
        place.left_behind.add(old.clone(), old_at);
        place.track = Some(mirror.track().clone());
        place.mirror = (place.state == State::Written).then_some(mirror);
        drop(place);
        old.release();
        Ok(true)
    }

    fn finish_if_done(&self, place: &mut Place) {
        if let State::Sealed(len) = place.state
            && place.slots.iter().all(|slot| slot.done >= len)
        {
            place.state = State::Finished;
            place.shadow = None;
            let slots = place.slots.len();
            place.left_behind.mark_done(slots, len);
            place.segment.release();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn new(segment: Arc<Segment>, at: u64, state: State, slots: Vec<Progress>, sinks: Vec<Progress>) -> Self {
        Self {
            segment,
            at,
            track: None,
            shadow: None,
            mirror: None,
            left_behind: LeftBehind::default(),
            state,
            slots,
            sinks,
            damaged: Vec::new(),
            untold: Vec::new(),
        }
    }

    /// It is read from the file from now on.
    pub fn let_go_of_mapping(&mut self) {
        self.track = None;
    }

    /// Whether all in it is done.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    fn write_mark(&self, mark: Mark, slot: usize, value: u32) {
        if let Some(track) = &self.track {
            let position = Position { segment: self.segment.number, at: self.at };
            return track.set_word(mark.at(slot), position.mark_word(mark, slot, value));
        }
        write_mark(&self.segment, self.at, mark, slot, value);
    }
}

/// Writes a mark of the chunk at this offset to the segment's file.
fn write_mark(segment: &Segment, at: u64, mark: Mark, slot: usize, value: u32) {
    let word = Position { segment: segment.number, at }.mark_word(mark, slot, value);
    let write = |file: &dyn DiskFile| file.write_at(&word.to_le_bytes(), at + mark.at(slot) as u64);
    match segment.with_file(Access::ReadWrite, write) {
        Ok(()) => {}
        // The segment is gone, and needs no marks.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // It costs duplicates after a crash, and nothing else.
        Err(error) => {
            tracing::warn!("{}: a mark could not be written: {error}", segment.path().display());
        }
    }
}

impl Progress {
    fn get(self, mark: Mark) -> u32 {
        match mark {
            Mark::Offered => self.offered,
            Mark::Done => self.done,
        }
    }

    fn get_mut(&mut self, mark: Mark) -> &mut u32 {
        match mark {
            Mark::Offered => &mut self.offered,
            Mark::Done => &mut self.done,
        }
    }
}

/// The end of the stretches without events that this offset is in, or the offset.
fn behind_skip(skips: &[(u32, u32)], to: u32) -> u32 {
    skips.iter().fold(to, |to, (from, end)| if (*from..*end).contains(&to) { *end } else { to })
}

/// Whether these bytes are whole frames, none of them a hole.
fn check_frames(mut frames: &[u8], seed: u32) -> Option<()> {
    while !frames.is_empty() {
        let header = FrameHeader::decode(frames, seed).filter(|header| header.kind != KIND_HOLE)?;
        frames = &frames[header.len as usize..];
    }
    Some(())
}

fn beyond(from: u32, to: u32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the chunk has no frames from {from} to {to}"))
}
