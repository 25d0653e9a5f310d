//! A process that is killed between any two stores into its mapped segments.
//!
//! What is stored into a mapping is there when its process dies, in the order in which it was stored; nothing else is.

use std::path::Path;

use super::stage::*;
use crate::spool::format::{COMMITTED_AT, put_u64, u64_at};

/// The words in which two images of a segment differ.
fn changed_words(before: &[u8], after: &[u8]) -> Vec<usize> {
    assert_eq!(before.len(), after.len());
    (0..before.len()).step_by(8).filter(|at| u64_at(before, *at) != u64_at(after, *at)).collect()
}

/// The image `before` with these of the words of `after`.
fn with_words(before: &[u8], after: &[u8], words: &[usize]) -> Vec<u8> {
    let mut image = before.to_vec();
    words.iter().for_each(|at| put_u64(&mut image, *at, u64_at(after, *at)));
    image
}

/// What a process finds that opens the spool with this image of a segment; nothing of it may count as damage.
#[track_caller]
fn found_in(stage: &Stage, segment: &Path, image: &[u8]) -> Vec<u64> {
    let left = stage.killed();
    left.disk.put(segment, image);
    let opened = left.open();
    assert!(opened.backlog.gaps.is_empty(), "{:?}", opened.backlog.gaps.len());
    assert!(!left.disk.files().iter().any(|path| path.to_string_lossy().contains("damaged")));
    owed(&opened.backlog, 0)
}

#[test]
fn an_event_is_there_when_its_last_store_is_and_not_before() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    let segment = stage.disk.segments()[0].clone();
    for last in 1..=12 {
        let before = stage.disk.bytes(&segment);
        append(&mut writer, [last]);
        let after = stage.disk.bytes(&segment);
        let words = changed_words(&before, &after);
        // In the header of the chunk only one word is stored.
        let (committed, frame): (Vec<usize>, Vec<usize>) =
            words.iter().partition(|at| **at % PAGE == COMMITTED_AT);
        assert_eq!(committed.len(), 1, "{words:?}");
        let earlier: Vec<u64> = (1..last).collect();
        // In whichever order the frame itself is stored.
        let backwards: Vec<usize> = frame.iter().rev().copied().collect();
        for order in [&frame, &backwards] {
            for stored in 0..=order.len() {
                let image = with_words(&before, &after, &order[..stored]);
                assert_eq!(found_in(&stage, &segment, &image), earlier, "{stored} words of event {last}");
            }
        }
        assert_eq!(found_in(&stage, &segment, &after), (1..=last).collect::<Vec<_>>());
    }
}

#[test]
fn a_chunk_that_is_half_leased_is_none() {
    let stage = Stage::new(&["a", "b"]);
    let opened = stage.open();
    wait_for_spare(&stage, 1);
    let mut writers = Vec::new();
    for first in [1, 11, 21] {
        let segment = stage.disk.segments()[0].clone();
        let before = stage.disk.bytes(&segment);
        let mut writer = opened.spool.lease(200).unwrap();
        let after = stage.disk.bytes(&segment);
        let mut words = changed_words(&before, &after);
        assert!(words.len() > 5, "{words:?}");
        // From the end, so that what makes it a header comes last.
        words.reverse();
        let earlier: Vec<u64> = [1, 11, 21].iter().filter(|begin| **begin < first).copied().collect();
        for stored in 0..=words.len() {
            let image = with_words(&before, &after, &words[..stored]);
            assert_eq!(found_in(&stage, &segment, &image), earlier, "{stored} words of chunk {first}");
        }
        append(&mut writer, [first]);
        writers.push(writer);
    }
}

#[test]
fn a_mark_is_there_or_not_and_costs_nothing_either_way() {
    let stage = Stage::new(&["a", "b"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..11);
    let segment = stage.disk.segments()[0].clone();
    let frame_len = writer.written() / 10;
    for done in 1..=9 {
        let before = stage.disk.bytes(&segment);
        writer.chunk().set_done(0, frame_len * done);
        let after = stage.disk.bytes(&segment);
        assert_eq!(changed_words(&before, &after).len(), 1);
        assert_eq!(found_in(&stage, &segment, &before), (u64::from(done)..11).collect::<Vec<_>>());
        assert_eq!(found_in(&stage, &segment, &after), (u64::from(done) + 1..11).collect::<Vec<_>>());
    }
}
