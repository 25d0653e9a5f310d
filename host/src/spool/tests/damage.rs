//! Segments that are damaged: what is whole is delivered, what is not is counted, and nothing is made up.

use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::io::Errno;

use super::stage::*;
use crate::spool::format::{COMMITTED_AT, Mark, Position, chunk_header_len, committed_word, u64_at};
use crate::spool::memory_disk::Operation;

const CHUNKS: usize = 4;
const FRAME: usize = 152;
const HEADER: usize = chunk_header_len(1);
/// Frames in a full chunk.
const FRAMES: usize = (PAGE - HEADER) / FRAME;
const ALL: u64 = (CHUNKS * FRAMES) as u64;

/// What a killed process left: one segment with four full chunks, frames 1 to [`ALL`] in order. Its path, and its bytes.
fn left_behind() -> (PathBuf, Vec<u8>) {
    static LEFT: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    LEFT.get_or_init(|| {
        let stage = Stage::new(&["a"]);
        let opened = stage.open();
        fill(&opened.spool, 1, ALL);
        let path = stage.disk.segments()[0].clone();
        let bytes = stage.disk.bytes(&path);
        assert_eq!(bytes.len(), SEGMENT);
        (path, bytes)
    })
    .clone()
}

/// A stage on which a process left these bytes for its segment.
fn stage_with(bytes: &[u8]) -> Stage {
    let (stage, (path, _)) = (Stage::new(&["a"]), left_behind());
    stage.disk.put_folder(path.parent().unwrap());
    stage.disk.put(&path, bytes);
    stage
}

fn open_with(bytes: &[u8]) -> (Stage, Opened) {
    let stage = stage_with(bytes);
    let opened = stage.open();
    (stage, opened)
}

fn chunk_at(chunk: usize) -> usize {
    (1 + chunk) * PAGE
}

/// Where the frame of this sequence number begins.
fn frame_at(sequence: u64) -> usize {
    let index = sequence as usize - 1;
    chunk_at(index / FRAMES) + HEADER + index % FRAMES * FRAME
}

fn all_but(missing: std::ops::Range<u64>) -> Vec<u64> {
    (1..=ALL).filter(|sequence| !missing.contains(sequence)).collect()
}

fn copies(stage: &Stage) -> Vec<PathBuf> {
    let mut files = stage.disk.files();
    files.retain(|path| path.to_str().unwrap().contains(".damaged-"));
    files
}

#[test]
fn the_layout_is_what_these_tests_take_it_for() {
    let (_, bytes) = left_behind();
    for sequence in 1..=ALL {
        assert_eq!(u64_at(&bytes, frame_at(sequence) + 8), sequence);
    }
}

#[test]
fn a_torn_tail_is_no_damage() {
    let (_, mut bytes) = left_behind();
    let at = chunk_at(3);
    let salt = Position { segment: 1, at: at as u64 }.committed_salt();
    let word = committed_word(salt, (2 * FRAME) as u32, 2);
    bytes[at + COMMITTED_AT..][..8].copy_from_slice(&word.to_le_bytes());
    bytes[at + HEADER + 2 * FRAME + 60] ^= 1;
    let (stage, opened) = open_with(&bytes);
    assert_eq!(owed(&opened.backlog, 0), (1..=(3 * FRAMES as u64 + 2)).collect::<Vec<_>>());
    assert!(opened.backlog.gaps.is_empty() && copies(&stage).is_empty());
}

#[test]
fn a_damaged_frame_in_any_position_costs_itself_is_named_and_once_healed_forgotten() {
    for sequence in 1..=ALL {
        let (_, mut bytes) = left_behind();
        // Another byte each time, in the header or in the text.
        bytes[frame_at(sequence) + sequence as usize % 148] ^= 0x40;
        let (stage, opened) = open_with(&bytes);
        let rest = all_but(sequence..sequence + 1);
        assert_eq!(owed(&opened.backlog, 0), rest);
        let Ok([gap]) = <[_; 1]>::try_from(opened.backlog.gaps) else { panic!("frame {sequence}: one gap") };
        assert_eq!((gap.count, gap.first_sequence, gap.last_sequence), (1, Some(sequence), Some(sequence)));
        assert!(gap.reason.contains("0000000001.segment"), "{}", gap.reason);
        assert_eq!(copies(&stage).iter().map(|path| stage.disk.bytes(path)).collect::<Vec<_>>(), [bytes]);

        let again = stage.killed().open();
        assert_eq!(lost(&again.backlog), 1, "not healed: reported again");
        gap.heal().unwrap();
        let healed = stage.killed();
        let next = healed.open();
        assert_eq!((owed(&next.backlog, 0), next.backlog.gaps.len()), (rest, 0));
        assert_eq!(copies(&healed).len(), 1);
        settle(&next.backlog);
        next.spool.close();
        assert!(healed.disk.segments().is_empty());
    }
}

#[test]
fn what_cannot_be_copied_aside_is_not_repaired_and_found_again() {
    let (path, mut bytes) = left_behind();
    bytes[frame_at(5) + 100] ^= 1;
    let stage = stage_with(&bytes);
    stage.disk.fail(Operation::Write, Errno::NOSPC);
    let opened = stage.open();
    assert_eq!((owed(&opened.backlog, 0), lost(&opened.backlog)), (all_but(5..6), 1));
    stage.disk.heal();
    let Ok([gap]) = <[_; 1]>::try_from(opened.backlog.gaps) else { panic!("one gap") };
    let error = gap.heal().unwrap_err();
    assert!(error.to_string().contains("no copy"), "{error}");
    assert_eq!(stage.disk.bytes(&path), bytes);

    let again = stage.killed();
    assert_eq!(lost(&again.open().backlog), 1);
    assert_eq!(copies(&again).len(), 1);
}

#[test]
fn frames_that_are_damaged_beside_each_other_are_one_gap() {
    let (_, mut bytes) = left_behind();
    for sequence in 5..8 {
        // The length too, so that the next frame has to be searched for.
        bytes[frame_at(sequence)..][..100].fill(0xa5);
    }
    let (_, opened) = open_with(&bytes);
    assert_eq!(owed(&opened.backlog, 0), all_but(5..8));
    let gaps: Vec<_> =
        opened.backlog.gaps.iter().map(|gap| (gap.count, gap.first_sequence, gap.last_sequence)).collect();
    assert_eq!(gaps, [(3, Some(5), Some(7))]);
}

#[test]
fn what_looks_like_a_frame_within_a_damaged_one_is_not_taken_for_an_event() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut forged = frame_of(99, 20);
    crate::spool::format::seal_frame(&mut forged, 1, crate::spool::format::seed(1));
    let mut outer = frame_of(1, 400);
    outer[64..64 + forged.len()].copy_from_slice(&forged);
    let mut writer = opened.spool.lease(outer.len()).unwrap();
    writer.append(&outer);
    append(&mut writer, 2..4);

    let left = stage.killed();
    let path = left.disk.segments()[0].clone();
    let mut bytes = left.disk.bytes(&path);
    bytes[chunk_at(0) + HEADER + 300] ^= 1;
    left.disk.put(&path, &bytes);
    let next = left.open();
    assert_eq!((owed(&next.backlog, 0), lost(&next.backlog)), (vec![2, 3], 1));
}

#[test]
fn damage_that_every_sink_had_before_is_no_loss() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, ALL);
    chunks[0].set_done(0, 3 * FRAME as u32);
    let left = stage.killed();
    let path = left.disk.segments()[0].clone();
    let mut bytes = left.disk.bytes(&path);
    bytes[frame_at(2) + 50] ^= 1;
    left.disk.put(&path, &bytes);
    let next = left.open();
    assert_eq!(owed(&next.backlog, 0), (4..=ALL).collect::<Vec<_>>());
    assert!(next.backlog.gaps.is_empty());
}

#[test]
fn a_damaged_last_frame_does_not_keep_its_chunk_for_ever() {
    let (_, mut bytes) = left_behind();
    bytes[frame_at(ALL) + 60] ^= 1;
    let (stage, opened) = open_with(&bytes);
    settle(&opened.backlog);
    for gap in opened.backlog.gaps {
        gap.heal().unwrap();
    }
    opened.spool.close();
    assert!(stage.disk.segments().is_empty());
}

#[test]
fn any_flipped_bit_of_a_chunks_header_costs_nothing() {
    for chunk in [0, CHUNKS - 1] {
        // All bits of what counts, and some of the rest.
        for bit in (0..COMMITTED_AT * 8 + 64).chain((COMMITTED_AT * 8 + 64..HEADER * 8).step_by(9)) {
            let (_, mut bytes) = left_behind();
            bytes[chunk_at(chunk) + bit / 8] ^= 1 << (bit % 8);
            let (stage, opened) = open_with(&bytes);
            assert_eq!(owed(&opened.backlog, 0), all_but(0..0), "chunk {chunk}, bit {bit}");
            assert!(opened.backlog.gaps.is_empty());
            let next = stage.killed();
            let copies_before = copies(&next).len();
            assert_eq!(owed(&next.open().backlog, 0), all_but(0..0), "repaired: chunk {chunk}, bit {bit}");
            assert_eq!(copies(&next).len(), copies_before, "damaged no more: chunk {chunk}, bit {bit}");
        }
    }
}

#[test]
fn any_flipped_bit_of_a_mark_costs_duplicates_at_most() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, ALL);
    chunks[0].set_offered(0, 9 * FRAME as u32);
    chunks[0].set_done(0, 5 * FRAME as u32);
    let left = stage.killed();
    let path = left.disk.segments()[0].clone();
    let whole = left.disk.bytes(&path);
    for bit in 0..128 {
        let mut bytes = whole.clone();
        bytes[chunk_at(0) + Mark::Offered.at(0) + bit / 8] ^= 1 << (bit % 8);
        left.disk.put(&path, &bytes);
        let found = owed(&left.killed().open().backlog, 0);
        let first = if bit < 64 { 6 } else { 1 };
        assert_eq!(found, (first..=ALL).collect::<Vec<_>>(), "bit {bit}");
    }
}

#[test]
fn any_flipped_bit_of_a_segments_header_costs_nothing() {
    for bit in (0..60 * 8).step_by(3) {
        let (_, mut bytes) = left_behind();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (stage, opened) = open_with(&bytes);
        assert_eq!(owed(&opened.backlog, 0), all_but(0..0), "bit {bit}");
        assert!(opened.backlog.gaps.is_empty());
        let next = stage.killed();
        let copies_before = copies(&next).len();
        assert_eq!(owed(&next.open().backlog, 0), all_but(0..0), "repaired: bit {bit}");
        assert_eq!(copies(&next).len(), copies_before, "damaged no more: bit {bit}");
    }
}

#[test]
fn a_chunk_of_which_nothing_is_left_is_a_gap_when_something_is_behind_it() {
    let (_, mut bytes) = left_behind();
    bytes[chunk_at(1)..][..PAGE].fill(0xff);
    let (_, opened) = open_with(&bytes);
    let lost_frames = FRAMES as u64 + 1..2 * FRAMES as u64 + 1;
    assert_eq!(owed(&opened.backlog, 0), all_but(lost_frames));
    assert_eq!(lost(&opened.backlog), 1, "at least one");
}

#[test]
fn chunks_whose_headers_are_damaged_beside_each_other_are_told_apart() {
    let (_, mut bytes) = left_behind();
    for chunk in 0..CHUNKS {
        bytes[chunk_at(chunk)..][..HEADER].fill(0);
    }
    let (_, opened) = open_with(&bytes);
    assert_eq!(owed(&opened.backlog, 0), all_but(0..0));
    assert!(opened.backlog.gaps.is_empty());
}

#[test]
fn a_damaged_length_that_leads_to_a_later_frame_costs_one_event() {
    let (_, mut bytes) = left_behind();
    bytes[frame_at(3) + 4..][..4].copy_from_slice(&(4 * FRAME as u32).to_le_bytes());
    let (_, opened) = open_with(&bytes);
    assert_eq!((owed(&opened.backlog, 0), lost(&opened.backlog)), (all_but(3..4), 1));
}

#[test]
fn frames_whose_chunk_has_lost_its_beginning_are_not_taken_for_those_of_the_chunk_before() {
    let frames = FRAMES as u64;
    // What of the first chunk says how much of it counts is there, and is not.
    for header in [0..COMMITTED_AT, 0..HEADER] {
        let (_, mut bytes) = left_behind();
        bytes[chunk_at(0)..][header].fill(0);
        bytes[chunk_at(1)..frame_at(frames + 4)].fill(0xff);
        let (stage, opened) = open_with(&bytes);
        assert_eq!(owed(&opened.backlog, 0), all_but(frames + 1..frames + 4));
        assert_eq!(lost(&opened.backlog), 3);
        opened.backlog.gaps.into_iter().for_each(|gap| gap.heal().unwrap());
        let next = stage.killed().open();
        assert_eq!((owed(&next.backlog, 0), lost(&next.backlog)), (all_but(frames + 1..frames + 4), 0));
    }
}

#[test]
fn a_damaged_header_of_a_chunk_that_the_file_is_cut_within_is_repaired() {
    let (_, mut bytes) = left_behind();
    bytes.truncate(frame_at(5) + 20);
    bytes[chunk_at(0)] ^= 1;
    let (stage, opened) = open_with(&bytes);
    assert_eq!(owed(&opened.backlog, 0), [1, 2, 3, 4]);
    opened.backlog.gaps.into_iter().for_each(|gap| gap.heal().unwrap());
    let next = stage.killed();
    let copies_before = copies(&next).len();
    let opened = next.open();
    assert_eq!((owed(&opened.backlog, 0), lost(&opened.backlog)), (vec![1, 2, 3, 4], 0));
    assert_eq!(copies(&next).len(), copies_before, "damaged no more");
}

#[test]
fn a_segment_that_is_all_noise_is_a_gap_and_once_healed_gone() {
    let noise: Vec<u8> = (0..SEGMENT).map(|at| (at * 7 % 251) as u8).collect();
    let (stage, opened) = open_with(&noise);
    assert!(opened.backlog.parts.is_empty());
    let Ok([gap]) = <[_; 1]>::try_from(opened.backlog.gaps) else { panic!("one gap") };
    gap.heal().unwrap();
    assert!(stage.killed().open().backlog.gaps.is_empty());
    opened.spool.close();
    assert!(stage.disk.segments().is_empty());
}

#[test]
fn a_segment_of_a_later_version_is_left_alone_with_its_folder() {
    let (path, mut bytes) = left_behind();
    bytes[8] = 2;
    let table = 44..48 + bytes[44] as usize;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..32]), &bytes[table]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    let (stage, opened) = open_with(&bytes);
    assert!(opened.backlog.parts.is_empty() && opened.backlog.gaps.is_empty());
    opened.spool.close();
    assert_eq!(stage.disk.bytes(&path), bytes);
}

#[test]
fn a_file_cut_anywhere_gives_what_is_in_it_and_counts_what_the_chunk_says_is_missing() {
    let (_, whole) = left_behind();
    for len in (0..SEGMENT).step_by(72) {
        let (stage, opened) = open_with(&whole[..len]);
        let is_whole = |sequence: &u64| frame_at(*sequence) + FRAME <= len;
        let expected: Vec<u64> = (1..=ALL).filter(is_whole).collect();
        assert_eq!(owed(&opened.backlog, 0), expected, "cut at {len}");
        if len < PAGE {
            continue;
        }
        // The chunk that is cut says how many it had, if its header is there.
        let counted =
            if len % PAGE >= 64 { FRAMES as u64 - expected.len() as u64 % FRAMES as u64 } else { 0 };
        assert_eq!(lost(&opened.backlog) % FRAMES as u64, counted % FRAMES as u64, "cut at {len}");
        assert!(!opened.backlog.gaps.is_empty(), "cut at {len}");
        opened.backlog.gaps.into_iter().for_each(|gap| gap.heal().unwrap());
        let next = stage.killed().open();
        assert_eq!((owed(&next.backlog, 0), next.backlog.gaps.len()), (expected, 0), "healed, cut at {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bits_lose_only_what_is_counted(flips in vec((0..SEGMENT, 0..8), 1..12)) {
        let (_, mut bytes) = left_behind();
        for (at, bit) in &flips {
            bytes[*at] ^= 1_u8 << bit;
        }
        let (_, opened) = open_with(&bytes);
        let found = owed(&opened.backlog, 0);
        prop_assert!(found.is_sorted_by(|a, b| a < b), "in order, and none twice");
        // Where a chunk does not say how much of it counts, nobody knows about its last frames.
        let knows_its_end = |at: usize| at < PAGE || at % PAGE >= 64;
        if flips.iter().all(|(at, _)| knows_its_end(*at)) {
            prop_assert_eq!(found.len() as u64 + lost(&opened.backlog), ALL);
        }
    }

    #[test]
    fn whatever_is_written_over_a_segment_nothing_is_made_up(
        patches in vec((0..SEGMENT, vec(any::<u8>(), 1..6000)), 1..4),
        len in prop_oneof![Just(SEGMENT), (0..SEGMENT / 8).prop_map(|words| words * 8)],
    ) {
        let (_, mut bytes) = left_behind();
        for (at, patch) in &patches {
            let end = (at + patch.len()).min(SEGMENT);
            bytes[*at..end].copy_from_slice(&patch[..end - at]);
        }
        let (stage, opened) = open_with(&bytes[..len]);
        let found = owed(&opened.backlog, 0);
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        opened.backlog.gaps.into_iter().for_each(|gap| gap.heal().unwrap());
        // What was found once is found again, after all repairs.
        let next = stage.killed().open();
        let gaps: Vec<_> = next.backlog.gaps.iter().map(|gap| &*gap.reason).collect();
        prop_assert_eq!(gaps, [""; 0]);
        prop_assert_eq!(owed(&next.backlog, 0), found);
    }
}
