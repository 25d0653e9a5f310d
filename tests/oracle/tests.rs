//! The oracle itself: it is content with what is right, and rejects each kind of violation.

#![forbid(unsafe_code)]

use audit_tests::oracle::{Follow, Journal, Kind, Left, Life, Oracle, Outcome, Repeats, Summary};

/// The canonical line of an event of this number, as far as the oracle looks at it.
fn line(number: u32) -> String {
    format!("{{\"event_id\":\"id-{number}\",\"attributes\":[\"{number}\"]}}")
}

fn text(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| line(number) + "\n").collect()
}

fn letters(numbers: impl IntoIterator<Item = u32>) -> String {
    let letter = |number| format!("{{\"schema\":1,\"event\":{},\"sink\":\"out\"}}\n", line(number));
    numbers.into_iter().map(letter).collect()
}

fn gap(count: u32) -> String {
    format!(
        "{{\"event_id\":\"gap\",\"action\":\"mutation\",\"manager\":\"audit_host\",\
         \"metadata\":{{\"audit_host\":{{\"kind\":\"gap\",\"count\":{count}}}}}}}\n"
    )
}

/// An oracle that knows of events 0 to 10, all of them accepted, in a life of one sink `out`.
fn accepted(repeats: Repeats) -> (Oracle, Life) {
    let mut oracle = Oracle::new(&["out"], repeats);
    let life = oracle.begin();
    issue(&mut oracle, life, "producer", 0..10);
    (oracle, life)
}

fn issue(oracle: &mut Oracle, life: Life, producer: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        oracle.issue(life, producer, &line(number));
        oracle.note(&format!("id-{number}"), Outcome::Accepted);
    }
}

fn delivered(accepted: u64) -> Summary {
    Summary::of(&format!("audit-host: accepted={accepted} delivered={accepted} lost=0"))
}

/// What the oracle objects to.
fn objections(oracle: &Oracle) -> Vec<(Kind, String)> {
    oracle.check().into_iter().map(|violation| (violation.kind, violation.what)).collect()
}

#[track_caller]
fn assert_objects(oracle: &Oracle, kind: Kind, what: &str) {
    let objections = objections(oracle);
    assert!(
        objections.iter().any(|(found, text)| *found == kind && text.contains(what)),
        "no {kind:?} with {what:?} in {objections:?}"
    );
}

#[test]
fn what_is_right_is_right() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..10));
    oracle.ended(life, delivered(10));
    assert_eq!(objections(&oracle), []);
}

#[test]
fn an_accepted_event_that_is_nowhere_is_missing() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text((0..10).filter(|number| *number != 4)));
    assert_eq!(objections(&oracle), [(Kind::Missing, "id-4 of producer".to_owned())]);
}

#[test]
fn each_sink_needs_each_event() {
    let mut oracle = Oracle::new(&["out", "other"], Repeats::Never);
    let life = oracle.begin();
    issue(&mut oracle, life, "producer", 0..1);
    oracle.wrote(life, "out", &text(0..1));
    assert_eq!(oracle.check()[0].place, "other");
    oracle.wrote(life, "other", &text(0..1));
    assert_eq!(objections(&oracle), []);
}

#[test]
fn an_event_whose_call_was_killed_may_be_there_or_not() {
    for is_there in [true, false] {
        let (mut oracle, life) = accepted(Repeats::Never);
        oracle.issue(life, "producer", &line(10));
        oracle.wrote(life, "out", &text(0..if is_there { 11 } else { 10 }));
        assert_eq!(objections(&oracle), []);
    }
}

#[test]
fn an_event_that_was_refused_must_not_be_there() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.issue(life, "producer", &line(10));
    oracle.note("id-10", Outcome::Refused);
    oracle.wrote(life, "out", &text(0..10));
    assert_eq!(objections(&oracle), []);
    oracle.wrote(life, "out", &text(10..11));
    assert_objects(&oracle, Kind::RefusedYetThere, "id-10");
}

#[test]
fn what_was_never_issued_must_not_be_anywhere() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..10));
    oracle.wrote(life, "out", &text(99..100));
    oracle.wrote(life, "a stranger", &text(0..1));
    oracle.dead_lettered(life, "half a let");
    let found = objections(&oracle);
    assert_eq!(found.iter().filter(|(kind, _)| *kind == Kind::NeverIssued).count(), 3, "{found:?}");
}

#[test]
fn other_bytes_are_an_alteration() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..10).replace("[\"7\"]", "[\"8\"]"));
    assert_objects(&oracle, Kind::Altered, "id-7");
}

#[test]
fn a_torn_line_is_normal_only_where_a_process_was_killed() {
    let (mut oracle, life) = accepted(Repeats::AfterKill);
    oracle.wrote(life, "out", &text(0..5));
    oracle.wrote(life, "out", &line(5)[..20]);
    let next = oracle.begin();
    oracle.wrote(next, "out", &text(5..10));
    assert_eq!(objections(&oracle), []);
    oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=5 spooled=5"));
    assert_objects(&oracle, Kind::Torn, "id-5");
}

#[test]
fn each_producer_keeps_its_order_and_producers_may_mix() {
    let mut oracle = Oracle::new(&["out"], Repeats::Never);
    let life = oracle.begin();
    issue(&mut oracle, life, "a", 0..5);
    issue(&mut oracle, life, "b", 5..10);
    oracle.wrote(life, "out", &text([5, 0, 1, 6, 7, 2, 8, 9, 3, 4]));
    assert_eq!(objections(&oracle), []);

    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text([0, 1, 2, 4, 3, 5, 6, 7, 8, 9]));
    assert_eq!(objections(&oracle), [(Kind::OutOfOrder, "id-3 of producer".to_owned())]);
}

#[test]
fn order_counts_across_lives() {
    let (mut oracle, life) = accepted(Repeats::AfterKill);
    oracle.wrote(life, "out", &text(5..8));
    let next = oracle.begin();
    oracle.wrote(next, "out", &text([0, 1, 2, 3, 4, 8, 9]));
    assert_objects(&oracle, Kind::OutOfOrder, "id-0");
}

#[test]
fn an_event_is_there_twice_only_where_that_is_allowed() {
    let twice = |repeats, was_killed: bool| {
        let (mut oracle, life) = accepted(repeats);
        oracle.wrote(life, "out", &text(0..6));
        if !was_killed {
            oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=6 spooled=4"));
        }
        let next = oracle.begin();
        oracle.wrote(next, "out", &text(4..10));
        objections(&oracle).iter().filter(|(kind, _)| *kind == Kind::Repeated).count()
    };
    assert_eq!(twice(Repeats::Never, true), 2);
    assert_eq!(twice(Repeats::AfterKill, true), 0);
    assert_eq!(twice(Repeats::AfterKill, false), 2);
    assert_eq!(twice(Repeats::Anywhere, false), 0);

    let (mut oracle, life) = accepted(Repeats::AfterKill);
    oracle.wrote(life, "out", &text(0..10));
    oracle.wrote(life, "out", &text(9..10));
    assert_objects(&oracle, Kind::Repeated, "id-9");
}

#[test]
fn dead_letters_are_an_end_and_not_a_second_one() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..9));
    oracle.dead_lettered(life, &letters([9]));
    oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=9 dead_lettered=1"));
    assert_eq!(objections(&oracle), []);
    oracle.dead_lettered(life, &letters([3]));
    assert_objects(&oracle, Kind::SettledTwice, "id-3");
    assert_objects(&oracle, Kind::Miscounted, "dead_lettered");
}

#[test]
fn what_is_in_the_spool_is_not_missing_and_counted() {
    let left = |lines: std::ops::Range<u32>, count| Left {
        lines: lines.map(line).collect(),
        by_sink: [("out".to_owned(), count)].into(),
        events: count,
    };
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..6));
    oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=6 spooled=4 recovered=0"));
    oracle.left(left(6..10, 4));
    assert_eq!(objections(&oracle), []);
    oracle.left(left(6..10, 5));
    assert_objects(&oracle, Kind::Miscounted, "what waits in the spool");
    oracle.left(left(7..10, 3));
    assert_objects(&oracle, Kind::Missing, "id-6");
    oracle.left(left(98..100, 2));
    assert_objects(&oracle, Kind::NeverIssued, "id-98");
}

#[test]
fn a_gap_event_accounts_for_what_is_missing_and_for_no_more() {
    let told = |missing: u32, count: u32, lost: u64| {
        let (mut oracle, life) = accepted(Repeats::Never);
        oracle.wrote(life, "out", &text(missing..10));
        oracle.wrote(life, "out", &gap(count));
        let found = u64::from(10 - missing) + 1;
        oracle.ended(
            life,
            Summary::of(&format!("audit-host: accepted={} delivered={found} lost={lost}", found + lost)),
        );
        objections(&oracle)
    };
    assert_eq!(told(2, 2, 2), []);
    assert_eq!(told(2, 1, 1)[0].0, Kind::Miscounted);
    assert_eq!(told(2, 3, 3)[0].0, Kind::Miscounted);
    let [(Kind::Miscounted, what)] = &*told(2, 2, 1) else { panic!() };
    assert!(what.starts_with("`lost` of out"), "{what}");
}

#[test]
fn every_counter_is_counted_anew() {
    let summary = "audit-host: accepted=10 delivered=9 retried=0 dead_lettered=1 dropped=0 rejected=0 lost=0 spooled=0 recovered=0";
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(0..9));
    oracle.dead_lettered(life, &letters([9]));
    oracle.ended(life, Summary::of(summary));
    assert_eq!(objections(&oracle), []);
    for (right, wrong) in [
        ("accepted=10", "accepted=11"),
        ("delivered=9", "delivered=10"),
        ("dead_lettered=1", "dead_lettered=0"),
        ("dropped=0", "dropped=1"),
        ("lost=0", "lost=1"),
        ("spooled=0", "spooled=1"),
        ("recovered=0", "recovered=1"),
        // Also where the sum is right.
        ("accepted=10 delivered=9", "accepted=11 delivered=10"),
        ("delivered=9 retried=0 dead_lettered=1", "delivered=10 retried=0 dead_lettered=0"),
    ] {
        oracle.ended(life, Summary::of(&summary.replace(right, wrong)));
        assert_objects(&oracle, Kind::Miscounted, "");
    }
}

#[test]
fn what_a_sink_that_is_not_required_dropped_is_not_missing_and_counted() {
    let (mut oracle, life) = accepted(Repeats::Never);
    oracle.wrote(life, "out", &text(3..10));
    oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=7 dropped=3"));
    assert_eq!(objections(&oracle), []);
    oracle.ended(life, Summary::of("audit-host: accepted=10 delivered=8 dropped=2"));
    assert_objects(&oracle, Kind::Missing, "id-0");
}

#[test]
fn totals_count_each_event_once_and_sinks_count_for_themselves() {
    let summary = |first: u32| {
        let json = format!(
            r#"{{"accepted":10,"delivered":{first},"dead_lettered":1,"lost":0,"sinks":{{
                "out":{{"accepted":10,"delivered":9,"dead_lettered":1}},"other":{{"accepted":10,"delivered":10}}}}}}"#
        );
        Summary::of(&json)
    };
    let mut oracle = Oracle::new(&["out", "other"], Repeats::Never);
    let life = oracle.begin();
    issue(&mut oracle, life, "producer", 0..10);
    oracle.wrote(life, "out", &text(0..9));
    oracle.wrote(life, "other", &text(0..10));
    oracle.dead_lettered(life, &letters([9]));
    oracle.ended(life, summary(9));
    assert_eq!(objections(&oracle), []);
    oracle.ended(life, summary(10));
    assert_objects(&oracle, Kind::Miscounted, "`delivered` in life 0");
}

#[test]
fn a_journal_tells_what_was_issued_and_what_is_known_of_it_also_when_it_is_torn() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::create(folder.path(), "7-a").expect("a journal");
    for number in 0..3 {
        journal.issue(&line(number)).expect("written");
    }
    journal.note(&line(0), Outcome::Accepted).expect("written");
    journal.note(&line(1), Outcome::Refused).expect("written");
    let path = folder.path().join("7-a");
    let whole = std::fs::read_to_string(&path).expect("text");
    std::fs::write(&path, format!("{whole}+id-")).expect("written");

    let mut oracle = Oracle::new(&["out"], Repeats::Never);
    let life = oracle.begin();
    oracle.read_journals(life, folder.path());
    assert_eq!(oracle.accepted(), 1);
    assert_eq!(objections(&oracle), [(Kind::Missing, "id-0 of 7-a".to_owned())]);
    oracle.wrote(life, "out", &text([0, 2]));
    assert_eq!(objections(&oracle), []);
    oracle.wrote(life, "out", &text([1]));
    assert_objects(&oracle, Kind::RefusedYetThere, "id-1");
}

#[test]
fn a_line_that_is_torn_within_a_character_is_shown_up_to_there_and_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("out.ndjson");
    let line = "one\ntwo ü\n".as_bytes();
    std::fs::write(&path, &line[..line.len() - 2]).expect("written");
    let mut follow = Follow::new(path.clone());
    assert_eq!(follow.more(), "one\ntwo ");
    std::fs::write(&path, line).expect("written");
    assert_eq!(follow.more(), "two ü\n");
}
