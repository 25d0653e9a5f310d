//! Brokers that cannot be reached when the program starts: it says so within seconds, and events wait.

use std::time::Instant;

use audit_tests::Dir;

use crate::cluster::Cluster;
use crate::refusals::{EVENT, SECONDS, run};
use crate::{TOPIC, dead_letters, kafka_dir};

/// `run` says within seconds, and in the dead letter, why no broker could be reached.
fn assert_said(dir: &Dir, words: &str) {
    let ran = run(dir, &["run"], EVENT);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("no broker could be reached within 3 s"), "{ran:?}");
    assert!(ran.stderr.contains(words), "{ran:?}");
    assert!(
        ran.stderr.contains("accepted=1 delivered=0 ") && ran.stderr.contains("dead_lettered=1"),
        "{ran:?}"
    );
    let letters = dead_letters(dir);
    let reason = letters[0]["reason"].as_str().expect("a reason");
    assert!(letters.len() == 1 && reason.contains(words), "{letters:?}");
}

#[test]
fn brokers_that_cannot_be_reached_are_named_and_the_events_are_kept() {
    let dir = kafka_dir("127.0.0.1:9", "[delivery]\nshutdown_timeout = 2\n");
    assert_said(&dir, "Connection refused");
    let checked = run(&dir, &["check", "--probe"], "");
    assert_eq!(checked.status, 2, "{checked:?}");
    assert!(format!("{checked:?}").contains("Connection refused"), "{checked:?}");
}

#[test]
fn a_host_name_that_nobody_knows_is_named_and_nothing_hangs() {
    // A part of a name has 63 characters at most: no name service has to be asked, and waited for.
    let servers = format!("{}.invalid:9092", "x".repeat(64));
    let dir = kafka_dir(&servers, "[delivery]\nshutdown_timeout = 2\n");
    assert_said(&dir, &format!("Failed to resolve '{servers}'"));
}

#[test]
fn events_wait_for_a_broker_that_comes_up_after_the_program() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1);
    cluster.kill(1);
    let dir = kafka_dir(&cluster.servers(), "");
    let started = Instant::now();
    let mut running = dir.audit_host(&["run"]).start();
    running.send(&EVENT.repeat(100));
    running.wait_for("no broker could be reached within 3 s");
    assert!(started.elapsed() < SECONDS, "it was said after {:?}", started.elapsed());
    cluster.resume(1);
    drop(running.stdin.take());
    let ran = running.end();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.summary().contains("accepted=100 delivered=100 "), "{ran:?}");
    assert_eq!(cluster.consume(TOPIC).len(), 100);
}
