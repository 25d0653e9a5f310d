//! Flipped bits in a real spool: what is lost is exactly what is missing, and it is told.
//!
//! `AUDIT_DAMAGE_ROUNDS=2000 cargo test -p audit-host -p audit-tests --test binary --test cli spool_damage` for more rounds.

use std::fs;
use std::path::PathBuf;

use audit_tests::Dir;
use audit_tests::oracle::{Repeats, Summary};

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

#[test]
fn what_flipped_bits_cost_is_missing_counted_and_told_and_nothing_else_is() {
    let rounds =
        std::env::var("AUDIT_DAMAGE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let input = canonical(2000);
    let left = Dir::with(&(config(HANGING) + "[delivery]\nshutdown_timeout = 0.2\n"));
    let ran = left.audit_host(&["run"]).input(input.join("\n")).run();
    assert!(ran.summary().ends_with(" spooled=2000 recovered=0"), "{ran:?}");
    let mut lost = 0;
    for round in 0..rounds {
        let mut watched = Watched::new(format!("round {round}"), &config(FILE), &["out"], Repeats::Never);
        watched.begin(&input);
        watched.accepted(&input);
        watched.dir.copy_spool_of(&left);
        let segments = segments(&watched.dir);
        for flip in 0..1 + round % 4 {
            let number = round * 10 + flip;
            let path = &segments[pick(number, segments.len())];
            let mut bytes = fs::read(path).expect("a segment");
            // Anywhere among what was written: headers, marks, frames, and the unused ends of chunks.
            let used = bytes.iter().rposition(|byte| *byte != 0).expect("something") + 1;
            bytes[pick(number + 5, used)] ^= 1 << pick(number, 8);
            fs::write(path, bytes).expect("written");
        }
        let ran = watched.run(&[]);
        let summary = Summary::of(ran.summary()).totals;
        assert_eq!(ran.status, i32::from(summary.count("lost") > 0), "round {round}: {ran:?}");
        lost += summary.count("lost");
        watched.oracle.assert(&format!("round {round}"));
        // The gap was told once, and is not told again.
        let again = watched.run(&[]);
        assert_eq!(Summary::of(again.summary()).totals.count("accepted"), 0, "round {round}: {again:?}");
    }
    assert!(lost > rounds / 2, "{lost}");
}
