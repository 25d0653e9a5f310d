//! What must hold for any bytes: what is found is in bounds, in order and checked.

use std::ops::Range;

use crate::spool::format::{FrameHeader, seed};
use crate::spool::scan::{Damage, Scanned, SegmentRead, scan_segment};

/// The number in the name of the file.
pub const NUMBER: u64 = 1;

/// A frame that was found: where it begins in the file, and its bytes without padding.
pub type Frame<'a> = (usize, &'a [u8]);

/// The bytes of a segment's file.
pub fn check(bytes: &[u8]) {
    let SegmentRead::Holds(scanned) = scan_segment(bytes, NUMBER) else { return };
    check_bounds(bytes, &scanned);
    let found = frames(bytes, &scanned);
    check_flips(bytes, &found);
}

/// All frames that were found.
pub fn frames<'a>(bytes: &'a [u8], scanned: &Scanned) -> Vec<Frame<'a>> {
    let chunks = scanned.chunks.iter();
    let places = chunks.flat_map(|chunk| {
        let base = chunk.at as usize + chunk.header_len;
        chunk.events.iter().map(move |event| base + event.from as usize)
    });
    places.map(|at| (at, frame(bytes, at, scanned.number).expect("what is found validates"))).collect()
}

/// The frame that validates here, without its padding.
fn frame(bytes: &[u8], at: usize, number: u64) -> Option<&[u8]> {
    let frame = bytes.get(at..)?;
    FrameHeader::decode(frame, seed(number))?;
    let total = frame.get(4..)?.first_chunk().map(|total| u32::from_le_bytes(*total))?;
    frame.get(..total as usize)
}

fn check_bounds(bytes: &[u8], scanned: &Scanned) {
    let mut behind = 0;
    for chunk in &scanned.chunks {
        assert!(chunk.at >= behind, "chunks overlap");
        behind = chunk.at + u64::from(chunk.region_len);
        assert!(
            chunk.header_len as u64 + u64::from(chunk.len)
                <= u64::from(chunk.region_len).max(chunk.header_len as u64)
        );
        assert!(chunk.marks.iter().all(|(offered, done)| *offered <= chunk.len && *done <= chunk.len));
        let base = chunk.at as usize + chunk.header_len;
        let (mut end, mut index) = (0, None);
        for event in &chunk.events {
            assert!(end <= event.from && event.from < event.to && event.to <= chunk.len, "out of order");
            assert!(base + event.to as usize <= bytes.len(), "outside the file");
            let header = FrameHeader::decode(&bytes[base + event.from as usize..], seed(scanned.number));
            let header = header.expect("what is found validates");
            assert_eq!((header.len, header.timestamp), (event.to - event.from, event.timestamp));
            assert!(index.is_none_or(|before| before < header.index), "numbers do not increase");
            (end, index) = (event.to, Some(header.index));
        }
        let mut end = 0;
        for (from, to) in &chunk.skips {
            assert!(end <= *from && from < to && *to <= chunk.len, "skips out of order");
            assert!(
                !chunk.events.iter().any(|event| event.from < *to && event.to > *from),
                "an event is skipped"
            );
            end = *to;
        }
    }
}

/// One byte changed anywhere never makes up a frame, nor is the frame that it is in found any more.
fn check_flips(bytes: &[u8], found: &[Frame<'_>]) {
    if bytes.is_empty() {
        return;
    }
    let chance = crc32c::crc32c(bytes) as usize;
    let mut places = vec![chance % bytes.len()];
    if !found.is_empty() {
        let (at, frame) = found[chance % found.len()];
        places.push(at + chance / 7 % frame.len());
    }
    for place in places {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= (chance >> 24) as u8 | 1;
        let SegmentRead::Holds(scanned) = scan_segment(&flipped, NUMBER) else { continue };
        for (at, found) in frames(&flipped, &scanned) {
            assert_eq!(Some(found), frame(bytes, at, scanned.number), "a frame is made up at {at}");
            assert!(!(at..at + found.len()).contains(&place), "a frame is found although it was changed");
        }
    }
}

/// Once everything is repaired, nothing is damaged, and the same is found. Holds for what this program has written and
/// something else has damaged; where checksums are forged, there may be no room for a repair.
pub fn check_repairs(bytes: &[u8], scanned: &Scanned, found: &[Frame<'_>]) {
    let mut repaired = repair(bytes, scanned);
    // A header that was cut within its last zeros is whole once the file is, and only then shows what is behind it.
    if let SegmentRead::Holds(again) = scan_segment(&repaired, NUMBER) {
        assert!(!all_damage(&again).any(|damage| damage.is_loss), "lost once more, after all repairs");
        repaired = repair(&repaired, &again);
    }
    match scan_segment(&repaired, NUMBER) {
        SegmentRead::Holds(again) => {
            let left: Vec<_> = all_damage(&again).map(|damage| &damage.reason).collect();
            assert!(left.is_empty(), "damaged after all repairs: {left:?}");
            assert!(frames(&repaired, &again) == *found, "other frames after all repairs");
        }
        SegmentRead::Free => assert!(found.is_empty(), "nothing is left after all repairs"),
        SegmentRead::Newer(version) => panic!("repaired to version {version}"),
    }
}

/// Everything that is damaged.
pub fn all_damage(scanned: &Scanned) -> impl Iterator<Item = &Damage> {
    scanned.damage.iter().chain(scanned.chunks.iter().flat_map(|chunk| &chunk.damage))
}

fn repair(bytes: &[u8], scanned: &Scanned) -> Vec<u8> {
    let mut repaired = bytes.to_vec();
    for (at, patch) in all_damage(scanned).flat_map(|damage| &damage.repairs) {
        let range: Range<usize> = *at as usize..*at as usize + patch.len();
        if range.end > repaired.len() {
            repaired.resize(range.end, 0);
        }
        repaired[range].copy_from_slice(patch);
    }
    repaired
}
