//! What must hold for a segment that was written as it should be, and damaged then: it is known what was in it.

use super::any::{self, Frame, NUMBER, all_damage, frames};
use crate::spool::format::{
    COMMITTED_AT, ChunkHeader, FRAME_HEADER_LEN, KIND_HOLE, LIVE, Mark, PAGE, Position, SegmentHeader,
    chunk_header_len, committed_word, put_u64, seal_frame, seed,
};
use crate::spool::scan::{Scanned, SegmentRead, scan_segment};

const MOST_CHANGES: usize = 16;
const MOST_BYTES: usize = 64 << 10;

/// A script: what is written, then what is changed.
pub fn check(script: &[u8]) {
    let mut script = Script(script);
    let mut segment = Written::by(&mut script);
    let whole = segment.bytes.clone();
    let mut kind = Kind::Damage;
    for _ in 0..MOST_CHANGES {
        if script.0.is_empty() {
            break;
        }
        if segment.change(&mut script) == Kind::Forgery {
            kind = Kind::Forgery;
        }
    }
    any::check(&segment.bytes);
    if kind == Kind::Damage {
        segment.check_truth(&whole);
    }
}

/// Bytes that decide; zeros where there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn below(&mut self, bound: u8) -> usize {
        usize::from(self.byte() % bound)
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn place(&mut self, bound: usize) -> usize {
        (usize::from(self.byte()) | usize::from(self.byte()) << 8) % bound.max(1)
    }
}

/// What a change is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes are lost or changed: no checksum is right by that.
    Damage,
    /// Something that validates stands where it was never written.
    Forgery,
}

/// A segment, and what was written into it.
struct Written {
    bytes: Vec<u8>,
    sinks: usize,
    chunks: Vec<WrittenChunk>,
}

struct WrittenChunk {
    at: usize,
    header_len: usize,
    /// Where each frame begins in the file, and its length without padding.
    frames: Vec<(usize, usize)>,
    /// How many of them are committed.
    committed: usize,
}

impl Written {
    fn by(script: &mut Script<'_>) -> Self {
        // With five, a chunk's header is longer than with fewer.
        let sinks = [5, 1, 2, 3][script.below(4)];
        let names = (0..sinks).map(|sink| format!("sink {sink}")).collect();
        let mut header = SegmentHeader::new(0, NUMBER, names);
        let mut written = Self { bytes: vec![0; header.len], sinks, chunks: Vec::new() };
        let mut sequence = 0;
        for number in 1..=script.below(4) as u64 {
            written.add_chunk(number, &mut sequence, script);
        }
        written.bytes.resize(written.bytes.len() + script.below(3) * PAGE, 0);
        header.segment_bytes = written.bytes.len() as u64;
        written.bytes[..header.len].copy_from_slice(&header.encode(LIVE));
        written
    }

    fn add_chunk(&mut self, number: u64, sequence: &mut u64, script: &mut Script<'_>) {
        let at = self.bytes.len();
        let region_len = (1 + script.below(2)) * PAGE;
        let header_len = chunk_header_len(self.sinks);
        let header = ChunkHeader { number, region_len: region_len as u32, sinks: self.sinks as u16 };
        self.bytes.resize(at + region_len, 0);
        let position = Position { segment: NUMBER, at: at as u64 };
        self.bytes[at..at + header_len].copy_from_slice(&header.encode(position));
        let (mut frames, mut ends, mut place) = (Vec::new(), vec![0], at + header_len);
        for index in 0..script.below(16) as u16 {
            *sequence += 1 + script.below(2) as u64;
            let frame = frame(*sequence, index, usize::from(script.byte()) * 2);
            let padded = frame.len().next_multiple_of(8);
            if place + padded > at + region_len {
                break;
            }
            self.bytes[place..place + frame.len()].copy_from_slice(&frame);
            frames.push((place, frame.len()));
            place += padded;
            ends.push(place - at - header_len);
        }
        // One at most was being written.
        let committed = frames.len().saturating_sub(script.below(2));
        let chunk = &mut self.bytes[at..];
        let word = committed_word(position.committed_salt(), ends[committed] as u32, committed as u16);
        put_u64(chunk, COMMITTED_AT, word);
        for sink in 0..self.sinks {
            let done = script.below(16).min(committed);
            let offered = done.max(script.below(16).min(committed));
            for (mark, value) in [(Mark::Done, ends[done]), (Mark::Offered, ends[offered])] {
                put_u64(chunk, mark.at(sink), position.mark_word(mark, sink, value as u32));
            }
        }
        self.chunks.push(WrittenChunk { at, header_len, frames, committed });
    }

    fn change(&mut self, script: &mut Script<'_>) -> Kind {
        let len = self.bytes.len();
        let what = script.below(8);
        let at = script.place(len);
        let page = at / PAGE * PAGE;
        let position = Position { segment: NUMBER, at: page as u64 };
        match what {
            0 => {
                let flip = script.byte();
                self.put(at, 1, |byte| *byte ^= flip);
                Kind::Damage
            }
            1 => {
                let (count, value) = (script.place(2 * PAGE), script.byte());
                self.put(at, count, |byte| *byte = value);
                Kind::Damage
            }
            2 => {
                self.bytes.truncate(at);
                Kind::Damage
            }
            3 => {
                let (from, count) = (script.place(len), script.place(PAGE));
                let end = (from + count).min(len);
                let copy = self.bytes[from..end].to_vec();
                self.write(at, &copy)
            }
            4 => {
                let (number, region_len) = (script.byte().into(), script.number() % (4 * PAGE as u32));
                let header = ChunkHeader { number, region_len, sinks: script.byte().into() };
                self.write(page, &header.encode(position))
            }
            5 => {
                let (count, events) = (script.number() % (2 * PAGE as u32), u16::from(script.byte()));
                let word = committed_word(position.committed_salt(), count, events);
                self.write(page + COMMITTED_AT, &word.to_le_bytes())
            }
            6 => {
                let (slot, value) = (script.below(4), script.number());
                let mark = if script.below(2) == 0 { Mark::Offered } else { Mark::Done };
                self.write(page + mark.at(slot), &position.mark_word(mark, slot, value).to_le_bytes())
            }
            _ => {
                let sequence = u64::from(script.number());
                let (index, text_len) = (u16::from(script.byte()), script.byte().into());
                let mut frame = frame(sequence, index, text_len);
                if script.below(2) == 0 {
                    let number = script.number();
                    frame.truncate(FRAME_HEADER_LEN);
                    frame[4..8].copy_from_slice(&(number % PAGE as u32).to_le_bytes());
                    frame[40..44].copy_from_slice(&number.to_le_bytes());
                    frame[45] = KIND_HOLE;
                    let crc = crc32c::crc32c_append(seed(NUMBER), &frame[4..]);
                    frame[..4].copy_from_slice(&crc.to_le_bytes());
                }
                self.write(at / 8 * 8, &frame)
            }
        }
    }

    fn put(&mut self, at: usize, count: usize, change: impl Fn(&mut u8)) {
        let end = (at + count).min(self.bytes.len());
        self.bytes.get_mut(at..end).into_iter().flatten().for_each(change);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Kind {
        let end = at + bytes.len();
        if end > self.bytes.len() && end <= MOST_BYTES {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
        Kind::Forgery
    }

    /// What is left is found, nothing else is, and the rest is counted.
    fn check_truth(&self, whole: &[u8]) {
        let scanned = match scan_segment(&self.bytes, NUMBER) {
            SegmentRead::Holds(scanned) => scanned,
            SegmentRead::Free => {
                Scanned { number: NUMBER, sinks: Vec::new(), chunks: Vec::new(), damage: Vec::new() }
            }
            SegmentRead::Newer(version) => panic!("damaged to version {version}"),
        };
        let found = frames(&self.bytes, &scanned);
        any::check_repairs(&self.bytes, &scanned, &found);
        let is_as_written =
            |from: usize, len: usize| self.bytes.get(from..from + len) == whole.get(from..from + len);
        let is_found =
            |(at, len): &(usize, usize)| found.contains(&(*at, &whole[*at..*at + *len]) as &Frame<'_>);
        let written = self.chunks.iter().flat_map(|chunk| &chunk.frames);
        assert_eq!(written.filter(|frame| is_found(frame)).count(), found.len(), "a frame was never written");
        for chunk in &self.chunks {
            let (committed, torn) = chunk.frames.split_at(chunk.committed);
            for (at, len) in committed {
                // A file that is cut within the padding of its last frame has lost that, and counts it.
                let is_whole = is_as_written(*at, *len) && at + len.next_multiple_of(8) <= self.bytes.len();
                assert!(!is_whole || is_found(&(*at, *len)), "the frame at {at} is as it was, but not found");
            }
            if !is_as_written(chunk.at, chunk.header_len) {
                continue;
            }
            assert!(!torn.iter().any(is_found), "found behind what is committed");
            let found = committed.iter().filter(|frame| is_found(frame)).count() as u64;
            let read = scanned.chunks.iter().find(|read| read.at == chunk.at as u64).expect("a chunk");
            let lost: u64 = read.damage.iter().map(|damage| damage.count).sum();
            assert_eq!(found + lost, chunk.committed as u64, "found {found} and lost {lost}");
        }
        if self.bytes == whole {
            assert!(all_damage(&scanned).next().is_none(), "damaged, although it is as it was");
        }
    }
}

/// A frame of an event, without padding; its text follows from its number.
fn frame(sequence: u64, index: u16, text_len: usize) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER_LEN + text_len];
    let total = frame.len() as u32;
    frame[4..8].copy_from_slice(&total.to_le_bytes());
    put_u64(&mut frame, 8, sequence);
    put_u64(&mut frame, 16, sequence * 1000);
    frame[45] = 1;
    for (at, byte) in frame[FRAME_HEADER_LEN..].iter_mut().enumerate() {
        *byte = (sequence as usize * 31 + at) as u8;
    }
    seal_frame(&mut frame, index, seed(NUMBER));
    frame
}
