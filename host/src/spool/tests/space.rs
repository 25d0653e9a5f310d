//! The space of the spool: bounded, had beforehand, given back, and tried again when the disk refuses.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::stage::*;
use crate::spool::memory_disk::Operation;
use crate::spool::{Age, Chunk, LeaseError, Spool};

/// Leases until it fails, with one frame in each; how many there were, and why it failed.
fn lease_all(spool: &Spool, writers: &mut Vec<crate::spool::ChunkWriter>) -> LeaseError {
    loop {
        match spool.lease(200) {
            Ok(mut writer) => {
                append(&mut writer, [writers.len() as u64 + 1]);
                writers.push(writer);
            }
            Err(error) => return error,
        }
    }
}

#[test]
fn files_never_take_more_than_the_bound_and_a_full_spool_says_so() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut writers = Vec::new();
    let error = lease_all(&opened.spool, &mut writers);
    assert!(matches!(error, LeaseError::Full), "{error}");
    assert_eq!(writers.len(), 16 * 4);
    assert_eq!(opened.bound.left(), 0);
    wait_until(|| stage.disk.used() == stage.options.max_bytes);
}

#[test]
fn what_is_done_is_given_back_and_can_be_leased_again_without_end() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut last = Vec::new();
    for round in 0..60 {
        wait_until(|| opened.bound.left() >= 4 * SEGMENT);
        let mut writers: Vec<_> = (0..16).map(|_| opened.spool.lease(200).unwrap()).collect();
        for (number, writer) in writers.iter_mut().enumerate() {
            append(writer, [round * 16 + number as u64]);
            assert!(stage.disk.used() <= stage.options.max_bytes);
        }
        last = writers.iter().map(|writer| writer.chunk().clone()).collect();
        for writer in &writers[..12] {
            writer.chunk().set_done(0, writer.written());
        }
        for chunk in &last[12..] {
            chunk.set_done(0, 152);
        }
    }
    drop(last);
    opened.spool.close();
    assert!(stage.disk.files().is_empty(), "{:?}", stage.disk.files());
    assert_eq!(opened.bound.left() as u64, stage.options.max_bytes);
}

#[test]
fn a_full_spool_has_room_again_once_a_segment_is_done() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut writers = Vec::new();
    lease_all(&opened.spool, &mut writers);
    for writer in writers.drain(..4) {
        writer.chunk().set_done(0, writer.written());
    }
    wait_until(|| opened.bound.left() == SEGMENT);
    assert!(opened.spool.lease(200).is_ok());
}

#[test]
fn chunks_without_any_event_are_given_back_too() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    for _ in 0..500 {
        drop(opened.spool.lease(200));
        wait_until(|| opened.bound.left() > 0);
    }
    opened.spool.close();
    assert!(stage.disk.files().is_empty());
}

#[test]
fn adopted_segments_count_and_their_space_comes_back() {
    let stage = Stage::new(&["a"]);
    let mut writers = Vec::new();
    lease_all(&stage.open().spool, &mut writers);
    let mut left = stage.killed();
    // Half of what it was: the rest is a debt.
    left.options.max_bytes /= 2;
    let opened = left.open();
    assert_eq!(opened.bound.left(), 0);
    assert!(matches!(opened.spool.lease(200), Err(LeaseError::Full)));
    for part in &opened.backlog.parts[..8 * 4] {
        part.chunk.set_done(0, part.to);
    }
    wait_until(|| left.disk.segments().len() == 8);
    assert_eq!(opened.bound.left(), 0, "the debt comes first");
    settle(&opened.backlog);
    wait_until(|| opened.bound.left() == 8 * SEGMENT);
    assert!(opened.spool.lease(200).is_ok());
}

#[test]
fn whatever_the_disk_refuses_is_an_error_at_the_call_and_no_loss_and_it_goes_on_when_the_disk_does() {
    let operations = [
        Operation::Create,
        Operation::Allocate,
        Operation::Write,
        Operation::ShortWrite,
        Operation::Map,
        Operation::Sync,
        Operation::SyncFolder,
    ];
    let errors = [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::ROFS, Errno::IO];
    for (operation, errno) in
        operations.into_iter().flat_map(|operation| errors.map(|errno| (operation, errno)))
    {
        let mut stage = Stage::new(&["a"]);
        stage.options.shadow = matches!(operation, Operation::Sync | Operation::SyncFolder);
        let opened = stage.open();
        let mut writers = Vec::new();
        // The first two segments may be there already.
        stage.disk.fail(operation, errno);
        let error = lease_all(&opened.spool, &mut writers);
        let LeaseError::Io(error) = error else { panic!("{operation:?}, {errno}: {error}") };
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        assert!(writers.len() <= 8);
        // At once again: the same answer, whether the disk is asked or not.
        let again = opened.spool.lease(200).map(drop).unwrap_err();
        assert!(matches!(again, LeaseError::Io(again) if again.raw_os_error() == error.raw_os_error()));

        stage.disk.heal();
        wait_until(|| opened.spool.lease(200).is_ok());
        lease_all(&opened.spool, &mut writers);
        let left = stage.killed().open();
        assert_eq!(
            owed(&left.backlog, 0),
            (1..=writers.len() as u64).collect::<Vec<_>>(),
            "{operation:?}, {errno}"
        );
        assert!(left.backlog.gaps.is_empty());
        assert!(stage.disk.used() <= stage.options.max_bytes);
    }
}

#[test]
fn a_mark_that_cannot_be_written_costs_duplicates_and_nothing_else() {
    let stage = Stage::new(&["a"]);
    fill(&stage.open().spool, 1, 30);
    let left = stage.killed();
    let opened = left.open();
    left.disk.fail(Operation::Open, Errno::MFILE);
    settle(&opened.backlog);
    assert!(
        opened.backlog.parts[0]
            .chunk
            .read(0, 152, Age::Waited, |_| ())
            .is_err_and(|error| error.kind() != io::ErrorKind::InvalidData)
    );
    left.disk.heal();
    opened.spool.close();
    assert!(left.disk.files().is_empty(), "done all the same");
}

#[test]
fn a_finished_segment_that_cannot_be_deleted_is_tried_again() {
    let stage = Stage::new(&["a"]);
    fill(&stage.open().spool, 1, 30);
    let left = stage.killed();
    let opened = left.open();
    left.disk.fail(Operation::Remove, Errno::IO);
    settle(&opened.backlog);
    left.disk.heal();
    opened.spool.close();
    assert!(left.disk.files().is_empty(), "{:?}", left.disk.files());
}

#[test]
fn a_spool_cannot_be_opened_where_nothing_can_be_made_and_says_where() {
    for (operation, doing) in [
        (Operation::CreateFolder, "making the folder /spool failed: "),
        (Operation::List, "reading the folder /spool failed: "),
        (Operation::Lock, "making a folder in /spool failed: "),
        (Operation::Rename, "making a folder in /spool failed: "),
        (Operation::SyncFolder, "syncing the folder / failed: "),
    ] {
        let stage = Stage::durable();
        stage.disk.fail(operation, Errno::ROFS);
        let error = stage.try_open().err().unwrap().to_string();
        assert!(error.starts_with(doing) && error.contains("spool_dir"), "{error}");
    }
}

/// Reads something of every chunk of 12 full segments; the numbers of those that were read from their files.
fn read_from_files(stage: &Stage, opened: &Opened, chunks: &[Arc<Chunk>]) -> Vec<usize> {
    let reads = || stage.disk.log().iter().filter(|(operation, _)| *operation == Operation::Read).count();
    let mut from_files = Vec::new();
    for (segment, chunks) in chunks.chunks(4).enumerate() {
        let before = reads();
        for chunk in chunks {
            assert!(!chunk.read(0, 152, Age::Waited, sequences).unwrap().is_empty());
        }
        from_files.extend((reads() > before).then_some(segment + 1));
    }
    assert_eq!(opened.bound.left(), 4 * SEGMENT);
    from_files
}

#[test]
fn the_oldest_and_the_newest_segments_are_read_from_memory_and_those_between_from_their_files() {
    let mut stage = Stage::new(&["a"]);
    // With two spares: five in use stay mapped.
    stage.options.mapped_bytes = 7 * SEGMENT;
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 12 * 4 * 26);
    wait_until(|| read_from_files(&stage, &opened, &chunks) == (4..=10).collect::<Vec<_>>());
}

#[test]
fn a_spool_that_fits_into_memory_is_never_read_from_its_files() {
    let mut stage = Stage::new(&["a"]);
    stage.options.mapped_bytes = stage.options.max_bytes as usize;
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 12 * 4 * 26);
    wait_for_spare(&stage, 13);
    assert!(read_from_files(&stage, &opened, &chunks).is_empty());
}
