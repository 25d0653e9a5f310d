//! Reads a chunk that may be damaged.

use std::ops::Range;

use super::checksums::Checksums;
use super::format::{
    COMMITTED_AT, ChunkHeader, FRAME_HEADER_LEN, FrameHeader, KIND_HOLE, Mark, Position, chunk_header_len,
    committed_word, hole_frame, put_u64, read_committed, seed, u64_at,
};
use super::scan::{Damage, DamagedFrames};

/// What a chunk holds.
#[derive(Debug)]
pub struct ScannedChunk {
    /// Its number in the folder; 0 where it is lost.
    pub number: u64,
    /// Where its region begins in the segment.
    pub at: u64,
    /// Bytes of the region.
    pub region_len: u32,
    /// Bytes in front of its first frame.
    pub header_len: usize,
    /// Bytes of its frames, good or bad.
    pub len: u32,
    /// For each sink of the table: what may have been delivered, and what is settled (offsets among the frames).
    pub marks: Vec<(u32, u32)>,
    /// The events, in order.
    pub events: Vec<ScannedEvent>,
    /// Stretches without events, in order.
    pub skips: Vec<(u32, u32)>,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl ScannedChunk {
    /// Up to where its frames are whole, from the first one on.
    pub fn whole_to(&self) -> u32 {
        let damaged = self.damage.iter().filter_map(|damage| damage.frames.as_ref());
        damaged.map(|frames| frames.from).min().unwrap_or(self.len)
    }

    /// Forgets damage of what every sink had before: it is not lost. Returns up to where that is.
    pub fn forget_what_all_had(&mut self) -> u32 {
        let least = self.marks.iter().map(|(_, done)| *done).min().unwrap_or(0);
        self.damage.retain(|damage| damage.frames.as_ref().is_none_or(|frames| frames.to > least));
        least
    }
}

/// An event that validates.
#[derive(Clone, Copy, Debug)]
pub struct ScannedEvent {
    /// Where its frame begins among the frames.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
    /// Its frame's number within the chunk.
    pub index: u16,
    /// When it was recorded, in microseconds since 1970.
    pub timestamp: i64,
}

/// A segment's bytes, and its number.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub number: u64,
    checksums: Checksums<'a>,
}

impl<'a> Reader<'a> {
    /// Reads these bytes as the segment of this number.
    pub fn new(bytes: &'a [u8], number: u64) -> Self {
        Self { bytes, number, checksums: Checksums::new(bytes, seed(number)) }
    }

    /// The frame at this offset, if one validates there that does not reach beyond `end`.
    pub fn frame_at(&self, at: usize, end: usize) -> Option<FrameHeader> {
        let checksum = |covered: Range<usize>| self.checksums.of(at + covered.start..at + covered.end);
        FrameHeader::decode_with(self.bytes.get(at..end)?, checksum)
    }

    /// The chunk's header at this offset, if one validates there.
    pub fn header_at(&self, at: usize) -> Option<ChunkHeader> {
        ChunkHeader::decode(self.bytes.get(at..)?, self.position(at))
    }

    /// How much of the chunk at this offset counts, if that validates.
    pub fn committed_at(&self, at: usize) -> Option<(u32, u16)> {
        read_committed(self.position(at).committed_salt(), self.word(at + COMMITTED_AT)?)
    }

    /// As [`Reader::committed_at`], if at least one mark validates too: 16 bits alone may do so by chance.
    pub fn surely_committed_at(&self, at: usize) -> Option<(u32, u16)> {
        let position = self.position(at);
        let is_mark = |mark: Mark| {
            self.word(at + mark.at(0)).is_some_and(|word| position.read_mark(mark, 0, word).is_some())
        };
        self.committed_at(at).filter(|_| is_mark(Mark::Offered) || is_mark(Mark::Done))
    }

    /// The chunk at this offset, which has this header.
    pub fn read_chunk(&self, at: usize, header: ChunkHeader) -> ScannedChunk {
        let position = self.position(at);
        let mark = |mark: Mark, slot| position.read_mark(mark, slot, self.word(at + mark.at(slot))?);
        // One that does not validate costs duplicates.
        let marks = (0..usize::from(header.sinks))
            .map(|slot| (mark(Mark::Offered, slot).unwrap_or(u32::MAX), mark(Mark::Done, slot).unwrap_or(0)));
        let mut chunk = self.read_frames(at, header, marks.collect());
        if self.committed_at(at).is_none() {
            let word = committed_word(position.committed_salt(), chunk.len, chunk.events.len() as u16);
            chunk.damage.push(Damage {
                repairs: vec![((at + COMMITTED_AT) as u64, word.to_le_bytes().to_vec())],
                ..Damage::new(format!("how much of the chunk at offset {at} counts is damaged"))
            });
        }
        chunk
    }

    /// The chunk at this offset, whose header is damaged and should be this: owed to all.
    pub fn read_headless_chunk(&self, at: usize, header: ChunkHeader) -> ScannedChunk {
        let mut chunk = self.read_frames(at, header, vec![(u32::MAX, 0); usize::from(header.sinks)]);
        let position = self.position(at);
        let (_, events) = self.committed_at(at).unwrap_or((chunk.len, chunk.events.len() as u16));
        let mut repaired = header.encode(position);
        put_u64(&mut repaired, COMMITTED_AT, committed_word(position.committed_salt(), chunk.len, events));
        chunk.damage.push(Damage {
            repairs: vec![(at as u64, repaired)],
            ..Damage::new(format!("the header of the chunk at offset {at} is damaged"))
        });
        chunk
    }

    /// The header of a chunk without frames, that takes the place of something.
    pub fn empty_chunk(&self, at: usize, end: usize, sinks: usize) -> Vec<u8> {
        let header = ChunkHeader { number: 0, region_len: (end - at) as u32, sinks: sinks as u16 };
        header.encode(self.position(at))
    }

    /// What is damaged of some frames of a chunk that must have these numbers; the first of the chunk begins at `base`.
    pub fn damage_among(&self, base: usize, frames: &Range<u32>, numbers: &Range<u16>) -> Vec<Damage> {
        let mut part = ScannedChunk {
            number: 0,
            at: base as u64,
            region_len: 0,
            header_len: 0,
            len: frames.end,
            marks: Vec::new(),
            events: Vec::new(),
            skips: Vec::new(),
            damage: Vec::new(),
        };
        self.find_frames(&mut part, frames.start, numbers.start, Some(numbers.end));
        part.damage
    }

    /// That all of these frames are damaged.
    pub fn all_damaged(&self, base: usize, frames: Range<u32>, numbers: Range<u16>) -> Damage {
        let frames = DamagedFrames { from: frames.start, to: frames.end, numbers };
        self.gap(base, frames, None, None)
    }

    fn read_frames(&self, at: usize, header: ChunkHeader, marks: Vec<(u32, u32)>) -> ScannedChunk {
        let header_len = chunk_header_len(usize::from(header.sinks));
        let most = header.region_len.saturating_sub(header_len as u32);
        let committed = self.committed_at(at).filter(|(len, _)| *len <= most);
        let mut chunk = ScannedChunk {
            number: header.number,
            at: at as u64,
            region_len: header.region_len,
            header_len,
            len: committed.map_or(most, |(len, _)| len),
            marks,
            events: Vec::new(),
            skips: Vec::new(),
            damage: Vec::new(),
        };
        self.find_frames(&mut chunk, 0, 0, committed.map(|(_, events)| events));
        for (offered, done) in &mut chunk.marks {
            (*offered, *done) = ((*offered).min(chunk.len), (*done).min(chunk.len));
        }
        chunk
    }

    /// Finds the frames of a chunk from an offset on, where the one of the number `index` is. They should go up to the
    /// number `end`; where that is not known, what is behind the last one that validates counts as never written.
    fn find_frames(&self, chunk: &mut ScannedChunk, from: u32, mut index: u16, end: Option<u16>) {
        let base = chunk.at as usize + chunk.header_len;
        let bytes_end = (base + chunk.len as usize).min(self.bytes.len());
        let (mut offset, mut before) = (from as usize, None);
        while offset < chunk.len as usize {
            let found =
                self.next_frame(base + offset, bytes_end, index).map(|(at, header)| (at - base, header));
            let Some((at, next_index)) =
                found.map(|(at, header)| (at, header.index)).or(end.map(|end| (chunk.len as usize, end)))
            else {
                chunk.len = offset as u32;
                return;
            };
            if at > offset {
                let next = found.map(|(_, header)| header.sequence);
                let missing = next_index.saturating_sub(index);
                let numbers = index..index.saturating_add(missing);
                let frames = DamagedFrames { from: offset as u32, to: at as u32, numbers };
                chunk.damage.push(self.gap(base, frames, before, next));
                chunk.skips.push((offset as u32, at as u32));
            }
            let Some((_, header)) = found else { return };
            let to = at as u32 + header.len;
            if header.kind == KIND_HOLE {
                chunk.skips.push((at as u32, to));
            } else {
                chunk.events.push(ScannedEvent {
                    from: at as u32,
                    to,
                    index: header.index,
                    timestamp: header.timestamp,
                });
                before = Some(header.sequence);
            }
            index = next_index.saturating_add(header.events);
            offset = to as usize;
        }
    }

    /// The next frame that validates, of this number or a later one.
    fn next_frame(&self, from: usize, end: usize, index: u16) -> Option<(usize, FrameHeader)> {
        let valid = |at: usize, least: u16| {
            let header = self.frame_at(at, end)?;
            (header.index >= least).then_some((at, header))
        };
        let here = valid(from, index);
        // Mostly it is the text that is damaged, and the length is right. What looks like a frame within the text is not
        // looked at then. A length that leads to any frame but the next is damaged itself.
        let next = index.saturating_add(1);
        let behind = || {
            let found = valid(from + FrameHeader::padded_len(self.bytes.get(from..end)?)?, next);
            found.filter(|(_, header)| header.index == next)
        };
        let anywhere = || (from + 8..end).step_by(8).find_map(|at| valid(at, next));
        here.or_else(behind).or_else(anywhere)
    }

    /// These frames are damaged, between events of these sequence numbers.
    fn gap(&self, base: usize, frames: DamagedFrames, before: Option<u64>, next: Option<u64>) -> Damage {
        let (at, len) = (base + frames.from as usize, frames.to - frames.from);
        let missing = frames.numbers.len() as u16;
        let count = u64::from(missing);
        let hole = hole_frame(len, frames.numbers.start, missing, seed(self.number));
        let is_hole = len as usize >= FRAME_HEADER_LEN;
        let repairs = if is_hole { vec![(at as u64, hole.to_vec())] } else { Vec::new() };
        Damage {
            is_loss: true,
            count,
            first_sequence: before
                .map(|before| before.saturating_add(1))
                .or(next.map(|next| next.saturating_sub(count))),
            last_sequence: next
                .map(|next| next.saturating_sub(1))
                .or(before.map(|before| before.saturating_add(count))),
            frames: Some(frames),
            reason: format!("{len} bytes at offset {at} do not validate"),
            repairs,
        }
    }

    fn position(&self, at: usize) -> Position {
        Position { segment: self.number, at: at as u64 }
    }

    fn word(&self, at: usize) -> Option<u64> {
        Some(u64_at(self.bytes.get(at..at + 8)?, 0))
    }
}
