//! What cannot be run.

use audit_tests::{Dir, set_mode};

use crate::{EVENT, FILE, PRINT, file_dir};

/// `run` and `check` end with status 2 and these words, and no event is taken.
fn assert_unusable(dir: &Dir, expected: &[&str]) {
    for command in ["run", "check"] {
        let ran = dir.audit_host(&[command]).input(EVENT).run();
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{command}: {ran:?}");
        assert!(ran.stderr.starts_with("audit-host: "), "{command}: {ran:?}");
        assert!(!ran.stderr.contains("accepted="), "{command}: {ran:?}");
        for text in expected {
            assert!(ran.stderr.contains(text), "{command}: no {text:?} in {}", ran.stderr);
        }
    }
}

#[test]
fn without_a_logger_nothing_runs() {
    assert_unusable(&Dir::with("[buffer]\n"), &["audit.toml configures no audit logger"]);
}

#[test]
fn without_a_configuration_nothing_runs() {
    let dir = file_dir();
    std::fs::remove_file(dir.path("audit.toml")).expect("removed");
    assert_unusable(&dir, &["there is no audit.toml in the working directory"]);
}

#[test]
fn a_mistake_is_shown_where_it_stands() {
    let dir = Dir::with("audit_logger = \"print.PrintAuditLogger\"\n[bufer]\n");
    assert_unusable(&dir, &["audit-host: audit.toml:2:2: ", "buffer"]);
}

#[test]
fn an_unknown_class_is_answered_with_the_nearest() {
    assert_unusable(
        &Dir::with("audit_logger = \"file.FileLogger\""),
        &["audit.toml:1:", "file.FileAuditLogger"],
    );
}

#[test]
fn an_option_that_the_sink_does_not_know_is_shown_where_it_stands() {
    let dir = Dir::with(&FILE.replace("path =", "pahT = 1, path ="));
    assert_unusable(&dir, &["audit.toml:4:", "pahT"]);
}

#[test]
fn a_plugin_that_others_may_write_is_refused_with_the_chmod() {
    let dir = file_dir();
    set_mode(&dir.path("plugins/libaudit_sink_file.so"), 0o666);
    assert_unusable(&dir, &["libaudit_sink_file.so", "chmod"]);
}

#[test]
fn a_sink_that_cannot_be_opened_is_status_2_for_run_and_for_a_probe() {
    let dir = Dir::with("audit_logger.class = \"test.Panicking\"\naudit_logger.options.in = \"open\"");
    assert_eq!(dir.audit_host(&["check"]).run().status, 0);
    for arguments in [&["run"][..], &["check", "--probe"]] {
        let ran = dir.audit_host(arguments).input(EVENT).run();
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("test.Panicking"), "{ran:?}");
    }
}

#[test]
fn a_plugin_folder_of_the_command_line_must_exist() {
    let dir = file_dir();
    let ran = dir.audit_host(&["check", "--plugin-dir", "nowhere"]).run();
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("nowhere"), "{ran:?}");
}

#[test]
fn plugin_folders_of_the_command_line_come_before_those_of_the_file() {
    let dir = Dir::with(PRINT);
    std::fs::create_dir(dir.path("other")).expect("a folder");
    set_mode(&dir.path("other"), 0o755);
    std::fs::copy(dir.path("plugins/libaudit_sink_print.so"), dir.path("other/mine.so")).expect("copied");
    let ran = dir.audit_host(&["check", "--format", "json", "--plugin-dir", "other"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let plugin = ran.json()["sinks"][0]["plugin"].as_str().expect("a path").to_owned();
    assert!(plugin.ends_with("other/mine.so"), "{plugin}");
}

#[test]
fn the_configuration_is_found_by_option_then_by_variable() {
    let dir = Dir::with("not toml");
    dir.write("good.toml", FILE);
    assert_eq!(dir.audit_host(&["check"]).run().status, 2);
    assert_eq!(dir.audit_host(&["check"]).env("AUDIT_CONFIG", "good.toml").run().status, 0);
    assert_eq!(
        dir.audit_host(&["--config", "good.toml", "check"]).env("AUDIT_CONFIG", "audit.toml").run().status,
        0
    );
}

#[test]
fn secrets_are_masked_wherever_they_may_show() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Failing"
        audit_logger.options = { answers = [{ kind = "permanent", reason = "no entry with ${PASSWORD}" }] }
        "#,
    );
    let secret = "correct horse";
    let run = |arguments: &[&str]| dir.audit_host(arguments).env("PASSWORD", secret).input(EVENT).run();
    let ran = run(&["run", "--log-level", "trace"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("no entry with ***"), "{ran:?}");
    let listed = run(&["dead-letters", "list"]);
    assert!(listed.stdout.contains("no entry with ***"), "{listed:?}");
    dir.write("audit.toml", "audit_logger = { class = \"${PASSWORD}\" }");
    let refused = run(&["check"]);
    assert_eq!(refused.status, 2);
    for text in [&ran.stderr, &listed.stdout, &dir.read("dead-letters.ndjson"), &refused.stderr] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_secret_in_a_name_is_masked_in_summary_log_and_answer() {
    let dir = Dir::with(
        r#"
        [[audit_logger]]
        name = "to ${HOST}"
        class = "test.Recording"
        options = { path = "out.ndjson" }
        [[audit_logger]]
        name = "refusing"
        class = "test.Failing"
        options = { poison = "read" }
        "#,
    );
    let arguments = ["run", "--summary", "json", "--log-format", "json", "--log-level", "trace"];
    for arguments in [&arguments[..], &["check"], &["check", "--probe", "--format", "json"]] {
        let ran = dir.audit_host(arguments).env("HOST", "db-7").input(EVENT).run();
        assert!(!format!("{ran:?}").contains("db-7"), "{ran:?}");
        assert!(format!("{ran:?}").contains("to ***"), "{ran:?}");
    }
}
