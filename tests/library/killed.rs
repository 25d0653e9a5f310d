//! `kill -9` of an application, and exactly what it had been told is accepted.
//!
//! The application says of each event that it was accepted, once `record` has returned; what it had said stays readable
//! in the pipe when it is dead. So each round knows every accepted event, and of each thread one at most that is in doubt.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use audit_tests::Dir;

use crate::process::lines_by_user;

const ROUNDS: u64 = 12;
const KILLS: u64 = 3;

fn hanging(buffer: &str) -> String {
    format!(
        "[[audit_logger]]\nname = \"out\"\nclass = \"test.Hanging\"\n\
         options = {{ in = \"write\", release = \"never\" }}\n\
         [buffer]\nspool_dir = \"spool\"\n{buffer}"
    )
}

const FILE: &str = "[[audit_logger]]\nname = \"out\"\nclass = \"file.FileAuditLogger\"\n\
                    options = { path = \"out.ndjson\" }\n[buffer]\nspool_dir = \"spool\"\n";

/// A number below `most` that differs from one to the next, and is the same each time.
fn pick(number: u64, most: u64) -> usize {
    ((((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32) % most) as usize
}

fn start(dir: &Dir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_audit-embedder"))
        .args(["tell", dir.path("audit.toml").to_str().expect("a path of ours"), "1000000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the embedder starts")
}

/// Kills it when it has said so much; notes how many events of each of its threads it has said are accepted.
fn kill_after(mut child: Child, said: usize, accepted: &mut BTreeMap<String, u32>) {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // A line is one write into a pipe, which is there as a whole or not at all.
    let mut note = |line: std::io::Result<String>| {
        let line = line.expect("text");
        let (user, number) = line.split_once(' ').expect("a user and a number");
        accepted.insert(user.to_owned(), number.parse::<u32>().expect("a number") + 1);
    };
    lines.by_ref().take(said).for_each(&mut note);
    child.kill().expect("it is there");
    lines.for_each(&mut note);
    child.wait().expect("it is dead");
}

/// Delivers what is in the spool, and compares it with what was accepted: all of it, in the order of each thread, once;
/// and of each thread one event more at most, which was being recorded.
fn deliver_and_compare(dir: &Dir, accepted: &BTreeMap<String, u32>, round: u64) {
    dir.write("audit.toml", FILE);
    let ran = dir.audit_host(&["run"]).run();
    assert_eq!(ran.status, 0, "round {round}: {ran:?}");
    let delivered = lines_by_user(&[dir.path("out.ndjson")]);
    let mut events = 0;
    for (user, numbers) in &delivered {
        let said = accepted.get(user).copied().unwrap_or(0);
        let count = numbers.len() as u32;
        assert!(numbers.iter().copied().eq(0..count), "round {round}, {user}: not in order, or not once");
        assert!((said..=said + 1).contains(&count), "round {round}, {user}: {count} of {said}");
        events += count;
    }
    for (user, said) in accepted {
        assert!(delivered.contains_key(user), "round {round}, {user}: none of {said}");
    }
    let counts = format!("accepted={events} delivered={events} ");
    let summary = ran.summary();
    assert!(
        summary.contains(&counts) && summary.ends_with(&format!(" lost=0 spooled=0 recovered={events}")),
        "{summary}"
    );
    assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0, "round {round}");
}

#[test]
fn what_record_has_accepted_outlives_one_kill_after_the_other_on_the_same_spool() {
    for (round, durability) in (0..ROUNDS).zip(["process", "disk"].into_iter().cycle()) {
        let dir = Dir::new();
        dir.write("audit.toml", hanging(&format!("durability = \"{durability}\"\n")));
        let mut accepted = BTreeMap::new();
        for kill in 0..KILLS {
            kill_after(start(&dir), 1 + pick(round * KILLS + kill, 3000), &mut accepted);
        }
        deliver_and_compare(&dir, &accepted, round);
    }
}

#[test]
fn processes_that_share_a_spool_folder_keep_apart_while_they_live_and_leave_all_when_they_are_killed() {
    for round in 0..ROUNDS {
        let dir = Dir::new();
        dir.write("audit.toml", hanging("disk_for = [\"denied\"]\n"));
        let mut accepted = BTreeMap::new();
        let (one, other) = (start(&dir), start(&dir));
        kill_after(one, 1 + pick(round, 500), &mut accepted);
        // It finds a folder whose owner is gone, and one whose owner lives.
        let third = start(&dir);
        kill_after(third, 1 + pick(round + 100, 500), &mut accepted);
        kill_after(other, 1 + pick(round + 200, 500), &mut accepted);
        deliver_and_compare(&dir, &accepted, round);
    }
}
