//! The file of dead letters: what is read is written and read again as the same, and what was written is read.

use audit_host::event::{LineContent, LineParser, LineReader, MissingOffset};
use audit_host::pipeline::dead_letters::{Entry, Letter, Mark};
use audit_plugin_api::Timestamp;

const EVENT: &str = r#"{"event_id":"019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b","timestamp":"2026-11-24T02:42:00.123456+00:00","action":"read","attributes":[],"granted":true,"bypassed":false,"manager":null,"user_id":null,"user":null,"permissions":[],"metadata":{"a":"\ud800","b":1e999}}"#;

/// A file of dead letters.
pub fn check(file: &[u8]) {
    let mut lines = LineReader::new(file, 1 << 20);
    while let Some(line) = lines.next_line().expect("memory can be read") {
        let LineContent::Bytes(line) = line.content else { continue };
        check_line(line);
    }
    check_written(&String::from_utf8_lossy(file));
}

fn check_line(line: &[u8]) {
    match Entry::parse(line) {
        Ok(Entry::Letter(letter)) => {
            check_letter(&letter);
            // As a replay does: an event of a letter is accepted or refused like any other.
            let (event, mut out) = (letter.event.get().as_bytes(), Vec::new());
            let parsed = LineParser::new(MissingOffset::Refuse).parse(event, 0, Timestamp::now, &mut out);
            assert_eq!(parsed.is_err(), out.is_empty());
            if parsed.is_ok() {
                assert!(letter.event_id().is_none_or(|id| id.len() == 36));
            }
        }
        Ok(Entry::Mark(mark)) => {
            let again = serde_json::to_vec(&mark).expect("JSON");
            let Ok(Entry::Mark(Mark { replayed, at })) = Entry::parse(&again) else {
                panic!("no mark any more")
            };
            assert_eq!((replayed, at), (mark.replayed, mark.at));
        }
        Err(reason) => assert!(!reason.is_empty(), "refused without a reason"),
    }
}

/// Written and read again, it is the same, to the byte of its event.
fn check_letter(letter: &Letter) {
    let mut out = b"before\n".to_vec();
    letter.write(&mut out).expect("a letter can be written");
    let line = out.strip_prefix(b"before\n").and_then(|line| line.strip_suffix(b"\n")).expect("a line");
    assert!(!line.contains(&b'\n'), "more than one line");
    let Ok(Entry::Letter(again)) = Entry::parse(line) else { panic!("no letter any more") };
    assert_eq!(again.event.get(), letter.event.get());
    assert_eq!(format!("{again:?}"), format!("{letter:?}"));
}

/// Whatever the reason and the names hold.
fn check_written(text: &str) {
    let mut parts = text.splitn(3, '\n').chain(std::iter::repeat(""));
    let mut part = || parts.next().unwrap_or_default().to_owned();
    check_letter(&Letter {
        schema: 1,
        id: "019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
        event: serde_json::from_str(EVENT).expect("JSON"),
        sink: part(),
        class: part(),
        reason: part(),
        attempts: text.len() as u64,
        first_failed: "2026-11-24T02:42:00.123456+00:00".to_owned(),
        dead_lettered: "2026-11-24T02:42:00.123456+00:00".to_owned(),
    });
}
