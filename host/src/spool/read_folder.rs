//! Reading all segments of a process's folder.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::disk::{Access, Disk};
use super::format::segment_number;
use super::scan::{Scanned, SegmentRead, scan_segment};
use super::scan_chunk::ScannedChunk;

/// A segment as it was found.
pub struct ReadSegment {
    /// The name of its file.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// What it holds.
    pub contents: SegmentContents,
    /// Whether `look_at_damaged` said yes, if it was asked.
    pub may_repair: bool,
}

/// What a segment holds.
pub enum SegmentContents {
    /// Nothing.
    Nothing,
    /// This.
    Scanned(Scanned),
    /// What this program cannot read, for this reason.
    Unreadable(String),
}

/// Reads the segments of a folder, one at a time, in the order of their numbers; one that goes away meanwhile is passed
/// over. `look_at_damaged` gets the name and the bytes of each that is damaged, and says whether it may be repaired;
/// `on_read` gets the length of each that was read.
///
/// # Errors
/// When the folder cannot be read.
pub fn read_segments(
    disk: &dyn Disk,
    folder: &Path,
    mut look_at_damaged: impl FnMut(&str, &[u8]) -> bool,
    on_read: &mut dyn FnMut(u64),
) -> io::Result<Vec<ReadSegment>> {
    let mut segments = Vec::new();
    for name in disk.list(folder)? {
        let Some(named) = segment_number(&name) else { continue };
        let mut segment = ReadSegment {
            name,
            number: named,
            bytes: 0,
            contents: SegmentContents::Nothing,
            may_repair: true,
        };
        match read_file(disk, &folder.join(&segment.name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => segment.contents = SegmentContents::Unreadable(format!("cannot be read: {error}")),
            Ok(bytes) => {
                segment.bytes = bytes.len() as u64;
                on_read(segment.bytes);
                segment.contents = SegmentContents::new(scan_segment(&bytes, named));
                if let SegmentContents::Scanned(scanned) = &segment.contents {
                    segment.number = scanned.number;
                    segment.may_repair = !scanned.is_damaged() || look_at_damaged(&segment.name, &bytes);
                }
            }
        }
        segments.push(segment);
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

impl SegmentContents {
    fn new(read: SegmentRead) -> Self {
        match read {
            SegmentRead::Free => Self::Nothing,
            SegmentRead::Holds(scanned) => Self::Scanned(scanned),
            SegmentRead::Newer(version) => Self::Unreadable(format!(
                "has format {version}, which a later version of audit-host wrote: use that one to drain it"
            )),
        }
    }

    /// The chunks that were found.
    pub fn chunks(&self) -> &[ScannedChunk] {
        match self {
            Self::Scanned(scanned) => &scanned.chunks,
            Self::Nothing | Self::Unreadable(_) => &[],
        }
    }
}

/// All bytes of a file.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Which chunks count: one that was moved may be there twice, and the copy may be unfinished.
pub struct Counting(HashMap<u64, (usize, u64)>);

impl Counting {
    /// Of all copies of a chunk the one counts that is whole the furthest; of those the fullest, then the one of which most
    /// is settled, or else the later one.
    ///
    /// What a sync has brought to the disk are all first frames of the one copy that was written then: no other is whole
    /// any further without having them too.
    pub fn among(segments: &[ReadSegment]) -> Self {
        let worth = |chunk: &ScannedChunk| {
            let settled: u64 = chunk.marks.iter().map(|(_, done)| u64::from(*done)).sum();
            (chunk.whole_to(), chunk.events.len(), settled)
        };
        let mut best = HashMap::new();
        for (index, segment) in segments.iter().enumerate() {
            for chunk in segment.contents.chunks() {
                let this = (worth(chunk), (index, chunk.at));
                let best = best.entry(chunk.number).or_insert(this);
                if this.0 >= best.0 {
                    *best = this;
                }
            }
        }
        Self(best.into_iter().map(|(number, (_, place))| (number, place)).collect())
    }

    /// Whether this chunk of the segment at this index counts. One whose number is lost always does.
    pub fn counts(&self, index: usize, chunk: &ScannedChunk) -> bool {
        chunk.number == 0 || self.0.get(&chunk.number) == Some(&(index, chunk.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::scan::{Damage, DamagedFrames};
    use crate::spool::scan_chunk::ScannedEvent;

    /// A segment of this number with one chunk of the number 7, of which so many events are found.
    fn segment(number: u64, at: u64, events: u32) -> ReadSegment {
        settled_segment(number, at, events, 0)
    }

    /// As [`segment`], and up to this offset its events are settled.
    fn settled_segment(number: u64, at: u64, events: u32, done: u32) -> ReadSegment {
        let event =
            |index| ScannedEvent { from: index * 8, to: index * 8 + 8, index: index as u16, timestamp: 0 };
        let chunk = ScannedChunk {
            number: 7,
            at,
            region_len: 4096,
            header_len: 128,
            len: events * 8,
            marks: vec![(0, done)],
            events: (0..events).map(event).collect(),
            skips: Vec::new(),
            damage: Vec::new(),
        };
        let scanned = Scanned { number, sinks: Vec::new(), chunks: vec![chunk], damage: Vec::new() };
        let name = format!("{number:010}.segment");
        ReadSegment {
            name,
            number,
            bytes: 8192,
            contents: SegmentContents::Scanned(scanned),
            may_repair: true,
        }
    }

    fn counting(segments: &[ReadSegment]) -> Vec<bool> {
        let counting = Counting::among(segments);
        let counts =
            |(index, segment): (usize, &ReadSegment)| counting.counts(index, &segment.contents.chunks()[0]);
        segments.iter().enumerate().map(counts).collect()
    }

    #[test]
    fn of_two_equal_copies_of_a_chunk_the_one_in_the_later_segment_counts() {
        assert_eq!(counting(&[segment(1, 4096, 3), segment(2, 4096, 3)]), [false, true]);
        assert_eq!(counting(&[segment(1, 8192, 0), segment(2, 4096, 0)]), [false, true]);
    }

    #[test]
    fn of_two_equal_copies_the_one_that_was_settled_further_counts() {
        assert_eq!(counting(&[settled_segment(1, 4096, 3, 16), segment(2, 4096, 3)]), [true, false]);
        assert_eq!(counting(&[segment(1, 4096, 3), settled_segment(2, 4096, 3, 16)]), [false, true]);
    }

    #[test]
    fn a_copy_that_is_whole_further_counts_whatever_is_behind_a_gap_in_the_other() {
        let torn = |number| {
            let mut torn = segment(number, 4096, 4);
            let SegmentContents::Scanned(scanned) = &mut torn.contents else { unreachable!() };
            let chunk = &mut scanned.chunks[0];
            chunk.events.remove(0);
            let frames = DamagedFrames { from: 0, to: 8, numbers: 0..1 };
            chunk.damage.push(Damage { frames: Some(frames), ..Damage::new(String::new()) });
            torn
        };
        assert_eq!(counting(&[segment(1, 4096, 2), torn(2)]), [true, false]);
        assert_eq!(counting(&[torn(1), segment(2, 4096, 2)]), [false, true]);
    }

    #[test]
    fn a_copy_that_is_unfinished_does_not_count() {
        assert_eq!(counting(&[segment(1, 4096, 3), segment(2, 4096, 2)]), [true, false]);
    }
}
