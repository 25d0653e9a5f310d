//! `kill -9` of an application, and exactly what `record` had accepted.
//!
//! The application keeps a journal of each of its threads (`audit_tests::oracle`): so each round knows every accepted event,
//! and of each thread one at most that is in doubt.

use audit_tests::modes::{PATIENT, PATIENT_BUFFER};
use audit_tests::oracle::{Left, Life, Oracle, Repeats, Summary};
use audit_tests::{Dir, Running};

const ROUNDS: u64 = 12;
const KILLS: u64 = 3;

fn hanging(buffer: &str) -> String {
    format!(
        "[[audit_logger]]\nname = \"out\"\nclass = \"test.Hanging\"\n\
         options = {{ in = \"write\", release = \"never\" }}\n\
         [buffer]\nspool_dir = \"spool\"\n{buffer}{PATIENT_BUFFER}{PATIENT}"
    )
}

const FILE: &str = "[[audit_logger]]\nname = \"out\"\nclass = \"file.FileAuditLogger\"\n\
                    options = { path = \"out.ndjson\" }\n[buffer]\nspool_dir = \"spool\"\n";

/// A number below `most` that differs from one to the next, and is the same each time.
fn pick(number: u64, most: u64) -> usize {
    ((((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32) % most) as usize
}

fn start(dir: &Dir) -> Running {
    dir.embedder("journal", 1_000_000).start()
}

/// Kills it when it has said so often that an event was accepted, and takes its journals in.
fn kill_after(mut running: Running, said: usize, dir: &Dir, oracle: &mut Oracle) -> Life {
    (0..said).for_each(|_| drop(running.read_line()));
    let journal = dir.path(format!("journal-{}", running.pid()));
    drop(running);
    let life = oracle.begin();
    oracle.read_journals(life, &journal);
    assert!(oracle.accepted() >= said);
    life
}

/// Delivers what is in the spool, which is then all that was accepted, and leaves nothing.
fn deliver(dir: &Dir, mut oracle: Oracle, what: &str) {
    let accepted = oracle.accepted() as u64;
    oracle.left(Left::read(dir));
    oracle.assert(&format!("{what}, in the spool"));
    dir.write("audit.toml", format!("{FILE}{PATIENT}"));
    let ran = dir.audit_host(&["run"]).run();
    assert_eq!(ran.status, 0, "{what}: {ran:?}");
    let life = oracle.begin();
    oracle.wrote(life, "out", &dir.read("out.ndjson"));
    let summary = Summary::at_end_of(&ran);
    assert!(summary.totals.count("recovered") >= accepted && summary.totals.count("lost") == 0, "{ran:?}");
    oracle.ended(life, summary);
    oracle.left(Left::default());
    oracle.assert(what);
    assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0, "{what}");
}

#[test]
fn what_record_has_accepted_outlives_one_kill_after_the_other_on_the_same_spool() {
    for (round, durability) in (0..ROUNDS).zip(["process", "disk"].into_iter().cycle()) {
        let dir = Dir::new();
        dir.write("audit.toml", hanging(&format!("durability = \"{durability}\"\n")));
        let mut oracle = Oracle::new(&["out"], Repeats::Never);
        for kill in 0..KILLS {
            kill_after(start(&dir), 1 + pick(round * KILLS + kill, 3000), &dir, &mut oracle);
        }
        deliver(&dir, oracle, &format!("round {round}"));
    }
}

#[test]
fn processes_that_share_a_spool_folder_keep_apart_while_they_live_and_leave_all_when_they_are_killed() {
    for round in 0..ROUNDS {
        let dir = Dir::new();
        dir.write("audit.toml", hanging("disk_for = [\"denied\"]\n"));
        let mut oracle = Oracle::new(&["out"], Repeats::Never);
        let (one, other) = (start(&dir), start(&dir));
        kill_after(one, 1 + pick(round, 500), &dir, &mut oracle);
        // It finds a folder whose owner is gone, and one whose owner lives.
        let third = start(&dir);
        kill_after(third, 1 + pick(round + 100, 500), &dir, &mut oracle);
        kill_after(other, 1 + pick(round + 200, 500), &dir, &mut oracle);
        deliver(&dir, oracle, &format!("round {round}"));
    }
}
