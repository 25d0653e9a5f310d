//! Looking at a folder: what can be read is shown, what is in use is no damage, and nothing is changed.

use std::path::Path;

use rustix::io::Errno;

use super::stage::*;
use crate::spool::FolderContents;
use crate::spool::disk::Disk;
use crate::spool::inspect::{FolderUse, inspect};
use crate::spool::memory_disk::Operation;

/// Two segments with five frames each, and what is in them.
fn left_behind() -> Stage {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    for first in [1, 6] {
        // Each fills what is left of its segment.
        let mut writer = opened.spool.lease(SEGMENT - 2 * PAGE).unwrap();
        assert_eq!(append(&mut writer, first..first + 5), 5);
    }
    let left = stage.killed();
    // The next one may be ready already.
    left.disk.segments().split_off(2).iter().for_each(|spare| left.disk.remove(spare).unwrap());
    left
}

fn look(stage: &Stage, in_use: FolderUse, mut on_read: impl FnMut()) -> FolderContents {
    let path = stage.disk.segments()[0].clone();
    let folder = path.parent().unwrap_or(Path::new("/"));
    inspect(&stage.disk, folder, in_use, &mut |_| on_read()).unwrap()
}

fn damage(contents: &FolderContents) -> Vec<(&str, Option<u64>)> {
    contents.damage.iter().map(|damage| (damage.reason.as_str(), damage.lost)).collect()
}

/// The first segment, with another byte of its second frame changed than for another turn.
fn damaged(whole: &[u8], turn: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let frame = bytes.windows(4).position(|window| window == b"CHNK").unwrap() + 128 + 48 + turn * 152;
    bytes[frame + 50] ^= 1;
    bytes
}

#[test]
fn what_is_written_meanwhile_is_no_damage() {
    let stage = left_behind();
    let path = stage.disk.segments()[0].clone();
    let whole = stage.disk.bytes(&path);
    stage.disk.put(&path, &damaged(&whole, 0));
    let mut files = 0;
    let contents = look(&stage, FolderUse::InUse, || {
        // Something else at each of the first three looks: two files are read at each.
        files += 1;
        let turn = files / 2;
        stage.disk.put(&path, &if turn < 3 { damaged(&whole, turn) } else { whole.clone() });
    });
    assert_eq!((damage(&contents), contents.events), (vec![], 10));
    assert!(files > 6, "it was read until it was whole");
}

#[test]
fn what_stays_damaged_in_use_is_damaged_whatever_else_changes() {
    let stage = left_behind();
    let paths = stage.disk.segments();
    let wholes: Vec<_> = paths.iter().map(|path| stage.disk.bytes(path)).collect();
    stage.disk.put(&paths[0], &damaged(&wholes[0], 0));
    let mut files = 0;
    let contents = look(&stage, FolderUse::InUse, || {
        files += 1;
        stage.disk.put(&paths[1], &damaged(&wholes[1], files / 2 % 4));
    });
    let [(reason, Some(1))] = damage(&contents)[..] else { panic!("{:?}", contents.damage) };
    assert!(reason.ends_with("do not validate"), "{reason}");
    assert_eq!(contents.damage[0].path, paths[0]);
}

#[test]
fn a_segment_of_a_later_version_is_named_and_the_others_are_shown() {
    let stage = left_behind();
    let path = stage.disk.segments()[0].clone();
    let mut bytes = stage.disk.bytes(&path);
    bytes[8] = 2;
    let table = 44..48 + bytes[44] as usize;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..32]), &bytes[table]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    stage.disk.put(&path, &bytes);
    let contents = look(&stage, FolderUse::Left, || ());
    let [(reason, None)] = damage(&contents)[..] else { panic!("{:?}", contents.damage) };
    assert!(reason.starts_with("has format 2"), "{reason}");
    assert_eq!((&contents.damage[0].path, contents.segments, contents.events), (&path, 2, 5));
}

#[test]
fn a_segment_that_cannot_be_opened_is_named_and_the_others_are_shown() {
    let stage = left_behind();
    stage.disk.fail_once(Operation::Open, Errno::ACCESS);
    let contents = look(&stage, FolderUse::Left, || ());
    let [(reason, None)] = damage(&contents)[..] else { panic!("{:?}", contents.damage) };
    assert!(reason.starts_with("cannot be read: "), "{reason}");
    assert_eq!((contents.segments, contents.events), (2, 5));
}

#[test]
fn looking_only_lists_opens_and_reads() {
    let stage = left_behind();
    let path = stage.disk.segments()[0].clone();
    stage.disk.put(&path, &damaged(&stage.disk.bytes(&path), 0));
    let before = stage.disk.log().len();
    assert_eq!(look(&stage, FolderUse::Left, || ()).damage.len(), 1);
    let log = stage.disk.log().split_off(before);
    let is_looking =
        |operation: &Operation| matches!(operation, Operation::List | Operation::Open | Operation::Read);
    assert!(!log.is_empty() && log.iter().all(|(operation, _)| is_looking(operation)), "{log:?}");
}
