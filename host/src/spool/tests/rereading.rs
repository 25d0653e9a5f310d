//! Damage that is found when frames are read again, long after their folder was opened, or after they were written.

use std::io;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use rustix::io::Errno;

use super::stage::*;
use crate::spool::format::chunk_header_len;
use crate::spool::memory_disk::Operation;
use crate::spool::{Age, BacklogPart, Chunk, Gap};

const FRAME: u32 = 152;
/// Frames of the part that is read: the first ones of the chunk are done before.
const DONE: u64 = 2;
const FRAMES: u64 = 20;

/// A part of a chunk that an earlier process left: frames [`DONE`]` + 1` to [`FRAMES`].
struct Left {
    stage: Stage,
    opened: Opened,
    path: PathBuf,
}

fn left() -> Left {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let chunk = &fill(&opened.spool, 1, FRAMES)[0];
    chunk.set_done(0, DONE as u32 * FRAME);
    let path = stage.disk.segments()[0].clone();
    let stage = stage.killed();
    let opened = stage.open();
    Left { stage, opened, path }
}

impl Left {
    fn part(&self) -> &BacklogPart {
        &self.opened.backlog.parts[0]
    }

    /// Changes the segment's bytes; the frames begin where it is told.
    fn damage(&self, change: impl FnOnce(&mut Vec<u8>, usize)) {
        let mut bytes = self.stage.disk.bytes(&self.path);
        change(&mut bytes, PAGE + chunk_header_len(1));
        self.stage.disk.put(&self.path, &bytes);
    }

    /// Flips a bit in each of these frames.
    fn flip(&self, sequences: impl IntoIterator<Item = u64>, byte: usize) {
        self.damage(|bytes, frames| {
            for sequence in sequences {
                bytes[frames + (sequence as usize - 1) * FRAME as usize + byte] ^= 0x40;
            }
        });
    }

    /// What is read: sequence numbers, and 0 for each that a hole stands for.
    fn read(&self) -> io::Result<Vec<u64>> {
        let part = self.part();
        let numbers = part.index..part.index + part.events as u16;
        part.chunk.read_sound(part.from..part.to, numbers, Age::Waited, sequences_or_holes)
    }

    fn gaps(&self) -> Vec<Gap> {
        let part = self.part();
        part.chunk.take_gaps(slice::from_ref(&(part.index..part.index + part.events as u16)))
    }

    fn copies(&self) -> usize {
        let files = self.stage.disk.files();
        files.iter().filter(|path| path.to_str().unwrap().contains(".damaged-")).count()
    }
}

/// The sequence numbers in some frames, and 0 for each that a hole stands for.
fn sequences_or_holes(mut frames: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(len) = frame_len(frames) {
        let (frame, rest) = frames.split_at(len);
        match frame[45] {
            3 => found.extend((0..frame[40]).map(|_| 0)),
            _ => found.extend(sequences(frame)),
        }
        frames = rest;
    }
    assert!(frames.is_empty());
    found
}

fn frame_len(frames: &[u8]) -> Option<usize> {
    let len = frames.get(4..8)?.try_into().ok().map(u32::from_le_bytes)? as usize;
    Some(len.next_multiple_of(8))
}

/// All of the part, with 0 for these.
fn with_holes(lost: &[u64]) -> Vec<u64> {
    (DONE + 1..=FRAMES).map(|sequence| if lost.contains(&sequence) { 0 } else { sequence }).collect()
}

fn told(gaps: &[Gap]) -> Vec<(u64, Option<u64>, Option<u64>)> {
    gaps.iter().map(|gap| (gap.count, gap.first_sequence, gap.last_sequence)).collect()
}

#[test]
fn every_frame_that_validates_keeps_its_place_whichever_others_do_not() {
    // At both ends, also: what is missing there is known from the numbers.
    for lost in [&[3][..], &[20], &[3, 20], &[3, 4, 10, 19, 20], &[7, 8, 9], &[5, 7]] {
        for byte in [0, 5, 46, 100] {
            let left = left();
            left.flip(lost.iter().copied(), byte);
            assert_eq!(left.read().unwrap(), with_holes(lost), "{lost:?}, byte {byte}");
            let gaps = left.gaps();
            assert_eq!(gaps.iter().map(|gap| gap.count).sum::<u64>(), lost.len() as u64, "{lost:?}");
        }
    }
}

#[test]
fn where_nothing_validates_all_is_lost() {
    let all = Vec::from_iter(DONE + 1..=FRAMES);
    let noise = left();
    noise.damage(|bytes, frames| bytes[frames..].fill(0xa5));
    let cut = left();
    cut.damage(|bytes, _| bytes.clear());
    for left in [noise, cut] {
        assert_eq!(left.read().unwrap(), with_holes(&all));
        assert_eq!(told(&left.gaps()), [(18, None, None)]);
        assert_eq!(left.copies(), 1);
    }
}

#[test]
fn a_gap_is_given_once_and_only_for_what_is_lost() {
    let left = left();
    left.flip([5, 6, 7, 9], 100);
    for _ in 0..2 {
        assert_eq!(left.read().unwrap(), with_holes(&[5, 6, 7, 9]));
    }
    assert_eq!(left.copies(), 1);
    let chunk = &left.part().chunk;
    // Numbers begin at 0, and sequences at 1.
    assert!(chunk.take_gaps(&[0..4, 7..8]).is_empty());
    assert_eq!(told(&chunk.take_gaps(&[0..4, 5..7])), [(2, Some(5), Some(7))]);
    assert_eq!(told(&left.gaps()), [(1, Some(9), Some(9))]);
    assert!(left.gaps().is_empty());
}

#[test]
fn nothing_behind_a_gap_is_done_on_the_disk_until_it_is_healed() {
    let left = left();
    left.flip([5], 100);
    left.read().unwrap();
    let Ok([gap]) = <[_; 1]>::try_from(left.gaps()) else { panic!("one gap") };
    settle(&left.opened.backlog);
    let killed = left.stage.killed().open();
    assert_eq!((lost(&killed.backlog), owed(&killed.backlog, 0)), (1, Vec::from_iter(6..=FRAMES)));

    gap.heal().unwrap();
    left.opened.spool.close();
    assert!(left.stage.disk.segments().is_empty());
}

#[test]
fn a_gap_that_is_healed_is_a_hole_to_whoever_reads_it_then() {
    let left = left();
    left.flip([5, 6], 100);
    left.read().unwrap();
    left.gaps().into_iter().for_each(|gap| gap.heal().unwrap());
    assert_eq!(left.read().unwrap(), with_holes(&[5, 6]));
    assert!(left.gaps().is_empty());
    let killed = left.stage.killed().open();
    assert_eq!(
        (lost(&killed.backlog), owed(&killed.backlog, 0)),
        (0, Vec::from_iter([3, 4].into_iter().chain(7..=FRAMES)))
    );
}

#[test]
fn a_segment_that_cannot_be_copied_aside_is_not_repaired() {
    let left = left();
    left.flip([5], 100);
    let bytes = left.stage.disk.bytes(&left.path);
    left.stage.disk.fail(Operation::Write, Errno::NOSPC);
    assert_eq!(left.read().unwrap(), with_holes(&[5]));
    left.stage.disk.heal();
    let Ok([gap]) = <[_; 1]>::try_from(left.gaps()) else { panic!("one gap") };
    assert!(gap.heal().unwrap_err().to_string().contains("no copy"));
    assert_eq!(left.stage.disk.bytes(&left.path), bytes);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_no_damage() {
    let left = left();
    left.stage.disk.fail(Operation::Read, Errno::IO);
    assert_eq!(left.read().unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    left.stage.disk.heal();
    assert_eq!((left.read().unwrap(), left.gaps().len(), left.copies()), (with_holes(&[]), 0, 0));
}

/// A process that has recorded frames 1 to [`FRAMES`], of which one is damaged in its mapping.
fn mapped(stage: &Stage, damaged: u64) -> (Opened, Arc<Chunk>) {
    let opened = stage.open();
    let chunk = fill(&opened.spool, 1, FRAMES).remove(0);
    if stage.options.shadow {
        opened.spool.wait_durable(far()).unwrap();
        assert!(!chunk.has_shadow());
    }
    let frames = PAGE + chunk_header_len(1);
    let at = frames + (damaged as usize - 1) * FRAME as usize + 100;
    stage.disk.flip(&stage.disk.segments()[0], at, 0x40);
    (opened, chunk)
}

fn read_all(chunk: &Chunk, age: Age) -> Vec<u64> {
    chunk.read_sound(0..FRAMES as u32 * FRAME, 0..FRAMES as u16, age, sequences_or_holes).unwrap()
}

#[test]
fn a_frame_that_waits_in_a_mapped_segment_and_is_damaged_is_lost_alone_and_told() {
    for stage in [Stage::new(&["a"]), Stage::durable()] {
        let (opened, chunk) = mapped(&stage, 5);
        for _ in 0..2 {
            let found = read_all(&chunk, Age::Waited);
            assert_eq!(
                found,
                (1..=FRAMES).map(|frame| if frame == 5 { 0 } else { frame }).collect::<Vec<_>>()
            );
        }
        let Ok([gap]) = <[_; 1]>::try_from(chunk.take_gaps(slice::from_ref(&(0..FRAMES as u16)))) else {
            panic!("one gap")
        };
        assert_eq!(told(slice::from_ref(&gap)), [(1, Some(5), Some(5))]);
        chunk.set_done(0, 10 * FRAME);
        let killed = stage.killed().open();
        assert_eq!((lost(&killed.backlog), owed(&killed.backlog, 0)), (1, Vec::from_iter(6..=FRAMES)));

        gap.heal().unwrap();
        let killed = stage.killed().open();
        assert_eq!((lost(&killed.backlog), owed(&killed.backlog, 0)), (0, Vec::from_iter(11..=FRAMES)));
        chunk.set_done(0, FRAMES as u32 * FRAME);
        opened.spool.close();
        assert!(stage.disk.segments().is_empty());
    }
}

#[test]
fn whoever_writes_into_a_mapped_chunk_in_which_damage_is_found_goes_on() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..4);
    stage.disk.flip(&stage.disk.segments()[0], PAGE + chunk_header_len(1) + 100, 0x40);
    let chunk = writer.chunk().clone();
    let read =
        |to: u16| chunk.read_sound(0..u32::from(to) * FRAME, 0..to, Age::Waited, sequences_or_holes).unwrap();
    assert_eq!(read(3), [0, 2, 3]);
    append(&mut writer, 4..6);
    assert_eq!(read(5), [0, 2, 3, 4, 5]);
    let killed = stage.killed().open();
    assert_eq!((lost(&killed.backlog), owed(&killed.backlog, 0)), (1, vec![2, 3, 4, 5]));
}

#[test]
fn what_is_young_or_kept_until_it_is_on_the_disk_is_not_checked() {
    let stage = Stage::new(&["a"]);
    let (_opened, chunk) = mapped(&stage, 5);
    let is_changed = |frames: &[u8]| frames[4 * FRAME as usize + 100] != frame(5)[100];
    assert!(chunk.read(0, FRAMES as u32 * FRAME, Age::Young, is_changed).unwrap());

    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..=FRAMES);
    stage.disk.flip(&stage.disk.segments()[0], PAGE + chunk_header_len(1) + 100, 0x40);
    let chunk = writer.chunk();
    assert_eq!(read_all(chunk, Age::Waited), Vec::from_iter(1..=FRAMES), "the copy is as it was written");
}
