//! What stands where in a segment: constants, headers, checks. Pure; the layout is described in the module above.

use std::ops::Range;

use super::crc;

/// Unit of regions and headers.
pub const PAGE: usize = 4096;
/// Version of the format that this code writes.
pub const VERSION: u32 = 1;
/// Most sinks that a segment keeps marks for.
pub const MOST_SINKS: usize = 31;
/// Most bytes that a segment's header takes.
pub const MOST_HEADER_BYTES: usize = 16 << 10;
/// Length of a frame's header.
pub const FRAME_HEADER_LEN: usize = 48;
/// Most frames in one chunk: their number is a u16.
pub const MOST_FRAMES: u32 = u16::MAX as u32;

const MAGIC: &[u8; 8] = b"AUDSPOOL";
const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"CHNK");
const FIXED_LEN: usize = 48;
/// Where the state stands in a segment's header.
pub const STATE_AT: usize = 32;
/// The segment holds chunks.
pub const LIVE: u64 = u64::from_le_bytes(*b"LIVELIVE");
/// The segment holds nothing that counts.
pub const FREE: u64 = u64::from_le_bytes(*b"freefree");

/// Where `committed` stands in a chunk's header.
pub const COMMITTED_AT: usize = 32;
const MARKS_AT: usize = 64;

/// Kinds of frames.
pub const KIND_HOLE: u8 = 3;

/// Rounds up to whole pages.
pub const fn round_up(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE)
}

/// The checksum's start for everything in the segment of this number: what another use of its bytes left never
/// validates.
pub fn seed(segment: u64) -> u32 {
    crc32c::crc32c(&segment.to_le_bytes())
}

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Bytes of the header; the first chunk begins there.
    pub len: usize,
    /// Bytes of the whole segment.
    pub segment_bytes: u64,
    /// Its number, increasing in its folder.
    pub number: u64,
    /// Names of the sinks, in the order of the marks.
    pub sinks: Vec<String>,
}

/// How a segment's header reads.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderRead {
    /// It is whole, and the segment holds chunks.
    Live(SegmentHeader),
    /// The segment holds nothing.
    Free,
    /// It was written by a later version, this one.
    Newer(u32),
    /// It does not validate.
    Damaged,
}

impl SegmentHeader {
    /// The header of a segment for these sinks.
    pub fn new(segment_bytes: u64, number: u64, sinks: Vec<String>) -> Self {
        let table = table_of(&sinks).len();
        Self { len: round_up(FIXED_LEN + table), segment_bytes, number, sinks }
    }

    /// Its bytes.
    pub fn encode(&self, state: u64) -> Vec<u8> {
        let table = table_of(&self.sinks);
        let mut bytes = vec![0; self.len];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.len as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[STATE_AT..40].copy_from_slice(&state.to_le_bytes());
        bytes[44..48].copy_from_slice(&(table.len() as u32).to_le_bytes());
        bytes[48..48 + table.len()].copy_from_slice(&table);
        let crc = header_crc(&bytes, table.len());
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header from the beginning of a segment.
    pub fn decode(bytes: &[u8]) -> HeaderRead {
        if bytes.len() < FIXED_LEN || &bytes[..8] != MAGIC {
            return HeaderRead::Damaged;
        }
        if u64_at(bytes, STATE_AT) == FREE {
            return HeaderRead::Free;
        }
        let (len, table_len) = (u32_at(bytes, 12) as usize, u32_at(bytes, 44) as usize);
        if table_len > MOST_HEADER_BYTES || bytes.len() < FIXED_LEN + table_len {
            return HeaderRead::Damaged;
        }
        if header_crc(bytes, table_len) != u32_at(bytes, 40) {
            return HeaderRead::Damaged;
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return HeaderRead::Newer(version);
        }
        match serde_json::from_slice::<Vec<String>>(&bytes[48..48 + table_len]) {
            Ok(sinks)
                if (round_up(FIXED_LEN + table_len)..=MOST_HEADER_BYTES).contains(&len)
                    && len.is_multiple_of(PAGE)
                    && sinks.len() <= MOST_SINKS =>
            {
                HeaderRead::Live(Self {
                    len,
                    segment_bytes: u64_at(bytes, 16),
                    number: u64_at(bytes, 24),
                    sinks,
                })
            }
            _ => HeaderRead::Damaged,
        }
    }
}

fn table_of(sinks: &[String]) -> Vec<u8> {
    serde_json::Value::from(sinks).to_string().into_bytes()
}

fn header_crc(bytes: &[u8], table_len: usize) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..STATE_AT]), &bytes[44..FIXED_LEN + table_len])
}

/// Length of a chunk's header, with marks for so many sinks.
pub const fn chunk_header_len(sinks: usize) -> usize {
    (MARKS_AT + 16 * sinks).next_multiple_of(64)
}

/// A region of a segment, and what its checks are mixed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Where in the segment the region begins.
    pub at: u64,
}

/// Which of the two marks of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The sink may have got what is before it.
    Offered = 0,
    /// The sink has settled what is before it.
    Done = 1,
}

impl Mark {
    /// Where the mark of this slot of the table stands in a chunk's header.
    pub const fn at(self, slot: usize) -> usize {
        MARKS_AT + slot * 16 + self as usize * 8
    }
}

impl Position {
    fn salt(self, word_at: usize) -> u64 {
        let salt = self.segment.wrapping_mul(MIX).rotate_left(29) ^ self.at ^ (word_at as u64) << 48;
        salt.wrapping_mul(MIX)
    }

    /// What the check of `committed` is mixed with.
    pub fn committed_salt(self) -> u64 {
        self.salt(COMMITTED_AT)
    }

    /// The word of a mark.
    pub fn mark_word(self, mark: Mark, slot: usize, value: u32) -> u64 {
        u64::from(value) | self.mark_check(mark, slot, value) << 32
    }

    /// The value of a mark, unless its check fails.
    pub fn read_mark(self, mark: Mark, slot: usize, word: u64) -> Option<u32> {
        let value = word as u32;
        (word >> 32 == self.mark_check(mark, slot, value)).then_some(value)
    }

    fn mark_check(self, mark: Mark, slot: usize, value: u32) -> u64 {
        mix(u64::from(value), self.salt(mark.at(slot))) >> 32
    }
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A product of which each bit of `value` changes the high bits.
#[inline]
fn mix(value: u64, salt: u64) -> u64 {
    (value ^ salt >> 16).wrapping_mul(MIX)
}

/// The word that says how much of a chunk counts.
#[inline]
pub fn committed_word(salt: u64, len: u32, events: u16) -> u64 {
    let value = u64::from(len) | u64::from(events) << 32;
    value | mix(value, salt) >> 48 << 48
}

/// Length and number of the frames that count, unless the check fails.
pub fn read_committed(salt: u64, word: u64) -> Option<(u32, u16)> {
    let (len, events) = (word as u32, (word >> 32) as u16);
    (committed_word(salt, len, events) == word).then_some((len, events))
}

/// What a chunk's header says for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Its number, increasing in its folder; a copy has the number of the original.
    pub number: u64,
    /// Bytes of the region, with this header.
    pub region_len: u32,
    /// Sinks it has marks for.
    pub sinks: u16,
}

impl ChunkHeader {
    /// Its bytes, with nothing committed and no marks set.
    pub fn encode(&self, position: Position) -> Vec<u8> {
        let mut bytes = vec![0; chunk_header_len(usize::from(self.sinks))];
        bytes[..4].copy_from_slice(&CHUNK_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.region_len.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.sinks.to_le_bytes());
        bytes[24..32].copy_from_slice(&position.at.to_le_bytes());
        let crc = crc32c::crc32c_append(seed(position.segment), &bytes[8..32]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        put_u64(&mut bytes, COMMITTED_AT, committed_word(position.committed_salt(), 0, 0));
        for slot in 0..usize::from(self.sinks) {
            for mark in [Mark::Offered, Mark::Done] {
                put_u64(&mut bytes, mark.at(slot), position.mark_word(mark, slot, 0));
            }
        }
        bytes
    }

    /// Reads the header of a chunk at this position, unless it does not validate.
    pub fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        if bytes.len() < COMMITTED_AT || u32_at(bytes, 0) != CHUNK_MAGIC {
            return None;
        }
        let crc = crc32c::crc32c_append(seed(position.segment), &bytes[8..32]);
        let header = Self {
            number: u64_at(bytes, 8),
            region_len: u32_at(bytes, 16),
            sinks: u16::from_le_bytes([bytes[20], bytes[21]]),
        };
        let makes_sense = crc == u32_at(bytes, 4)
            && u64_at(bytes, 24) == position.at
            && usize::from(header.sinks) <= MOST_SINKS
            && header.region_len as usize >= chunk_header_len(usize::from(header.sinks))
            && (header.region_len as usize).is_multiple_of(PAGE);
        makes_sense.then_some(header)
    }
}

/// What the spool reads of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the frame with its padding.
    pub len: u32,
    /// Its sequence number.
    pub sequence: u64,
    /// When it was recorded, in microseconds.
    pub timestamp: i64,
    /// What it is.
    pub kind: u8,
    /// Its number within the chunk.
    pub index: u16,
    /// How many numbers it takes: more than one for a hole.
    pub events: u16,
}

impl FrameHeader {
    /// Bytes of the first of these frames with its padding, which nobody has checked.
    pub fn padded_len(frames: &[u8]) -> Option<usize> {
        let header: &[u8; FRAME_HEADER_LEN] = frames.first_chunk()?;
        Some((u32_at(header, 4) as usize).next_multiple_of(8))
    }

    /// Reads the frame at the beginning of these bytes, unless it does not validate with this seed.
    pub fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        Self::decode_with(bytes, |covered| crc::append(seed, &bytes[covered]))
    }

    /// As [`FrameHeader::decode`], with the checksum of the part of the bytes that `checksum` is asked for.
    pub fn decode_with(bytes: &[u8], checksum: impl FnOnce(Range<usize>) -> u32) -> Option<Self> {
        let header: &[u8; FRAME_HEADER_LEN] = bytes.first_chunk()?;
        let total = u32_at(header, 4) as usize;
        let kind = header[45];
        if total < FRAME_HEADER_LEN
            || total.next_multiple_of(8) > bytes.len()
            || !(1..=KIND_HOLE).contains(&kind)
        {
            return None;
        }
        let covered = if kind == KIND_HOLE { FRAME_HEADER_LEN } else { total };
        if checksum(4..covered) != u32_at(header, 0) {
            return None;
        }
        Some(Self {
            len: total.next_multiple_of(8) as u32,
            sequence: u64_at(header, 8),
            timestamp: u64_at(header, 16) as i64,
            kind,
            index: u16::from_le_bytes([header[46], header[47]]),
            events: if kind == KIND_HOLE { u32_at(header, 40) as u16 } else { 1 },
        })
    }
}

/// Gives a frame its number and checksum.
#[inline]
pub fn seal_frame(frame: &mut [u8], index: u16, seed: u32) {
    frame[46..48].copy_from_slice(&index.to_le_bytes());
    let total = u32_at(frame, 4) as usize;
    let crc = crc::append(seed, &frame[4..total]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The frame that stands for so many lost ones, in so many bytes.
pub fn hole_frame(len: u32, index: u16, events: u16, seed: u32) -> [u8; FRAME_HEADER_LEN] {
    let mut frame = [0; FRAME_HEADER_LEN];
    frame[4..8].copy_from_slice(&len.to_le_bytes());
    frame[40..44].copy_from_slice(&u32::from(events).to_le_bytes());
    frame[45] = KIND_HOLE;
    frame[46..48].copy_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// The name of a segment's file.
pub fn segment_name(number: u64) -> String {
    format!("{number:010}.segment")
}

/// The number in the name of a segment's file.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    (digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A number at an offset; the caller has checked the length.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Puts a number at an offset.
pub fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}
