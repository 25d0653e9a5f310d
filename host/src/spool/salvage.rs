//! Damage that is found when frames are read again, long after their folder was opened: the others are read all the same.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use super::age::Age;
use super::chunk::{Chunk, Place};
use super::format::FrameHeader;
use super::gap::Gap;
use super::read_folder::read_file;
use super::scan::{Damage, DamagedFrames};
use super::scan_chunk::Reader;

/// Frames of a chunk that turned out to be damaged, one after the other.
pub(super) struct Found {
    frames: DamagedFrames,
    /// What is to be told of it, until that is taken.
    damage: Option<Damage>,
    may_repair: bool,
}

impl Chunk {
    /// As [`Chunk::read`], of frames that have these numbers; but in place of frames that do not validate, `use_frames`
    /// gets holes. The segment is copied aside then, and whoever loses events by that is to [`Chunk::take_gaps`]. A file that
    /// somebody deleted is damaged as a whole.
    ///
    /// # Errors
    /// What the system says if the file cannot be read.
    pub fn read_sound<R>(
        &self,
        frames: Range<u32>,
        numbers: Range<u16>,
        age: Age,
        mut use_frames: impl FnMut(&[u8]) -> R,
    ) -> io::Result<R> {
        // Once more before it is believed: the read may be at fault, and not what is read.
        for _ in 0..2 {
            match self.read(frames.start, frames.end, age, &mut use_frames) {
                Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::NotFound) => {}
                read => return read,
            }
        }
        self.salvage(frames, numbers).map(|sound| use_frames(&sound))
    }

    fn salvage(&self, frames: Range<u32>, numbers: Range<u16>) -> io::Result<Vec<u8>> {
        let (segment, base) = self.frames_place();
        let bytes = match read_file(&**segment.folder.disk(), &segment.path()) {
            // Where its folder is not there either, the disk may come back.
            Err(error) if error.kind() == ErrorKind::NotFound && segment.folder.is_there() => None,
            bytes => Some(bytes?),
        };
        let is_gone = bytes.is_none();
        let bytes = bytes.unwrap_or_default();
        let begin = base as usize + frames.start as usize;
        let there = bytes.get(begin..).unwrap_or_default();
        let mut sound = there[..there.len().min(frames.len())].to_vec();
        sound.resize(frames.len(), 0);

        let reader = Reader::new(&bytes, segment.number);
        let mut damage = reader.damage_among(base as usize, &frames, &numbers);
        put_holes(&mut sound, begin, &damage);
        if !adds_up(&sound, &numbers, segment.seed) {
            damage = vec![reader.all_damaged(base as usize, frames, numbers)];
            put_holes(&mut sound, begin, &damage);
        }
        if is_gone {
            for damage in &mut damage {
                damage.reason = "the file was deleted".to_owned();
                damage.repairs.clear();
            }
        }
        let mut found: Vec<Found> = damage
            .into_iter()
            .filter_map(|damage| {
                Some(Found { frames: damage.frames.clone()?, damage: Some(damage), may_repair: false })
            })
            .collect();
        found.retain(|found| !self.lock().knows(&found.frames));
        if !found.is_empty() {
            // Its bytes are not trusted with anything new.
            segment.retire();
            let may_repair = is_gone || segment.folder.keep_copy(&segment.name, &bytes);
            let mut place = self.lock();
            // A hole is written over it through the file: nobody is to have it mapped then.
            place.let_go_of_mapping();
            for found in found {
                if !place.knows(&found.frames) {
                    place.damaged.push(Found { may_repair, ..found });
                }
            }
        }
        Ok(sound)
    }

    /// Takes what is to be told of damage by which events of these numbers were lost; each is given once. Until it is
    /// healed, the disk does not say that anything behind it is done, so that a later process finds it again.
    pub fn take_gaps(self: &Arc<Self>, lost: &[Range<u16>]) -> Vec<Gap> {
        let mut place = self.lock();
        let (segment, is_finished) = (place.segment.clone(), place.is_finished());
        let new_gap = if is_finished { Gap::unheld } else { Gap::new };
        let mut gaps = Vec::new();
        let mut untold = Vec::new();
        for found in &mut place.damaged {
            let numbers = &found.frames.numbers;
            let both =
                |lost: &Range<u16>| lost.end.min(numbers.end).saturating_sub(lost.start.max(numbers.start));
            let count: u64 = lost.iter().map(|lost| u64::from(both(lost))).sum();
            if count > 0
                && let Some(damage) = found.damage.take()
            {
                untold.push(found.frames.from);
                let damage = Damage { count, ..damage };
                gaps.push(new_gap(damage, &segment, found.may_repair).in_chunk(self, found.frames.from));
            }
        }
        place.untold.extend(untold);
        gaps
    }
}

impl Place {
    /// Whether it is known that these are damaged.
    fn knows(&self, frames: &DamagedFrames) -> bool {
        self.damaged.iter().any(|known| known.frames.from < frames.to && frames.from < known.frames.to)
    }
}

fn put_holes(frames: &mut [u8], begin: usize, damage: &[Damage]) {
    for (at, hole) in damage.iter().flat_map(|damage| &damage.repairs) {
        let at = *at as usize - begin;
        frames[at..at + hole.len()].copy_from_slice(hole);
    }
}

/// Whether these are frames of these numbers.
fn adds_up(mut frames: &[u8], numbers: &Range<u16>, seed: u32) -> bool {
    let mut next = numbers.start;
    while let Some(header) = FrameHeader::decode(frames, seed).filter(|header| header.index == next) {
        frames = &frames[header.len as usize..];
        next = next.saturating_add(header.events);
    }
    frames.is_empty() && next == numbers.end
}
