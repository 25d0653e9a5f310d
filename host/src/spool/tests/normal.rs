//! Nothing goes wrong, but that processes end.

use std::path::PathBuf;

use super::stage::*;
use crate::spool::Age;
use crate::spool::memory_disk::Operation;

#[test]
fn what_was_appended_can_be_read_while_it_is_written() {
    let opened = Stage::new(&["a"]).open();
    let mut writer = opened.spool.lease(200).unwrap();
    assert_eq!(append(&mut writer, 1..4), 3);
    let to = writer.written();
    assert_eq!(writer.chunk().read(0, to, Age::Waited, sequences).unwrap(), [1, 2, 3]);
    assert_eq!(writer.chunk().read(to / 3, to, Age::Waited, sequences).unwrap(), [2, 3]);
    assert!(writer.chunk().read(0, to + 8, Age::Waited, sequences).is_err(), "beyond what was written");
}

#[test]
fn a_killed_process_leaves_all_it_appended_in_order() {
    let stage = Stage::new(&["a", "b"]);
    let opened = stage.open();
    fill(&opened.spool, 1, 200);
    let mut open_chunk = opened.spool.lease(200).unwrap();
    append(&mut open_chunk, 1000..1005);

    let next = stage.killed().open();
    let expected: Vec<u64> = (1..=200).chain(1000..1005).collect();
    assert_eq!(owed(&next.backlog, 0), expected);
    assert_eq!(owed(&next.backlog, 1), expected);
    assert!(next.backlog.gaps.is_empty() && next.backlog.unowed.is_empty());
    assert!(next.backlog.parts.iter().all(|part| *part.offered == [0, 0]));
}

#[test]
fn a_closed_spool_leaves_the_rest_and_one_that_is_done_leaves_nothing() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 100);
    for chunk in &chunks[..chunks.len() - 1] {
        chunk.set_done(0, 4096);
    }
    opened.spool.close();
    assert!(opened.spool.lease(200).is_err());

    let next = stage.open();
    let left = owed(&next.backlog, 0);
    assert!(!left.is_empty() && left.len() < 30 && *left.last().unwrap() == 100, "{left:?}");
    settle(&next.backlog);
    next.spool.close();
    assert!(stage.disk.files().is_empty());
    assert_eq!(next.bound.left() as u64, stage.options.max_bytes);
}

#[test]
fn marks_tell_what_is_done_and_what_may_be_a_duplicate() {
    let stage = Stage::new(&["a", "b"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..11);
    let frame_len = writer.written() / 10;
    writer.chunk().set_offered(0, frame_len * 6);
    writer.chunk().set_done(0, frame_len * 4);
    writer.chunk().set_done(0, frame_len * 2);
    writer.chunk().set_offered(1, frame_len * 2);

    let next = stage.killed().open();
    assert_eq!(owed(&next.backlog, 0), [5, 6, 7, 8, 9, 10]);
    assert_eq!(owed(&next.backlog, 1), (1..11).collect::<Vec<_>>());
    let parts: Vec<_> =
        next.backlog.parts.iter().map(|part| (part.events, part.owed, &*part.offered)).collect();
    assert_eq!(parts, [(4, 0b10, &[0, 2][..]), (6, 0b11, &[2, 0][..])]);
}

#[test]
fn a_larger_frame_gets_a_larger_region_and_too_large_a_one_an_error() {
    let opened = Stage::new(&["a"]).open();
    let mut writer = opened.spool.lease(6000).unwrap();
    let frame = frame_of(7, 5900);
    assert!(writer.room().len() >= frame.len());
    writer.append(&frame);
    assert_eq!(writer.chunk().read(0, writer.written(), Age::Waited, sequences).unwrap(), [7]);
    let Err(error) = opened.spool.lease(SEGMENT) else { panic!("leased") };
    assert!(error.to_string().contains("does not fit"), "{error}");
}

#[test]
fn segments_between_the_oldest_and_the_newest_are_closed_and_read_and_marked_in_their_files() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 26 * 4 * 8);
    let is_read_from_file = |segment: usize| {
        let (first, name) = (26 * 4 * (segment as u64 - 1), format!("{segment:010}.segment"));
        let found = chunks[4 * (segment - 1)].read(0, 26 * 152, Age::Waited, sequences).unwrap();
        assert_eq!(found, (first + 1..=first + 26).collect::<Vec<_>>());
        let opened =
            |(operation, path): &(Operation, PathBuf)| *operation == Operation::Open && path.ends_with(&name);
        stage.disk.log().iter().any(opened)
    };
    wait_until(|| (3..=6).all(is_read_from_file));
    for segment in 1..=8 {
        assert_eq!(is_read_from_file(segment), (3..=6).contains(&segment), "{segment}");
    }
    let third = 4 * 2;
    for (index, chunk) in chunks.iter().enumerate() {
        chunk.set_done(0, if index == third { 25 * 152 } else { 26 * 152 });
    }
    assert_eq!(owed(&stage.killed().open().backlog, 0), [26 * third as u64 + 26]);
}
