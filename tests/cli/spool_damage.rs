//! Flipped bits in a real spool: what is lost is exactly what is missing, and it is told.
//!
//! `AUDIT_DAMAGE_ROUNDS=2000 cargo test -p audit-host -p audit-tests --test binary --test cli spool_damage` for more rounds.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use audit_tests::oracle::{Repeats, Summary};
use audit_tests::{Dir, Ran};

use crate::watched::{Watched, canonical};

/// Rounds without `AUDIT_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 15;

fn config(sink: &str) -> String {
    format!(
        "[[audit_logger]]\nname = \"out\"\n{sink}\n[buffer]\nspool_dir = \"spool\"\nspool_max_bytes = 8388608\n\
         max_event_bytes = 65536\n"
    )
}

const FILE: &str = "class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\" }";
const HANGING: &str = "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\" }";

fn rounds() -> u64 {
    std::env::var("AUDIT_DAMAGE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))
}

/// The segments of the only folder in the spool.
fn segments(dir: &Dir) -> Vec<PathBuf> {
    let folder = fs::read_dir(dir.path("spool")).expect("the spool").next().expect("a folder").expect("read");
    let files = fs::read_dir(folder.path()).expect("the folder").map(|file| file.expect("a file").path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    segments.sort();
    segments
}

/// A number below `most` that differs from one to the next, and is the same each time.
fn pick(number: u64, most: usize) -> usize {
    (((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % most as u64) as usize
}

/// Flips some bits of these segments, anywhere among what was written: headers, marks, frames, and the unused ends of chunks.
fn flip_bits(segments: &[PathBuf], round: u64) {
    for flip in 0..1 + round % 4 {
        let number = round * 10 + flip;
        let path = &segments[pick(number, segments.len())];
        let bytes = fs::read(path).expect("a segment");
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("something") + 1;
        let at = pick(number + 5, used);
        let file = File::options().write(true).open(path).expect("a segment");
        file.write_all_at(&[bytes[at] ^ 1 << pick(number, 8)], at as u64).expect("written");
    }
}

/// What a run has lost is what is missing, and was told once. How many that is.
fn lost_and_told_once(watched: &mut Watched, ran: &Ran, round: u64) -> u64 {
    let lost = Summary::at_end_of(ran).totals.count("lost");
    assert_eq!(ran.status, i32::from(lost > 0), "round {round}: {ran:?}");
    watched.oracle.assert(&format!("round {round}"));
    // The gap is not told again.
    let again = watched.run(&[]);
    assert_eq!(Summary::at_end_of(&again).totals.count("accepted"), 0, "round {round}: {again:?}");
    lost
}

/// A spool in which a process has left these events.
fn left_behind(input: &[String]) -> Dir {
    let left = Dir::with(&(config(HANGING) + "[delivery]\nshutdown_timeout = 0.2\n"));
    let ran = left.audit_host(&["run"]).input(input.join("\n")).run();
    assert!(ran.summary().ends_with(" spooled=2000 recovered=0"), "{ran:?}");
    left
}

#[test]
fn what_flipped_bits_cost_is_missing_counted_and_told_and_nothing_else_is() {
    let rounds = rounds();
    let input = canonical(2000);
    let left = left_behind(&input);
    let mut lost = 0;
    for round in 0..rounds {
        let mut watched = Watched::new(format!("round {round}"), &config(FILE), &["out"], Repeats::Never);
        watched.begin(&input);
        watched.accepted(&input);
        watched.dir.copy_spool_of(&left);
        flip_bits(&segments(&watched.dir), round);
        let ran = watched.run(&[]);
        lost += lost_and_told_once(&mut watched, &ran, round);
    }
    assert!(lost > rounds / 2, "{lost}");
}

#[test]
fn bits_that_flip_while_a_sink_is_behind_cost_what_is_missing_counted_and_told_and_nothing_else() {
    let input = canonical(2000);
    let left = left_behind(&input);
    let waiting =
        "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"go on\", path = \"out.ndjson\" }";
    let config = config(waiting) + "[delivery]\nshutdown_timeout = 60\n";
    let mut lost = 0;
    for round in 0..rounds() {
        let mut watched = Watched::new(format!("round {round}"), &config, &["out"], Repeats::Never);
        watched.begin(&input);
        watched.accepted(&input);
        watched.dir.copy_spool_of(&left);
        let segments = segments(&watched.dir);
        watched.dir.write("empty.ndjson", "");
        let life = watched.begin(&[]);
        let empty = watched.dir.path("empty.ndjson");
        let arguments = ["run", "--summary", "json", empty.to_str().expect("a path of ours")];
        let mut running = watched.dir.audit_host(&arguments).start();
        running.wait_for("events of an earlier process are delivered first");
        // All but the first of it has still to be read.
        flip_bits(&segments, round);
        watched.dir.write("go on", "");
        let ran = running.end();
        watched.ended(life, &ran);
        lost += lost_and_told_once(&mut watched, &ran, round);
    }
    assert!(lost > 0);
}
