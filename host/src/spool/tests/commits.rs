//! What has to be on the disk, and syncs that fail.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::stage::*;
use crate::spool::memory_disk::{MemoryDisk, Operation};
use crate::spool::{Age, ChunkWriter};

/// What a file system may say to a sync.
const SYNC_ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];

fn power_lost(stage: &Stage) -> Stage {
    stage.with(stage.disk.after_power_loss(|| false))
}

fn syncs(disk: &MemoryDisk) -> usize {
    disk.log().iter().filter(|(operation, _)| *operation == Operation::Sync).count()
}

#[test]
fn what_was_waited_for_survives_a_loss_of_power_and_the_rest_is_no_damage() {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..4);
    opened.spool.wait_durable(far()).unwrap();
    append(&mut writer, 4..6);
    let left = power_lost(&stage).open();
    assert_eq!(owed(&left.backlog, 0), [1, 2, 3]);
    assert!(left.backlog.gaps.is_empty());
    assert_eq!(owed(&stage.killed().open().backlog, 0), [1, 2, 3, 4, 5]);
}

#[test]
fn an_event_that_counts_and_is_not_there_after_a_loss_of_power_is_told_though_nobody_was_promised_it() {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(PAGE - 128).unwrap();
    append(&mut writer, 1..4);
    opened.spool.wait_durable(far()).unwrap();
    append(&mut writer, [4]);
    // Of the chunk the first sector, with how much of it counts.
    let left = stage.with(stage.disk.after_power_loss_with(|_, at| at == PAGE)).open();
    assert_eq!((owed(&left.backlog, 0), lost(&left.backlog)), (vec![1, 2, 3], 1));
    assert_eq!(left.backlog.gaps[0].first_sequence, Some(4));
}

#[test]
fn a_folder_that_had_to_be_made_with_those_above_it_survives_a_loss_of_power() {
    let mut stage = Stage::durable();
    stage.disk.put_folder(Path::new("/var"));
    stage.options.dir = PathBuf::from("/var/lib/audit/spool");
    let opened = stage.open();
    append(&mut opened.spool.lease(200).unwrap(), 1..4);
    opened.spool.wait_durable(far()).unwrap();
    assert_eq!(owed(&power_lost(&stage).open().backlog, 0), [1, 2, 3]);
}

#[test]
fn many_threads_share_syncs_and_each_gets_its_own() {
    let stage = Stage::durable();
    let opened = stage.open();
    let before = syncs(&stage.disk);
    let rounds = 50;
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (spool, stage) = (&opened.spool, &stage);
            scope.spawn(move || {
                let mut writer = spool.lease(200).unwrap();
                for round in 0..rounds {
                    let sequence = 1 + thread * rounds + round;
                    if append(&mut writer, [sequence]) == 0 {
                        writer = spool.lease(200).unwrap();
                        append(&mut writer, [sequence]);
                    }
                    spool.wait_durable(far()).unwrap();
                    if round == rounds / 2 {
                        let left = power_lost(stage).open();
                        assert!(owed(&left.backlog, 0).contains(&sequence));
                    }
                }
            });
        }
    });
    assert!(syncs(&stage.disk) > before);
    let mut all = owed(&power_lost(&stage).open().backlog, 0);
    all.sort_unstable();
    assert_eq!(all, (1..=8 * rounds).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_moves_what_is_not_on_the_disk_and_never_asks_the_same_file_again() {
    SYNC_ERRORS.into_iter().for_each(moves_what_is_not_on_the_disk);
}

#[track_caller]
fn moves_what_is_not_on_the_disk(errno: Errno) {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..4);
    writer.chunk().set_done(0, 152);
    writer.chunk().set_offered(0, 304);
    wait_for_spare(&stage, 2);
    stage.disk.fail_once(Operation::Sync, errno);
    opened.spool.wait_durable(far()).unwrap();
    let log = stage.disk.log();
    let (failed_at, failed) = log
        .iter()
        .enumerate()
        .rfind(|(_, (operation, path))| *operation == Operation::Sync && path.ends_with("0000000001.segment"))
        .map(|(at, (_, path))| (at, path.clone()))
        .unwrap();
    assert!(
        log[failed_at + 1..].iter().any(|(operation, path)| *operation == Operation::Sync && *path != failed)
    );

    // The same writer goes on, in the new place.
    append(&mut writer, 4..6);
    opened.spool.wait_durable(far()).unwrap();
    let left = power_lost(&stage).open();
    assert_eq!(owed(&left.backlog, 0), [2, 3, 4, 5]);
    assert_eq!(left.backlog.parts[0].offered[0], 1);
    assert!(left.backlog.gaps.is_empty());

    // After a kill the chunk is there twice, and counts once.
    let left = stage.killed().open();
    assert_eq!(owed(&left.backlog, 0), [2, 3, 4, 5]);
    assert_eq!(writer.chunk().read(0, writer.written(), Age::Waited, sequences).unwrap(), [1, 2, 3, 4, 5]);
    writer.chunk().set_done(0, writer.written());
    drop(writer);
    opened.spool.close();
    assert!(stage.disk.files().is_empty(), "{:?}", stage.disk.files());
}

#[test]
fn what_is_on_the_disk_counts_whatever_of_a_copy_that_was_not_synced_got_there() {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(PAGE - 128).unwrap();
    // A sector of its own, and the last ones begin behind it.
    writer.append(&frame_of(1, 1200));
    append(&mut writer, [2]);
    opened.spool.wait_durable(far()).unwrap();
    wait_for_spare(&stage, 2);
    stage.disk.fail(Operation::Sync, Errno::IO);
    append(&mut writer, [3]);
    until_durable_or_it_is_known_why(&opened).unwrap_err();
    assert!(writer.chunk().frames_place().0.path().ends_with("0000000002.segment"));

    // The whole copy, but for a sector of the first frame.
    let left =
        stage.disk.after_power_loss_with(|path, at| path.ends_with("0000000002.segment") && at != PAGE + 512);
    let left = stage.with(left).open();
    assert_eq!((owed(&left.backlog, 0), lost(&left.backlog)), (vec![1, 2], 0));
}

#[test]
fn while_no_sync_succeeds_who_waits_is_told_why_and_once_one_does_nothing_is_missing() {
    SYNC_ERRORS.into_iter().for_each(while_no_sync_succeeds);
}

#[track_caller]
fn while_no_sync_succeeds(errno: Errno) {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    stage.disk.fail(Operation::Sync, errno);
    append(&mut writer, 1..3);
    let reason = until_durable_or_it_is_known_why(&opened).unwrap_err();
    assert!(reason.contains(&io::Error::from(errno).to_string()), "{reason}");
    append(&mut writer, 3..5);
    stage.disk.heal();
    opened.spool.wait_durable(far()).unwrap();
    let left = power_lost(&stage).open();
    assert_eq!(owed(&left.backlog, 0), [1, 2, 3, 4]);
    assert!(left.backlog.gaps.is_empty());
}

#[test]
fn whoever_has_come_while_syncs_failed_is_woken_by_the_first_that_succeeds() {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..3);
    stage.disk.fail(Operation::Sync, Errno::IO);
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        // Each of them needs another one.
        for _ in 0..3 {
            let (before, until) = (syncs(&stage.disk), far());
            let spool = &opened.spool;
            waiting.push(scope.spawn(move || spool.wait_durable(until).map(|()| Instant::now() < until)));
            wait_until(|| syncs(&stage.disk) > before + 2);
        }
        stage.disk.heal();
        for waiting in waiting {
            // In time: who is not woken finds it out at the end.
            assert!(waiting.join().unwrap().unwrap());
        }
    });
}

#[test]
fn a_failed_sync_with_no_room_for_a_new_segment_is_a_failure_until_there_is_room() {
    let mut stage = Stage::durable();
    stage.options.max_bytes = 2 * SEGMENT as u64;
    stage.options.max_event_bytes = 64;
    let opened = stage.open();
    let first = fill(&opened.spool, 1, 4 * 26);
    let second = fill(&opened.spool, 200, 4 * 26);
    wait_for_spare(&stage, 2);
    stage.disk.fail_once(Operation::Sync, Errno::IO);
    let error = opened.spool.wait_durable(Instant::now() + Duration::from_millis(200)).unwrap_err();
    assert!(error.reason.contains("full") || error.reason.contains("in time"), "{}", error.reason);
    for chunk in &second {
        chunk.set_done(0, 26 * 152);
    }
    opened.spool.wait_durable(far()).unwrap();
    let left = power_lost(&stage).open();
    let found = owed(&left.backlog, 0);
    assert!(found.starts_with(&(1..=104).collect::<Vec<_>>()), "{found:?}");
    drop(first);
}

#[test]
fn what_waits_for_the_disk_is_read_from_memory_and_memory_is_given_back_by_itself() {
    let stage = Stage::durable();
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 26 * 30);
    for chunk in &chunks {
        assert_eq!(chunk.read(0, 152, Age::Waited, sequences).unwrap().len(), 1);
    }
    // Nobody has waited for a sync: so many chunks ask for one.
    wait_until(|| chunks.iter().take(10).all(|chunk| !chunk.has_shadow()));
    for chunk in &chunks {
        assert_eq!(chunk.read(0, 152, Age::Waited, sequences).unwrap().len(), 1);
    }
}

#[test]
fn memory_of_a_chunk_that_ends_after_it_was_synced_is_given_back_with_the_next_sync() {
    let stage = Stage::durable();
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..3);
    opened.spool.wait_durable(far()).unwrap();
    let chunk = writer.chunk().clone();
    drop(writer);
    assert!(chunk.has_shadow());
    opened.spool.wait_durable(far()).unwrap();
    assert!(!chunk.has_shadow());
}

#[test]
fn a_spool_that_was_not_opened_for_it_does_not_pretend() {
    let opened = Stage::new(&["a"]).open();
    let error = opened.spool.wait_durable(far()).unwrap_err();
    assert_eq!(error.to_string(), "not known to be on the disk: the spool was not opened for that");
}

#[test]
fn closing_ends_every_wait_and_brings_the_rest_to_the_disk() {
    let stage = Stage::durable();
    let opened = stage.open();
    fill(&opened.spool, 1, 5);
    stage.disk.fail(Operation::Sync, Errno::IO);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| opened.spool.wait_durable(far()));
        wait_until(|| syncs(&stage.disk) > 2);
        stage.disk.heal();
        opened.spool.close();
        // It got its sync or was told that there will be none.
        drop(waiting.join().unwrap());
    });
    assert_eq!(owed(&power_lost(&stage).open().backlog, 0), [1, 2, 3, 4, 5]);
}

/// Two events: 1 in a chunk that stays where it is, and keeps its segment, 2 in one that was moved.
fn with_a_moved_chunk(stage: &Stage) -> (Opened, ChunkWriter) {
    let opened = stage.open();
    append(&mut opened.spool.lease(200).unwrap(), [1]);
    opened.spool.wait_durable(far()).unwrap();
    let mut moved = opened.spool.lease(200).unwrap();
    append(&mut moved, [2]);
    stage.disk.fail_once(Operation::Sync, Errno::IO);
    opened.spool.wait_durable(far()).unwrap();
    assert_eq!(owed(&stage.killed().open().backlog, 0), [1, 2]);
    (opened, moved)
}

#[test]
fn what_is_left_where_a_chunk_was_is_not_taken_for_it_when_it_is_done_and_gone() {
    let stage = Stage::durable();
    let (opened, moved) = with_a_moved_chunk(&stage);
    moved.chunk().set_done(0, moved.written());
    drop(moved);
    opened.spool.close();
    assert_eq!(owed(&stage.killed().open().backlog, 0), [1]);
}

#[test]
fn what_is_left_where_a_chunk_was_is_not_taken_for_it_when_a_later_process_is_done_with_it() {
    let stage = Stage::durable();
    let (opened, moved) = with_a_moved_chunk(&stage);
    drop(moved);
    opened.spool.close();
    let left = stage.killed();
    let later = left.open();
    let part = later.backlog.parts.last().unwrap();
    part.chunk.set_done(0, part.to);
    later.spool.close();
    assert_eq!(owed(&left.killed().open().backlog, 0), [1]);
}

#[test]
fn what_is_left_where_a_chunk_was_is_not_taken_for_it_when_the_process_died_in_between() {
    let stage = Stage::durable();
    let (_opened, moved) = with_a_moved_chunk(&stage);
    // Its writer is there yet, so that it is done, but not gone.
    moved.chunk().set_done(0, moved.written());
    let left = stage.killed();
    let later = left.open();
    assert_eq!(owed(&later.backlog, 0), [1]);
    later.spool.close();
    assert_eq!(owed(&left.killed().open().backlog, 0), [1]);
}
