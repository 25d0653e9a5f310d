//! The sinks of today are not those of yesterday.

use super::stage::*;
use crate::spool::format::chunk_header_len;

/// A killed process with sinks a and b left frames 1 to 10; a has the first 6 and b the first 3.
fn left_behind() -> Stage {
    left_behind_by([6, 3])
}

/// As [`left_behind`]; of the frames, a and b have so many.
fn left_behind_by([a, b]: [u32; 2]) -> Stage {
    let stage = Stage::new(&["a", "b"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..11);
    let frame_len = writer.written() / 10;
    writer.chunk().set_done(0, frame_len * a);
    writer.chunk().set_done(1, frame_len * b);
    stage.killed()
}

fn from(first: u64) -> Vec<u64> {
    (first..11).collect()
}

#[test]
fn the_order_in_the_configuration_does_not_matter() {
    let opened = left_behind().for_sinks(&["b", "a"]).open();
    assert_eq!(owed(&opened.backlog, 0), from(4));
    assert_eq!(owed(&opened.backlog, 1), from(7));
}

#[test]
fn a_renamed_sink_gets_what_was_owed_to_the_old_name() {
    let opened = left_behind().for_sinks(&["a", "c"]).open();
    assert_eq!(owed(&opened.backlog, 0), from(7));
    assert_eq!(owed(&opened.backlog, 1), from(4));
    assert!(opened.backlog.unowed.is_empty());
}

#[test]
fn an_added_sink_gets_nothing_old() {
    let opened = left_behind().for_sinks(&["a", "b", "c"]).open();
    assert_eq!(owed(&opened.backlog, 1), from(4));
    assert!(owed(&opened.backlog, 2).is_empty());
    settle(&opened.backlog);
    opened.spool.close();
}

/// As [`left_behind`], with the frame of this number damaged.
fn damaged(sequence: usize) -> Stage {
    damage(left_behind(), sequence)
}

fn damage(stage: Stage, sequence: usize) -> Stage {
    let at = PAGE + chunk_header_len(2) + (sequence - 1) * 152 + 100;
    stage.disk.flip(&stage.disk.segments()[0], at, 0x40);
    stage
}

fn losers(opened: &Opened) -> Vec<(u64, u32)> {
    opened.backlog.gaps.iter().map(|gap| (gap.count, gap.owed)).collect()
}

#[test]
fn a_damaged_event_is_lost_for_those_who_are_to_get_it() {
    assert_eq!(losers(&damaged(2).open()), []);
    assert_eq!(losers(&damaged(5).open()), [(1, 0b10)]);
    assert_eq!(losers(&damaged(8).open()), [(1, 0b11)]);
    // It may have been any.
    let stage = left_behind();
    stage.disk.put(&stage.disk.segments()[0], &[0xa5; SEGMENT]);
    assert_eq!(losers(&stage.open()), [(1, 0b11)]);
}

#[test]
fn a_damaged_event_is_lost_for_whoever_stands_for_the_one_who_was_to_get_it() {
    assert_eq!(losers(&damaged(5).for_sinks(&["a", "c"]).open()), [(1, 0b10)]);
    assert_eq!(losers(&damaged(8).for_sinks(&["a", "b", "added"]).open()), [(1, 0b11)]);
    let mut stage = damaged(5).for_sinks(&["a"]);
    stage.options.heirs_of_all = true;
    assert_eq!(losers(&stage.open()), [(1, 0b1)]);
}

#[test]
fn damage_of_what_only_a_removed_sink_was_to_get_stays_until_it_is_back() {
    // Also where nothing else is left for it.
    for stage in [damaged(5), damage(left_behind_by([10, 9]), 10)] {
        let stage = stage.for_sinks(&["a"]);
        let opened = stage.open();
        assert_eq!(losers(&opened), []);
        settle(&opened.backlog);
        opened.spool.close();

        let back = stage.for_sinks(&["a", "b"]);
        let mut opened = back.open();
        assert_eq!(losers(&opened), [(1, 0b10)]);
        settle(&opened.backlog);
        opened.backlog.gaps.drain(..).for_each(|gap| gap.heal().unwrap());
        opened.spool.close();
        assert!(back.disk.segments().is_empty());
    }
}

#[test]
fn what_is_owed_to_a_removed_sink_stays_until_it_is_back() {
    let stage = left_behind().for_sinks(&["a"]);
    let opened = stage.open();
    assert_eq!(owed(&opened.backlog, 0), from(7));
    assert_eq!(opened.backlog.unowed, [("b".to_owned(), 7)]);
    settle(&opened.backlog);
    opened.spool.close();

    let back = stage.for_sinks(&["a", "b"]);
    let opened = back.open();
    assert!(owed(&opened.backlog, 0).is_empty());
    assert_eq!(owed(&opened.backlog, 1), from(4));
    settle(&opened.backlog);
    opened.spool.close();
    assert!(back.disk.files().is_empty());
}

#[test]
fn two_new_sinks_both_get_what_was_owed_to_either_old_one_and_only_then_it_is_done() {
    let stage = left_behind().for_sinks(&["c", "d"]);
    let opened = stage.open();
    // Owed to either of the old ones.
    assert_eq!(owed(&opened.backlog, 0), from(4));
    assert_eq!(owed(&opened.backlog, 1), from(4));
    for part in &opened.backlog.parts {
        part.chunk.set_done(0, part.to);
    }
    let half = stage.killed();
    assert_eq!(owed(&half.open().backlog, 1), from(4), "d has not had them");
    settle(&opened.backlog);
    opened.spool.close();
    assert!(stage.disk.files().is_empty());
}

#[test]
fn heirs_of_all_get_what_any_sink_was_to_get() {
    let mut stage = left_behind().for_sinks(&["elsewhere"]);
    stage.options.heirs_of_all = true;
    let opened = stage.open();
    assert_eq!(owed(&opened.backlog, 0), from(4));
    assert!(opened.backlog.unowed.is_empty());
    settle(&opened.backlog);
    opened.spool.close();
    assert!(stage.disk.files().is_empty());
}

#[test]
fn offered_marks_of_a_renamed_sink_count() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..5);
    writer.chunk().set_offered(0, writer.written() / 2);
    let next = stage.killed().for_sinks(&["z"]).open();
    assert_eq!(next.backlog.parts.iter().map(|part| part.offered[0]).collect::<Vec<_>>(), [2]);
}

#[test]
fn thirty_one_sinks_are_kept_apart_and_thirty_two_refused() {
    let names: Vec<String> = (0..32).map(|sink| format!("sink{sink}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stage = Stage::new(&names[..31]);
    let opened = stage.open();
    let mut writer = opened.spool.lease(200).unwrap();
    append(&mut writer, 1..11);
    let frame_len = writer.written() / 10;
    for sink in 0..31 {
        writer.chunk().set_done(sink, frame_len * (sink as u32 % 10));
    }
    let next = stage.killed().open();
    for sink in 0..31 {
        assert_eq!(owed(&next.backlog, sink), from(sink as u64 % 10 + 1));
    }
    let too_many = stage.for_sinks(&names);
    let error = too_many.try_open().err().unwrap();
    assert_eq!(
        error.to_string(),
        "32 sinks are configured, but a spool keeps marks for 31 at most: configure fewer, or leave spool_dir out"
    );
    let long = "x".repeat(20_000);
    let error = too_many.for_sinks(&[&long]).try_open().err().unwrap();
    assert!(error.to_string().contains("give them shorter names"), "{error}");
}
