//! Segments that are used again: what was in them before never comes back.

use std::sync::Arc;

use proptest::prelude::*;
use rustix::io::Errno;

use super::stage::*;
use crate::spool::format::{chunk_header_len, u64_at};
use crate::spool::memory_disk::Operation;
use crate::spool::{Age, Chunk};

/// Frames in a full chunk of these tests.
const FRAMES: u64 = 26;

/// Fills a segment with frames 1 to 104 and begins the next one with 200 and 201; all durable, if that is asked for.
fn first_segment_full(stage: &Stage) -> (Opened, Vec<Arc<Chunk>>) {
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 4 * FRAMES);
    assert_eq!(chunks.len(), 4);
    fill(&opened.spool, 200, 2);
    if stage.options.shadow {
        opened.spool.wait_durable(far()).unwrap();
    }
    (opened, chunks)
}

/// These full chunks are done, and nobody holds them.
fn settle_all(chunks: Vec<Arc<Chunk>>) {
    for chunk in chunks {
        chunk.set_done(0, FRAMES as u32 * 152);
    }
}

fn renamed(stage: &Stage) -> bool {
    stage.disk.log().iter().any(|(operation, path)| {
        *operation == Operation::Rename && path.extension().is_some_and(|extension| extension == "segment")
    })
}

#[test]
fn a_recycled_segment_gives_what_is_new_in_it_and_nothing_old() {
    let stage = Stage::new(&["a"]);
    let (opened, chunks) = first_segment_full(&stage);
    wait_for_spare(&stage, 3);
    settle_all(chunks);
    // Given back, when it is a spare: only the second one is in use.
    wait_until(|| opened.bound.left() == 15 * SEGMENT);
    assert!(renamed(&stage));
    // What is left of the second segment, the spare that was prepared, and one chunk of the recycled one.
    let mut expected = vec![200, 201];
    for sequence in 300..308 {
        let mut writer = opened.spool.lease(200).unwrap();
        append(&mut writer, [sequence]);
        expected.push(sequence);
    }
    let left = stage.killed();
    let recycled =
        left.disk.segments().into_iter().find(|path| path.ends_with("0000000004.segment")).unwrap();
    let bytes = left.disk.bytes(&recycled);
    let sequence_at = |chunk: usize| u64_at(&bytes, (1 + chunk) * PAGE + chunk_header_len(1) + 8);
    assert_eq!(
        [0, 1, 2, 3].map(sequence_at),
        [307, FRAMES + 1, 2 * FRAMES + 1, 3 * FRAMES + 1],
        "old bytes are there"
    );
    let next = left.open();
    assert_eq!(owed(&next.backlog, 0), expected);
    assert!(next.backlog.gaps.is_empty());
}

#[test]
fn a_segment_that_cannot_be_made_ready_again_is_deleted_and_nothing_is_lost() {
    for operation in [Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncFolder] {
        let stage = Stage::durable();
        let (opened, chunks) = first_segment_full(&stage);
        wait_for_spare(&stage, 3);
        stage.disk.fail(operation, Errno::IO);
        settle_all(chunks);
        wait_until(|| opened.bound.left() == 15 * SEGMENT);
        let names: Vec<_> =
            stage.disk.segments().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["0000000002.segment", "0000000003.segment"], "{operation:?}");
        stage.disk.heal();
        fill(&opened.spool, 300, 4 * FRAMES);
        opened.spool.wait_durable(far()).unwrap();
        // With it the folder was synced, where the first one is no more.
        wait_for_spare(&stage, 4);
        let expected: Vec<u64> = (200..202).chain(300..300 + 4 * FRAMES).collect();
        for left in [stage.killed(), stage.with(stage.disk.after_power_loss(|| false))] {
            let left = left.open();
            assert_eq!((owed(&left.backlog, 0), lost(&left.backlog)), (expected.clone(), 0), "{operation:?}");
        }
    }
}

#[test]
fn a_reader_of_a_finished_chunk_keeps_its_segment_from_being_used_again() {
    let stage = Stage::new(&["a"]);
    let (opened, chunks) = first_segment_full(&stage);
    let read = chunks[0].read(0, FRAMES as u32 * 152, Age::Waited, |frames| {
        for chunk in &chunks {
            chunk.set_done(0, FRAMES as u32 * 152);
        }
        // Deleted, and not renamed.
        wait_until(|| !stage.disk.segments().iter().any(|path| path.ends_with("0000000001.segment")));
        assert!(!renamed(&stage));
        sequences(frames)
    });
    assert_eq!(read.unwrap(), (1..=FRAMES).collect::<Vec<_>>());
    drop(opened);
}

#[test]
fn a_process_that_dies_at_any_step_of_recycling_leaves_what_is_not_done_and_no_damage() {
    for operations in 0..16 {
        let stage = Stage::new(&["a"]);
        let (opened, chunks) = first_segment_full(&stage);
        wait_for_spare(&stage, 3);
        stage.disk.die_after(operations);
        settle_all(chunks);
        opened.spool.close();
        let left = stage.killed();
        let next = left.open();
        assert_eq!(owed(&next.backlog, 0), [200, 201], "after {operations}");
        assert!(next.backlog.gaps.is_empty(), "after {operations}");
        settle(&next.backlog);
        next.spool.close();
        assert!(left.disk.files().is_empty(), "after {operations}: {:?}", left.disk.files());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_loss_of_power_at_any_step_of_recycling_costs_nothing_durable(
        operations in 0_usize..24,
        kept in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let stage = Stage::durable();
        let (opened, chunks) = first_segment_full(&stage);
        wait_for_spare(&stage, 3);
        stage.disk.die_after(operations);
        settle_all(chunks);
        // Into the next segments, as far as they can be had.
        let mut written = vec![200, 201];
        for sequence in 300..330 {
            let Ok(mut writer) = opened.spool.lease(200) else { break };
            append(&mut writer, [sequence]);
            written.push(sequence);
        }
        let mut kept = kept.into_iter().cycle();
        let left = stage.with(stage.disk.after_power_loss(|| kept.next().unwrap()));
        let found = owed(&left.open().backlog, 0);
        // What is done may come again, whole chunks of it.
        let (old, new): (Vec<u64>, Vec<u64>) = found.into_iter().partition(|sequence| *sequence < 200);
        prop_assert_eq!(old.len() as u64 % FRAMES, 0);
        prop_assert!(new.starts_with(&[200, 201]), "durable: {:?}", new);
        prop_assert!(new.iter().all(|sequence| written.contains(sequence)));
        opened.spool.close();
    }
}
