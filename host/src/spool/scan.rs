//! Reading a segment that may be damaged: which events are in it, and what is not as it should be.
//!
//! Pure: bytes in, findings out. It never panics, whatever the bytes are, and never finds an event that was not written
//! into this very segment, since every checksum starts with the segment's number.

use super::format::{
    COMMITTED_AT, ChunkHeader, FRAME_HEADER_LEN, FrameHeader, HeaderRead, KIND_HOLE, Mark, PAGE, Position,
    SegmentHeader, chunk_header_len, committed_word, hole_frame, put_u64, read_committed, seed, u64_at,
};

/// What a segment holds.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Names of the sinks that its marks are for; `None` where the header is damaged.
    pub sinks: Option<Vec<String>>,
    /// Its chunks, in order.
    pub chunks: Vec<ScannedChunk>,
    /// What is damaged and belongs to no chunk.
    pub damage: Vec<Damage>,
}

/// What a chunk holds.
#[derive(Debug)]
pub struct ScannedChunk {
    /// Its number in the folder.
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

/// An event that validates.
#[derive(Clone, Copy, Debug)]
pub struct ScannedEvent {
    /// Where its frame begins among the frames.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
    /// Its sequence number.
    pub sequence: u64,
    /// When it was recorded, in microseconds since 1970.
    pub timestamp: i64,
}

/// Something that does not validate.
#[derive(Debug)]
pub struct Damage {
    /// The first sequence number that is missing, where it can be told.
    pub first_sequence: Option<u64>,
    /// The last one.
    pub last_sequence: Option<u64>,
    /// How many events are missing, at least.
    pub count: u64,
    /// What is wrong.
    pub reason: String,
    /// What to write where in the segment, so that it is damaged no more.
    pub repairs: Vec<(u64, Vec<u8>)>,
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

/// Reads a segment of this number; where its header is damaged, its chunks are as for so many sinks.
pub fn scan_segment(bytes: &[u8], number: u64, sinks: usize) -> SegmentRead {
    let mut scanned = Scanned::default();
    let first = match SegmentHeader::decode(bytes) {
        HeaderRead::Free => return SegmentRead::Free,
        HeaderRead::Newer(version) => return SegmentRead::Newer(version),
        HeaderRead::Live(header) if header.number == number => {
            scanned.sinks = Some(header.sinks);
            header.len
        }
        HeaderRead::Live(_) | HeaderRead::Damaged => {
            scanned.damage.push(Damage::without_loss("the segment's header is damaged"));
            PAGE
        }
    };
    let sinks = scanned.sinks.as_ref().map_or(sinks, Vec::len);
    Scan { bytes, number, seed: seed(number), sinks }.chunks(first, &mut scanned);
    if scanned.sinks.is_none() && scanned.chunks.is_empty() && bytes.iter().all(|byte| *byte == 0) {
        // Made, and not used before its process died.
        return SegmentRead::Free;
    }
    SegmentRead::Holds(scanned)
}

struct Scan<'a> {
    bytes: &'a [u8],
    number: u64,
    seed: u32,
    sinks: usize,
}

impl Scan<'_> {
    fn chunks(&self, first: usize, scanned: &mut Scanned) {
        let mut at = first;
        while at < self.bytes.len() {
            if let Some(header) = self.header_at(at) {
                let chunk = self.chunk(at, header);
                at += header.region_len as usize;
                scanned.chunks.push(chunk);
                continue;
            }
            let next = (at + PAGE..self.bytes.len()).step_by(PAGE).find(|at| self.header_at(*at).is_some());
            let end = next.unwrap_or(self.bytes.len());
            let number = scanned.chunks.last().map_or(1, |chunk| chunk.number + 1);
            // Behind the last chunk nothing was leased, unless there are frames.
            if let Some(chunk) = self.headless_chunk(at, end, number) {
                scanned.chunks.push(chunk);
            } else if next.is_some() && scanned.sinks.is_some() {
                scanned.damage.push(Damage {
                    count: 1,
                    ..Damage::without_loss("a chunk is damaged beyond recognition")
                });
            }
            at = end;
        }
    }

    fn header_at(&self, at: usize) -> Option<ChunkHeader> {
        let position = Position { segment: self.number, at: at as u64 };
        ChunkHeader::decode(self.bytes.get(at..)?, position)
    }

    fn chunk(&self, at: usize, header: ChunkHeader) -> ScannedChunk {
        let position = Position { segment: self.number, at: at as u64 };
        let header_len = chunk_header_len(usize::from(header.sinks));
        let word =
            |offset: usize| self.bytes.get(at + offset..at + offset + 8).map_or(0, |word| u64_at(word, 0));
        let most = header.region_len - header_len as u32;
        let committed =
            read_committed(position.committed_salt(), word(COMMITTED_AT)).filter(|(len, _)| *len <= most);
        let mark = |mark: Mark, slot| position.read_mark(mark, slot, word(mark.at(slot)));
        let (len, events) = committed.map_or((most, None), |(len, events)| (len, Some(events)));
        let marks = (0..usize::from(header.sinks)).map(|slot| {
            let done = mark(Mark::Done, slot).unwrap_or(0);
            (mark(Mark::Offered, slot).unwrap_or(len), done)
        });
        let mut chunk = ScannedChunk {
            number: header.number,
            at: at as u64,
            region_len: header.region_len,
            header_len,
            len,
            marks: marks.collect(),
            events: Vec::new(),
            skips: Vec::new(),
            damage: Vec::new(),
        };
        self.frames(&mut chunk, events);
        chunk
    }

    /// A chunk whose header is damaged: what of its frames validates.
    fn headless_chunk(&self, at: usize, end: usize, number: u64) -> Option<ScannedChunk> {
        let header_len = chunk_header_len(self.sinks);
        let region_len = u32::try_from(end - at).ok()?;
        let mut chunk = ScannedChunk {
            number,
            at: at as u64,
            region_len,
            header_len,
            len: region_len.checked_sub(header_len as u32)?,
            marks: vec![(u32::MAX, 0); self.sinks],
            events: Vec::new(),
            skips: Vec::new(),
            damage: Vec::new(),
        };
        self.frames(&mut chunk, None);
        let events = u16::try_from(chunk.events.len()).ok().filter(|events| *events > 0)?;
        let position = Position { segment: self.number, at: at as u64 };
        let header = ChunkHeader { number, region_len, sinks: self.sinks as u16 };
        let mut repaired = header.encode(position);
        put_u64(&mut repaired, COMMITTED_AT, committed_word(position.committed_salt(), chunk.len, events));
        let mut damage = Damage::without_loss("the header of a chunk is damaged");
        damage.repairs.push((at as u64, repaired));
        chunk.damage.push(damage);
        Some(chunk)
    }

    /// Finds the frames of a chunk. So many there should be; where that is not known, what is behind the last one that
    /// validates counts as never written.
    fn frames(&self, chunk: &mut ScannedChunk, events: Option<u16>) {
        let base = chunk.at as usize + chunk.header_len;
        let end = (base + chunk.len as usize).min(self.bytes.len());
        let frames = self.bytes.get(base..end).unwrap_or_default();
        let (mut offset, mut index, mut before) = (0, 0_u32, None);
        while offset < chunk.len as usize {
            let valid = |at: &usize| {
                let header = FrameHeader::decode(frames.get(*at..)?, self.seed)?;
                (u32::from(header.index) >= index).then_some((*at, header))
            };
            let found = (offset..frames.len()).step_by(8).find_map(|at| valid(&at));
            let (at, next_index) = match found {
                Some((at, header)) => (at, u32::from(header.index)),
                None if events.is_none() => {
                    chunk.len = offset as u32;
                    return;
                }
                None => (chunk.len as usize, events.map_or(index, u32::from)),
            };
            if at > offset {
                let next = found.map(|(_, header)| header.sequence);
                let missing = next_index.saturating_sub(index).max(1);
                let damage = self.gap(base + offset, at - offset, index as u16, missing, before, next);
                chunk.damage.push(damage);
                chunk.skips.push((offset as u32, at as u32));
            }
            let Some((_, header)) = found else { return };
            let to = at as u32 + header.len;
            if header.kind == KIND_HOLE {
                chunk.skips.push((at as u32, to));
            } else {
                let FrameHeader { sequence, timestamp, .. } = header;
                chunk.events.push(ScannedEvent { from: at as u32, to, sequence, timestamp });
                before = Some(sequence);
            }
            index = next_index + u32::from(header.events.max(1));
            offset = to as usize;
        }
    }

    fn gap(
        &self,
        at: usize,
        len: usize,
        index: u16,
        missing: u32,
        before: Option<u64>,
        next: Option<u64>,
    ) -> Damage {
        let count = u64::from(missing);
        let hole = hole_frame(len as u32, index, missing.min(u32::from(u16::MAX)) as u16, self.seed);
        let repairs = if len < FRAME_HEADER_LEN { Vec::new() } else { vec![(at as u64, hole.to_vec())] };
        Damage {
            first_sequence: before.map(|before| before + 1).or(next.map(|next| next.saturating_sub(count))),
            last_sequence: next
                .map(|next| next.saturating_sub(1))
                .or(before.map(|before| before.saturating_add(count))),
            count,
            reason: format!("{len} bytes at offset {at} do not validate"),
            repairs,
        }
    }
}

impl Damage {
    fn without_loss(reason: &str) -> Self {
        Self {
            first_sequence: None,
            last_sequence: None,
            count: 0,
            reason: reason.into(),
            repairs: Vec::new(),
        }
    }
}
