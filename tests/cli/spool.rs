//! The crash-safe buffer, as whoever runs the program sees it.

use audit_tests::{Dir, set_mode};

use crate::{EVENT, FILE, PRINT};

/// A folder in which `run` writes to a file, with these lines under `[buffer]`.
fn spool_dir(buffer: &str) -> Dir {
    Dir::with(&format!("{FILE}[buffer]\nspool_dir = \"spool\"\n{buffer}"))
}

#[test]
fn a_sink_that_is_not_durable_is_refused_with_durability_disk_only() {
    let spool = "[buffer]\nspool_dir = \"spool\"\n";
    let dir = Dir::with(&format!("{PRINT}{spool}durability = \"disk\"\n"));
    for command in ["run", "check"] {
        let ran = dir.audit_host(&[command]).input(EVENT).run();
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{command}: {ran:?}");
        for text in
            ["audit.toml:3:", "`print.PrintAuditLogger`", "durability = \"process\"", "file.FileAuditLogger"]
        {
            assert!(ran.stderr.contains(text), "{command}: no {text:?} in {}", ran.stderr);
        }
    }
    for buffer in ["durability = \"process\"\n", "disk_for = [\"denied\"]\n"] {
        dir.write("audit.toml", format!("{PRINT}{spool}{buffer}"));
        let ran = dir.audit_host(&["check"]).run();
        assert_eq!(ran.status, 0, "{buffer}: {ran:?}");
    }
    assert_eq!(spool_dir("durability = \"disk\"\n").audit_host(&["check"]).run().status, 0);
}

#[test]
fn disk_for_beside_durability_disk_is_said_to_have_no_effect() {
    let dir = spool_dir("durability = \"disk\"\ndisk_for = [\"denied\"]\n");
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("`disk_for` has no effect"), "{ran:?}");
    let ran = spool_dir("disk_for = [\"denied\"]\n").audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_check_says_what_becomes_of_the_spool_and_makes_nothing() {
    let dir = spool_dir("");
    let check = || dir.audit_host(&["check", "--format", "json"]).run().json()["spool"].clone();
    let spool = check();
    assert_eq!(spool["place"], "to_be_made");
    assert!(
        spool["dir"].as_str().is_some_and(|path| path.starts_with('/') && path.ends_with("/spool")),
        "{spool}"
    );
    assert!(!dir.path("spool").exists());
    std::fs::create_dir(dir.path("spool")).expect("a folder");
    set_mode(&dir.path("spool"), 0o700);
    assert_eq!(check()["place"], "usable");
    let ran = dir.audit_host(&["check", "--probe"]).run();
    assert!(ran.stdout.contains("/spool is there, and can be used"), "{ran:?}");
    assert_eq!(std::fs::read_dir(dir.path("spool")).expect("a folder").count(), 0);
}

#[test]
fn a_check_refuses_a_spool_that_others_may_write() {
    let dir = spool_dir("");
    std::fs::create_dir(dir.path("spool")).expect("a folder");
    set_mode(&dir.path("spool"), 0o703);
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("(spool_dir)") && ran.stderr.contains("chmod o-w"), "{ran:?}");
}

#[test]
fn the_summary_counts_what_the_spool_keeps_and_kept() {
    let dir = spool_dir("");
    let ran = dir.audit_host(&["run"]).input(EVENT).run();
    assert_eq!(
        ran.summary(),
        "audit-host: accepted=1 delivered=1 retried=0 dead_lettered=0 dropped=0 rejected=0 lost=0 spooled=0 recovered=0"
    );
    let ran = dir.audit_host(&["run", "--summary", "json"]).input(EVENT).run();
    let summary: serde_json::Value = serde_json::from_str(ran.summary()).expect("JSON");
    assert_eq!((&summary["spooled"], &summary["recovered"]), (&0.into(), &0.into()));
}
