//! Text that somebody made so that it looks like frames: once it is damaged, each place in it may be the beginning of one.

use super::stage::{PAGE, frame_of};
use crate::spool::checksums::tests::SUMMED;
use crate::spool::format::{
    COMMITTED_AT, ChunkHeader, LIVE, Position, SegmentHeader, chunk_header_len, committed_word, put_u64,
    seal_frame, seed,
};
use crate::spool::scan::{SegmentRead, scan_segment};

const NUMBER: u64 = 1;
const SEGMENT: usize = 1 << 20;
const FRAMES_AT: usize = PAGE + chunk_header_len(1);

/// A segment with one chunk: a text of which each eighth byte begins what looks like a frame of `total` bytes, in the place of a
/// large frame, and a frame behind it.
fn segment(total: u32) -> Vec<u8> {
    let position = Position { segment: NUMBER, at: PAGE as u64 };
    let header = ChunkHeader { number: 1, region_len: (SEGMENT - PAGE) as u32, sinks: 1 };
    let mut bytes = SegmentHeader::new(SEGMENT as u64, NUMBER, vec!["a".into()]).encode(LIVE);
    bytes.extend(header.encode(position));
    let committed = committed_word(position.committed_salt(), (SEGMENT - FRAMES_AT) as u32, 2);
    put_u64(&mut bytes, PAGE + COMMITTED_AT, committed);

    // Where one place has the second byte of its length, another has its kind.
    let [a, kind, b, c] = total.to_le_bytes();
    assert!((1..=2).contains(&kind));
    bytes.extend([b't', b'e', b'x', b't', a, kind, b, c].into_iter().cycle().take(SEGMENT - FRAMES_AT));
    let mut last = frame_of(2, 100);
    seal_frame(&mut last, 1, seed(NUMBER));
    bytes[SEGMENT - last.len()..].copy_from_slice(&last);
    bytes
}

#[test]
fn text_that_looks_like_frames_costs_the_scan_little_and_hides_no_frame() {
    // The longest that are checked byte by byte, and those that would cost the most.
    for total in [0x1f8, (SEGMENT / 2) as u32 | 0x100] {
        let sound = segment(total);
        let headless = [&sound[..PAGE], &[0xff; FRAMES_AT - PAGE], &sound[FRAMES_AT..]].concat();
        for bytes in [sound, headless] {
            let before = SUMMED.get();
            let SegmentRead::Holds(scanned) = scan_segment(&bytes, NUMBER) else {
                panic!("nothing is found")
            };
            let summed = SUMMED.get() - before;
            assert!(summed < 200 * SEGMENT as u64, "checksums of {summed} bytes");
            let events = scanned.chunks.iter().flat_map(|chunk| &chunk.events);
            assert_eq!(events.map(|event| event.timestamp).collect::<Vec<_>>(), [2000]);
        }
    }
}
