//! Reads a segment that may be damaged: which events are in it, and what is not as it should be.
//!
//! Pure: bytes in, findings out. It never panics, whatever the bytes are, and never finds an event that was not written
//! into this very segment, since every checksum starts with the segment's number.

use std::ops::Range;

use super::format::{
    ChunkHeader, FREE, HeaderRead, LIVE, MOST_HEADER_BYTES, MOST_SINKS, PAGE, SegmentHeader,
    chunk_header_len, round_up,
};
use super::scan_chunk::{Reader, ScannedChunk};

/// What a segment holds.
#[derive(Debug)]
pub struct Scanned {
    /// Its number, which its checksums start with.
    pub number: u64,
    /// Names of the sinks that its marks are for. Where they are lost, so many empty ones: all sinks stand for those.
    pub sinks: Vec<String>,
    /// Its chunks, in order.
    pub chunks: Vec<ScannedChunk>,
    /// What is damaged and belongs to no chunk.
    pub damage: Vec<Damage>,
}

impl Scanned {
    /// Whether anything in it does not validate.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || self.chunks.iter().any(|chunk| !chunk.damage.is_empty())
    }
}

/// Something that does not validate.
#[derive(Debug)]
pub struct Damage {
    /// Whether events are lost by it, or may be.
    pub is_loss: bool,
    /// How many, at least.
    pub count: u64,
    /// The first sequence number that is missing, where it can be told.
    pub first_sequence: Option<u64>,
    /// The last one.
    pub last_sequence: Option<u64>,
    /// Which frames of a chunk it takes the place of, if it does.
    pub frames: Option<DamagedFrames>,
    /// What is wrong.
    pub reason: String,
    /// What to write where in the segment, so that it is damaged no more.
    pub repairs: Vec<(u64, Vec<u8>)>,
}

/// Frames of a chunk that do not validate, one after the other.
#[derive(Clone, Debug)]
pub struct DamagedFrames {
    /// Where they begin among the frames of the chunk.
    pub from: u32,
    /// Where they end.
    pub to: u32,
    /// Their numbers within the chunk.
    pub numbers: Range<u16>,
}

/// How a segment reads.
#[derive(Debug)]
pub enum SegmentRead {
    /// It holds nothing that counts.
    Free,
    /// It was written by a later version, this one.
    Newer(u32),
    /// It holds this.
    Holds(Scanned),
}

/// Reads a segment; `named` is the number in its file's name, which counts where its header is damaged.
pub fn scan_segment(bytes: &[u8], named: u64) -> SegmentRead {
    let header = match SegmentHeader::decode(bytes) {
        HeaderRead::Free => return SegmentRead::Free,
        HeaderRead::Newer(version) => return SegmentRead::Newer(version),
        HeaderRead::Live(header) => Some(header),
        HeaderRead::Damaged => None,
    };
    let number = header.as_ref().map_or(named, |header| header.number);
    let mut scan = Scan {
        reader: Reader::new(bytes, number),
        sinks: header.as_ref().map(|header| header.sinks.len()),
        chunks: Vec::new(),
        damage: Vec::new(),
    };
    let first = header.as_ref().map_or_else(|| scan.find_first(), |header| header.len);
    scan.read_from(first);
    let sinks = match header {
        Some(header) => {
            scan.note_missing_end(header.segment_bytes);
            header.sinks
        }
        None if scan.chunks.is_empty() && scan.damage.is_empty() => {
            // Made, but not used before its process died?
            if bytes.iter().take(PAGE).all(|byte| *byte == 0) {
                return SegmentRead::Free;
            }
            scan.give_up();
            Vec::new()
        }
        None => scan.repair_header(first),
    };
    let Scan { chunks, damage, .. } = scan;
    SegmentRead::Holds(Scanned { number, sinks, chunks, damage })
}

struct Scan<'a> {
    reader: Reader<'a>,
    /// How many sinks the chunks have marks for, where that is known.
    sinks: Option<usize>,
    chunks: Vec<ScannedChunk>,
    damage: Vec<Damage>,
}

impl Scan<'_> {
    fn len(&self) -> usize {
        self.reader.bytes.len()
    }

    /// Where the first chunk begins, when the header does not say: it may have more than one page.
    fn find_first(&mut self) -> usize {
        let mut headers = (PAGE..=MOST_HEADER_BYTES).step_by(PAGE);
        let found = headers.find_map(|at| Some((at, self.reader.header_at(at)?)));
        if let Some((_, header)) = found {
            self.sinks = Some(usize::from(header.sinks));
        }
        // A chunk whose first frame is lost begins nobody knows where.
        let by_frame = self.any_frame(PAGE, MOST_HEADER_BYTES + PAGE).map(|(frame_at, index)| {
            let is_first = index == 0 && self.is_header_len(frame_at % PAGE);
            if is_first { frame_at / PAGE * PAGE } else { PAGE }
        });
        found.map(|(at, _)| at).into_iter().chain(by_frame).min().unwrap_or(PAGE)
    }

    fn read_from(&mut self, first: usize) {
        let mut at = first;
        while at < self.len() {
            if let Some(header) = self.reader.header_at(at) {
                self.chunks.push(self.reader.read_chunk(at, header));
                at += header.region_len as usize;
                continue;
            }
            let next = (at + PAGE..self.len()).step_by(PAGE).find(|at| self.reader.header_at(*at).is_some());
            let end = next.unwrap_or(self.len());
            self.salvage(at, end, next.is_some());
            at = end;
        }
    }

    /// Finds what is left of chunks whose headers are damaged. Behind the last one nothing was leased, unless there is
    /// something left of it.
    fn salvage(&mut self, from: usize, end: usize, is_followed: bool) {
        let mut at = from;
        while at < end {
            let Some((frame_at, index)) = self.any_frame(at, end) else {
                return self.salvage_frameless(at, end, is_followed);
            };
            // The first frame of a chunk tells where it begins, and how long its header is.
            let (page, header_len) = (frame_at / PAGE * PAGE, frame_at % PAGE);
            let (begin, header_len) = if index == 0 && self.is_header_len(header_len) {
                (page, header_len)
            } else {
                (at, chunk_header_len(self.sinks.unwrap_or(1)))
            };
            let sinks = *self.sinks.get_or_insert((header_len - chunk_header_len(0)) / 16);
            if begin > at {
                self.salvage_frameless(at, begin, true);
            }
            let first_of_next = (page.max(begin) + PAGE..end).step_by(PAGE).find(|page| {
                self.begins_at(*page, header_len) || self.reader.surely_committed_at(*page).is_some()
            });
            let chunk_end = first_of_next.unwrap_or(end);
            let chunk_end = self.end_of_own(begin, header_len, frame_at, chunk_end).unwrap_or(chunk_end);
            self.salvage_chunk(begin, chunk_end, sinks);
            at = chunk_end;
        }
    }

    /// Where the chunk that begins here must end, since behind it are frames that are not its own: the start of their
    /// chunk is damaged, too.
    fn end_of_own(&self, begin: usize, header_len: usize, first: usize, end: usize) -> Option<usize> {
        let committed = self.reader.committed_at(begin).map(|(len, _)| begin + header_len + len as usize);
        let committed_end = committed.filter(|committed_end| *committed_end <= end);
        let (mut at, mut own_end, mut index) = (first, begin + header_len, 0_u16);
        while at < end {
            let Some(frame) = self.reader.frame_at(at, self.len()) else {
                at += 8;
                continue;
            };
            // Where something is missing, so is a number. And a frame that begins where what is committed ends was being
            // written.
            let least = index.saturating_add(u16::from(at > own_end));
            if frame.index < least || committed_end.is_some_and(|end| at > end) {
                let own_end = round_up(own_end.max(committed_end.unwrap_or(0)));
                return (own_end <= at).then_some(own_end);
            }
            index = frame.index.saturating_add(frame.events);
            at += frame.len as usize;
            own_end = at;
        }
        None
    }

    /// What is left where no frame is.
    fn salvage_frameless(&mut self, at: usize, end: usize, is_followed: bool) {
        let sinks = self.sinks.unwrap_or(1);
        if self.reader.surely_committed_at(at).is_some_and(|(len, _)| len > 0) {
            self.salvage_chunk(at, end, sinks);
        } else if is_followed && self.reader.committed_at(at).is_none() {
            self.damage.push(Damage {
                is_loss: true,
                count: 1,
                repairs: vec![(at as u64, self.reader.empty_chunk(at, end, sinks))],
                ..Damage::new(format!("what begins at offset {at} is damaged beyond recognition"))
            });
        }
    }

    fn salvage_chunk(&mut self, at: usize, end: usize, sinks: usize) {
        // Of a number that no other chunk has: it is not told from its copies. A file may be cut within it.
        let region_len = round_up(end - at) as u32;
        let header = ChunkHeader { number: 0, region_len, sinks: sinks as u16 };
        self.chunks.push(self.reader.read_headless_chunk(at, header));
    }

    fn is_header_len(&self, len: usize) -> bool {
        match self.sinks {
            Some(sinks) => len == chunk_header_len(sinks),
            None => {
                len.is_multiple_of(64) && (chunk_header_len(0)..=chunk_header_len(MOST_SINKS)).contains(&len)
            }
        }
    }

    fn any_frame(&self, from: usize, to: usize) -> Option<(usize, u16)> {
        (from..to.min(self.len()))
            .step_by(8)
            .find_map(|at| Some((at, self.reader.frame_at(at, self.len())?.index)))
    }

    fn begins_at(&self, page: usize, header_len: usize) -> bool {
        self.reader.frame_at(page + header_len, self.len()).is_some_and(|frame| frame.index == 0)
    }

    fn note_missing_end(&mut self, segment_bytes: u64) {
        if self.len() as u64 >= segment_bytes {
            return;
        }
        let missing = segment_bytes - self.len() as u64;
        self.damage.push(Damage {
            is_loss: true,
            repairs: vec![(segment_bytes.saturating_sub(8), vec![0; 8])],
            ..Damage::new(format!("the last {missing} bytes are missing, and what was in them"))
        });
    }

    /// The header is damaged: one that all sinks stand for takes its place.
    fn repair_header(&mut self, first: usize) -> Vec<String> {
        let marks = self.chunks.iter().map(|chunk| chunk.marks.len()).max();
        let sinks = vec![String::new(); marks.unwrap_or(1)];
        let end = self.chunks.last().map_or(0, |chunk| chunk.at + u64::from(chunk.region_len));
        let segment_bytes = end.max(self.len() as u64);
        self.note_missing_end(segment_bytes);
        let mut header = SegmentHeader::new(segment_bytes, self.reader.number, sinks);
        header.len = header.len.max(first);
        self.damage.push(Damage {
            repairs: vec![(0, header.encode(LIVE))],
            ..Damage::new("the header is damaged, and with it for which sinks the events are".to_owned())
        });
        header.sinks
    }

    /// Nothing in it makes sense.
    fn give_up(&mut self) {
        let header = SegmentHeader::new(self.len() as u64, self.reader.number, Vec::new());
        self.damage.push(Damage {
            is_loss: true,
            count: 1,
            repairs: vec![(0, header.encode(FREE))],
            ..Damage::new("the whole file is damaged beyond recognition".to_owned())
        });
    }
}

impl Damage {
    /// Damage that nothing is lost by.
    pub fn new(reason: String) -> Self {
        Self {
            is_loss: false,
            count: 0,
            first_sequence: None,
            last_sequence: None,
            frames: None,
            reason,
            repairs: Vec::new(),
        }
    }
}
