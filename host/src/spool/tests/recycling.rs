//! Segments that are used again: what was in them before never comes back.

use proptest::prelude::*;

use super::stage::*;
use crate::spool::memory_disk::Operation;

/// Frames in a full chunk of these tests.
const FRAMES: u64 = 26;

/// Fills a segment with frames 1 to 104 and begins the next one with 200 and 201; all durable, if that is asked for.
fn first_segment_full(stage: &Stage) -> (Opened, Vec<std::sync::Arc<crate::spool::Chunk>>) {
    let opened = stage.open();
    let chunks = fill(&opened.spool, 1, 4 * FRAMES);
    assert_eq!(chunks.len(), 4);
    fill(&opened.spool, 200, 2);
    if stage.options.shadow {
        opened.spool.wait_durable(far()).unwrap();
    }
    (opened, chunks)
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
    for chunk in &chunks {
        chunk.set_done(0, FRAMES as u32 * 152);
    }
    drop(chunks);
    wait_until(|| renamed(&stage));
    // The rest of the second segment, then the spare that was prepared, then the recycled one.
    let mut expected = vec![200, 201];
    let mut next = 300;
    while !stage.disk.segments().iter().any(|path| path.ends_with("0000000005.segment"))
        || expected.len() < 22
    {
        let mut writer = opened.spool.lease(200).unwrap();
        append(&mut writer, [next]);
        expected.push(next);
        next += 1;
    }
    let left = stage.killed().open();
    assert_eq!(owed(&left.backlog, 0), expected);
    assert!(left.backlog.gaps.is_empty());
}

#[test]
fn a_reader_of_a_finished_chunk_keeps_its_segment_from_being_used_again() {
    let stage = Stage::new(&["a"]);
    let (opened, chunks) = first_segment_full(&stage);
    let read = chunks[0].read(0, FRAMES as u32 * 152, |frames| {
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
        wait_until(|| stage.disk.segments().len() == 3);
        stage.disk.die_after(operations);
        for chunk in &chunks {
            chunk.set_done(0, FRAMES as u32 * 152);
        }
        drop(chunks);
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
        wait_until(|| stage.disk.segments().len() == 3);
        stage.disk.die_after(operations);
        for chunk in &chunks {
            chunk.set_done(0, FRAMES as u32 * 152);
        }
        drop(chunks);
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
