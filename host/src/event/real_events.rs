//! The 5,000 lines that general_manager itself wrote, against an independent script's canonical form of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use audit_plugin_api::event::json::Reader;
use audit_plugin_api::{PermissionAuditEvent, Timestamp, Uuid};
use sha2::{Digest, Sha256};

use super::frame::{self, Stamp};
use super::input::Members;
use super::{LineContent, LineParser, LineReader, MissingOffset, canonical, spelling};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Our canonical lines of a file, all of them.
fn canonical_lines(input: &[u8]) -> Vec<u8> {
    let mut parser = LineParser::new(MissingOffset::Refuse);
    let mut reader = LineReader::new(input, 1 << 20);
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().expect("reading from memory") {
        let LineContent::Bytes(bytes) = line.content else { panic!("line {} is too long", line.number) };
        parser.parse(bytes, line.offset, Timestamp::now, &mut lines).expect("a real event");
    }
    lines
}

fn real_events() -> Vec<u8> {
    fs::read(Path::new(REPOSITORY).join("examples/permission-events.ndjson")).expect("the example is there")
}

/// Without the member that general_manager does not write.
fn without_ids(lines: &[u8]) -> String {
    let lines = str::from_utf8(lines).expect("canonical lines are UTF-8");
    lines.lines().map(|line| format!("{{{}\n", &line[r#"{"event_id":"","#.len() + 36..])).collect()
}

#[test]
fn all_real_events_equal_an_independent_scripts_canonical_form() {
    let input = real_events();
    let ours = without_ids(&canonical_lines(&input));
    assert_eq!(ours.lines().count(), 5_000);

    let folder = Path::new(REPOSITORY).join("tests/canonical");
    // A digest of the script's output stands in for it where there is no Python.
    if let Ok(script) = run_script(&folder.join("canonical.py")) {
        for (number, (ours, theirs)) in ours.lines().zip(script.lines()).enumerate() {
            assert_eq!(ours, theirs, "line {}", number + 1);
        }
        assert_eq!(ours, script);
    }
    let expected = fs::read_to_string(folder.join("expected.sha256")).expect("the digest is there");
    let digest: String = Sha256::digest(ours).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected.trim());
}

fn run_script(script: &Path) -> std::io::Result<String> {
    let input = fs::File::open(Path::new(REPOSITORY).join("examples/permission-events.ndjson"))?;
    let output = Command::new("python3").arg(script).stdin(input).stderr(Stdio::inherit()).output()?;
    assert!(output.status.success(), "the script ended with {}", output.status);
    Ok(String::from_utf8(output.stdout).expect("the script writes UTF-8"))
}

#[test]
fn all_real_events_have_a_spelling_that_is_read_quickly_before_and_after() {
    let theirs = real_events();
    for lines in [canonical_lines(&theirs), theirs] {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let reader = Reader::new(line).expect("UTF-8");
            let read = spelling::read(&reader, &mut Members::default(), &mut Vec::new());
            assert_eq!(read, Some(()), "{}", String::from_utf8_lossy(line));
        }
    }
}

#[test]
fn our_output_is_known_to_be_canonical() {
    let lines = canonical_lines(&real_events());
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for line in lines {
        let reader = Reader::new(line).expect("UTF-8");
        assert!(canonical::read(&reader).is_some(), "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn our_output_read_again_gives_identical_bytes() {
    let first = canonical_lines(&real_events());
    assert!(canonical_lines(&first) == first);
}

#[test]
fn the_same_file_read_twice_gives_the_same_ids_and_no_id_twice() {
    let input = real_events();
    let lines = canonical_lines(&input);
    assert!(canonical_lines(&input) == lines);
    let lines = str::from_utf8(&lines).expect("canonical lines are UTF-8");
    let ids: std::collections::HashSet<_> = lines.lines().map(|line| &line[13..49]).collect();
    assert_eq!(ids.len(), 5_000);
}

#[test]
fn a_real_event_is_the_same_as_struct_frame_and_line() {
    let lines = canonical_lines(&real_events());
    let (mut frames, mut written, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event = PermissionAuditEvent::from_canonical(line).expect("a canonical line");
        assert_eq!(frame::canonical_len(&event), line.len());
        let stamp = Stamp {
            sequence: 0,
            timestamp: event.timestamp.expect("a time"),
            event_id: event.event_id.unwrap_or(Uuid::nil()),
            flags: 0,
        };
        frame::push_event(&event, stamp, &mut frames);
    }
    assert_eq!(frame::write_lines(&frames, &mut written, &mut entries), 5_000);
    assert!(written == lines);
}
