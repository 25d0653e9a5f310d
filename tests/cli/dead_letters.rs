//! Dead letters: from a run to their replay.

use audit_tests::{Dir, Ran};
use serde_json::Value;

use crate::event_ids;

/// Two sinks: `good` takes everything, `bad` refuses what holds `poison`.
fn configuration(poison: &str) -> String {
    format!(
        r#"
        [[audit_logger]]
        name = "good"
        class = "test.Recording"
        options = {{ path = "good.ndjson" }}
        [[audit_logger]]
        name = "bad"
        class = "test.Failing"
        options = {{ path = "bad.ndjson", poison = "{poison}" }}
        "#
    )
}

/// A folder in which `bad` has refused two of three events.
fn dir_with_two_letters() -> Dir {
    let dir = Dir::with(&configuration("delete"));
    let events =
        ["read", "delete", "delete"].map(|action| format!("{{\"action\":\"{action}\",\"granted\":true}}\n"));
    let ran = dir.audit_host(&["run"]).input(events.concat()).run();
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(dir.lines("dead-letters.ndjson").len(), 2);
    dir
}

fn dead_letters(dir: &Dir, arguments: &[&str]) -> Ran {
    dir.audit_host(&[&["dead-letters"], arguments].concat()).run()
}

fn listed(dir: &Dir) -> Vec<Value> {
    let ran = dead_letters(dir, &["list", "--format", "json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.json()["dead_letters"].as_array().expect("a list").clone()
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().expect("an id")
}

#[test]
fn list_and_show_say_what_was_given_up_on_and_why() {
    let dir = dir_with_two_letters();
    let letters = listed(&dir);
    assert_eq!(
        (letters.len(), &letters[0]["sink"], &letters[0]["class"]),
        (2, &"bad".into(), &"test.Failing".into())
    );
    assert_eq!((&letters[0]["reason"], &letters[0]["replayed"]), (&"poison".into(), &Value::Null));
    let text = dead_letters(&dir, &["list"]).stdout;
    assert!(
        text.contains(id(&letters[0])) && text.contains("sink `bad`") && text.contains("poison"),
        "{text}"
    );

    let shown = dead_letters(&dir, &["show", id(&letters[1])]);
    assert_eq!(shown.status, 0);
    assert!(shown.stdout.contains("\"action\":\"delete\""), "{shown:?}");
    let shown = dead_letters(&dir, &["show", id(&letters[1]), "--format", "json"]).json();
    assert_eq!(
        (&shown["event"]["event_id"], &shown["event"]["action"]),
        (&letters[1]["event_id"], &"delete".into())
    );
}

#[test]
fn an_unknown_id_is_status_2_and_nothing_is_sent() {
    let dir = dir_with_two_letters();
    dir.write("audit.toml", configuration("nothing"));
    for command in ["show", "replay"] {
        let ran = dead_letters(&dir, &[command, "019a0000-0000-7000-8000-000000000000"]);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("there is no dead letter 019a0000"), "{ran:?}");
    }
    assert_eq!(listed(&dir).len(), 2);
}

#[test]
fn replay_sends_each_to_its_own_sink_only_and_marks_it() {
    let dir = dir_with_two_letters();
    let letters = listed(&dir);
    let before = dir.read("dead-letters.ndjson");
    dir.write("audit.toml", configuration("nothing"));

    let ran = dead_letters(&dir, &["replay"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!((dir.lines("good.ndjson").len(), dir.lines("bad.ndjson").len()), (3, 3));
    let ids: Vec<_> = letters.iter().map(|letter| letter["event_id"].to_string()).collect();
    assert_eq!(event_ids(&dir.lines("bad.ndjson"))[1..], ids);

    let after = dir.read("dead-letters.ndjson");
    let marks = after.strip_prefix(&before).expect("the file was only appended to");
    let marks: Vec<Value> = marks.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(marks.len(), 2);
    for (mark, letter) in marks.iter().zip(&letters) {
        assert_eq!(mark["replayed"], letter["id"]);
        assert!(mark["at"].is_string());
    }

    assert_eq!(listed(&dir).len(), 0);
    let all = dead_letters(&dir, &["list", "--all", "--format", "json"]).json();
    assert_eq!(all["dead_letters"][1]["replayed"], marks[1]["at"]);
    let again = dead_letters(&dir, &["replay", "--format", "json"]);
    assert_eq!((again.status, &again.json()["replayed"]), (0, &Value::Array(Vec::new())));
    assert_eq!((dir.lines("bad.ndjson").len(), dir.read("dead-letters.ndjson")), (3, after));
}

#[test]
fn only_the_letters_named_are_replayed() {
    let dir = dir_with_two_letters();
    let letters = listed(&dir);
    dir.write("audit.toml", configuration("nothing"));
    let ran = dead_letters(&dir, &["replay", id(&letters[1]), "--format", "json"]);
    assert_eq!((ran.status, &ran.json()["replayed"]), (0, &Value::Array(vec![letters[1]["id"].clone()])));
    assert_eq!(id(&listed(&dir)[0]), id(&letters[0]));
    let again = dead_letters(&dir, &["replay", id(&letters[1])]);
    assert_eq!(again.status, 0);
    assert!(again.stderr.contains("was replayed already"), "{again:?}");
    assert_eq!(dir.lines("bad.ndjson").len(), 2);
}

#[test]
fn a_letter_that_fails_again_stays_and_is_status_1() {
    let dir = dir_with_two_letters();
    let before = dir.read("dead-letters.ndjson");
    let ran = dead_letters(&dir, &["replay", "--format", "json"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.json()["failed"][0]["reason"], "poison");
    assert_eq!(dir.read("dead-letters.ndjson"), before);
}

#[test]
fn of_several_letters_only_those_delivered_are_marked() {
    let dir = Dir::with(&configuration("true"));
    let events = ["read", "delete"].map(|action| format!("{{\"action\":\"{action}\",\"granted\":true}}\n"));
    dir.audit_host(&["run"]).input(events.concat()).run();
    let letters = listed(&dir);
    dir.write("audit.toml", configuration("delete"));
    let ran = dead_letters(&dir, &["replay", "--format", "json"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.json()["replayed"], Value::Array(vec![letters[0]["id"].clone()]));
    assert_eq!(ran.json()["failed"][0]["id"], letters[1]["id"]);
    assert_eq!(id(&listed(&dir)[0]), id(&letters[1]));
}

#[test]
fn letters_of_a_sink_that_is_gone_stay_and_are_said() {
    let dir = dir_with_two_letters();
    dir.write("audit.toml", configuration("nothing").replace("\"bad\"", "\"other\""));
    let ran = dead_letters(&dir, &["replay"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("2 dead letters stay: no sink `bad` is configured"), "{ran:?}");
    assert_eq!(listed(&dir).len(), 2);
}

#[test]
fn damaged_lines_are_told_with_their_number_and_passed_over() {
    let dir = dir_with_two_letters();
    let mut lines = dir.lines("dead-letters.ndjson");
    let torn = lines[0][..lines[0].len() / 2].to_owned();
    lines.insert(1, format!("{torn}\u{1b}[2J"));
    dir.write("dead-letters.ndjson", lines.join("\n") + "\n" + &torn);
    let ran = dead_letters(&dir, &["list"]);
    assert_eq!(ran.status, 0);
    assert!(ran.stderr.contains("dead-letters.ndjson:2: no dead letter"), "{ran:?}");
    assert!(ran.stderr.contains("dead-letters.ndjson:4: no dead letter"), "{ran:?}");
    assert_eq!(listed(&dir).len(), 2);
    dir.write("audit.toml", configuration("nothing"));
    let ran = dead_letters(&dir, &["replay"]);
    assert_eq!((ran.status, listed(&dir).len()), (0, 0), "{ran:?}");
}

#[test]
fn two_replays_do_not_run_at_once() {
    let dir = dir_with_two_letters();
    dir.write("audit.toml", configuration("nothing"));
    let lock = std::fs::File::create(dir.path("dead-letters.ndjson.lock")).expect("a file");
    lock.lock().expect("locked");
    let ran = dead_letters(&dir, &["replay"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("another replay"), "{ran:?}");
    assert_eq!(dir.lines("bad.ndjson").len(), 1);
    // Another test may be starting a program, which has a copy of this for a moment.
    lock.unlock().expect("unlocked");
    assert_eq!(dead_letters(&dir, &["replay"]).status, 0);
}

#[test]
fn without_dead_letters_every_command_has_an_answer() {
    let dir = Dir::with(&configuration("nothing"));
    assert_eq!(listed(&dir).len(), 0);
    let ran = dead_letters(&dir, &["replay"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "replayed 0 dead letters, 0 were not delivered\n"));
    assert_eq!(dead_letters(&dir, &["show", "x"]).status, 2);
}

#[test]
fn a_fifo_in_the_place_of_the_dead_letters_is_an_error_and_no_wait() {
    let dir = Dir::with(&configuration("delete"));
    let made = std::process::Command::new("mkfifo").arg(dir.path("dead-letters.ndjson")).status();
    assert!(made.expect("mkfifo runs").success());
    for command in ["list", "replay"] {
        let ran = dead_letters(&dir, &[command]);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("dead-letters.ndjson cannot be read: it is no regular file"), "{ran:?}");
    }
}

#[test]
fn a_secret_in_the_name_of_a_sink_is_masked_in_every_answer() {
    let sink = |name: &str| {
        format!(
            r#"
            [[audit_logger]]
            name = "to-{name}"
            class = "test.Failing"
            options = {{ path = "bad.ndjson", poison = "read" }}
            "#
        )
    };
    let dir = Dir::with(&sink("${SECRET}"));
    let audit_host =
        |arguments: &[&str]| dir.audit_host(arguments).env("SECRET", "hunter2").input(crate::EVENT).run();
    assert_eq!(audit_host(&["run"]).status, 1);
    let letters = audit_host(&["dead-letters", "list", "--format", "json"]).json();
    let id = id(&letters["dead_letters"][0]);
    for arguments in [&["list"][..], &["show", id], &["show", id, "--format", "json"], &["replay"]] {
        let ran = audit_host(&[&["dead-letters"], arguments].concat());
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");
        assert!(ran.stdout.contains("to-***") || arguments == ["replay"], "{ran:?}");
    }
}
