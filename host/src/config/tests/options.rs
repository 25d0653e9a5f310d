//! Options against a manifest, and what is said about a sink later.

use std::path::PathBuf;

use audit_plugin_api::manifest::{ClassSpec, OptionSpec};
use insta::assert_snapshot;
use serde_json::Value;

use super::config;
use crate::config::{ConfigError, SinkConfig, check_options};

fn option(name: &str, types: &[&str], required: bool, values: &[&str], help: &str) -> OptionSpec {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    OptionSpec {
        name: name.into(),
        types: own(types),
        required,
        default: Value::Null,
        values: own(values),
        help: help.into(),
    }
}

fn class() -> ClassSpec {
    ClassSpec {
        class: "file.FileAuditLogger".into(),
        durable: true,
        batch_size: None,
        flush_interval: None,
        max_in_flight: None,
        options: vec![
            option("path", &["string"], true, &[], "File to append to."),
            option(
                "fsync",
                &["float", "string"],
                false,
                &["batch", "never"],
                "Seconds at most between syncs.",
            ),
            option("max_bytes", &["integer"], false, &[], ""),
            option("anything", &[], false, &[], ""),
        ],
    }
}

fn sink(options: &str) -> SinkConfig {
    let toml =
        format!("[audit_logger]\nclass = \"file.FileAuditLogger\"\n\n[audit_logger.options]\n{options}\n");
    config(&toml).sinks.remove(0)
}

fn message(options: &str) -> String {
    check_options(&sink(options), &class()).unwrap_err().to_string()
}

#[test]
fn options_that_the_class_knows_pass() {
    for options in [
        "path = \"a\"",
        "path = \"a\"\nfsync = 1.5\nmax_bytes = 0\nbatch_size = 3",
        "path = \"a\"\nfsync = 1",
        "path = \"a\"\nfsync = \"batch\"\nanything = [{}]",
    ] {
        check_options(&sink(options), &class()).unwrap();
    }
}

#[test]
fn unknown_option() {
    assert_snapshot!(message("path = \"a\"\nmax_byte = 5"), @r"
    audit.toml:6:1: `file.FileAuditLogger` has no option `max_byte`; did you mean `max_bytes`?
      |
    6 | max_byte = 5
      | ^^^^^^^^
      |
      = note: known options: `path`, `fsync`, `max_bytes`, `anything`, `batch_size`, `flush_interval`, `use_worker`, `max_in_flight`
    ");
    assert_snapshot!(message("path = \"a\"\nbatchsize = 5"), @r"
    audit.toml:6:1: `file.FileAuditLogger` has no option `batchsize`; did you mean `batch_size`?
      |
    6 | batchsize = 5
      | ^^^^^^^^^
      |
      = note: known options: `path`, `fsync`, `max_bytes`, `anything`, `batch_size`, `flush_interval`, `use_worker`, `max_in_flight`
    ");
    assert_snapshot!(message("path = \"a\"\nrequired = false"), @r"
    audit.toml:6:1: `file.FileAuditLogger` has no option `required`
      |
    6 | required = false
      | ^^^^^^^^
      |
      = note: `required` belongs beside `options`, not in it
    ");
}

#[test]
fn missing_option() {
    assert_snapshot!(message("fsync = 1"), @r"
    audit.toml:4:1: `file.FileAuditLogger` needs the option `path`
      |
    4 | [audit_logger.options]
      | ^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: `path`: File to append to.
    ");
    let short = config("audit_logger = \"file.FileAuditLogger\"").sinks.remove(0);
    assert_snapshot!(check_options(&short, &class()).unwrap_err(), @r#"
    audit.toml:1:16: `file.FileAuditLogger` needs the option `path`
      |
    1 | audit_logger = "file.FileAuditLogger"
      |                ^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: `path`: File to append to.
    "#);
}

#[test]
fn option_of_a_wrong_type() {
    assert_snapshot!(message("path = [\"a\"]\nfsync = true\nmax_bytes = 1.0"), @r#"
    audit.toml:5:8: wrong type for `path`: expected string, found array
      |
    5 | path = ["a"]
      |        ^^^^^
      |
      = note: `path`: File to append to.

    audit.toml:6:9: wrong type for `fsync`: expected float or string, found boolean
      |
    6 | fsync = true
      |         ^^^^
      |
      = note: `fsync`: Seconds at most between syncs.

    audit.toml:7:13: wrong type for `max_bytes`: expected integer, found float
      |
    7 | max_bytes = 1.0
      |             ^^^
    "#);
}

#[test]
fn option_with_an_unknown_value() {
    assert_snapshot!(message("path = \"a\"\nfsync = \"batches\""), @r#"
    audit.toml:6:9: unknown value `batches` for `fsync`; did you mean `batch`?
      |
    6 | fsync = "batches"
      |         ^^^^^^^^^
      |
      = note: known values: `batch`, `never`
      = note: `fsync`: Seconds at most between syncs.
    "#);
}

#[test]
fn unknown_class() {
    let sink = config("audit_logger = \"file.FileAuditLoger\"").sinks.remove(0);
    let known = ["file.FileAuditLogger".to_owned(), "print.PrintAuditLogger".to_owned()];
    let refused = ["/absent/libx.so is no ELF file: rebuild it".to_owned()];
    let folders = [PathBuf::from("/absent"), PathBuf::from("/")];
    assert_snapshot!(ConfigError::unknown_class(&sink, &known, &folders, &refused), @r#"
    audit.toml:1:16: unknown class `file.FileAuditLoger`; did you mean `file.FileAuditLogger`?
      |
    1 | audit_logger = "file.FileAuditLoger"
      |                ^^^^^^^^^^^^^^^^^^^^^
      |
      = note: known classes: `file.FileAuditLogger`, `print.PrintAuditLogger`
      = note: searched the folder /absent, which does not exist
      = note: searched the folder /
      = note: refused: /absent/libx.so is no ELF file: rebuild it
    "#);
    assert_snapshot!(ConfigError::unknown_class(&sink, &[], &[], &[]), @r#"
    audit.toml:1:16: unknown class `file.FileAuditLoger`
      |
    1 | audit_logger = "file.FileAuditLoger"
      |                ^^^^^^^^^^^^^^^^^^^^^
      |
      = note: no plugin was found
    "#);
}

#[test]
fn what_a_sink_says_about_an_option_points_at_it() {
    let sink = sink(
        "path = \"a\"\nanything = [\n  { host = \"x\" },\n  { host = \"y\", port = 5 },\n]\n\"linger.ms\" = 5",
    );
    assert_snapshot!(ConfigError::option(&sink, "anything[1].host", "`y` has no address"), @r#"
    audit.toml:8:12: sink `file.FileAuditLogger` cannot use the option `anything[1].host`: `y` has no address
      |
    8 |   { host = "y", port = 5 },
      |            ^^^
    "#);
    let line = |path: &str| {
        let error = ConfigError::option(&sink, path, "x");
        let position = error.mistakes()[0].position().unwrap();
        (position.line, position.column)
    };
    assert_eq!(line("anything[1].port"), (8, 24));
    assert_eq!(line("anything[1].absent"), (8, 3));
    assert_eq!(line("anything[7]"), (6, 12));
    assert_eq!(line("linger.ms"), (10, 15));
    assert_eq!(line("linger.ms.x"), (10, 15));
    assert_eq!(line("absent"), (4, 1));
    assert_eq!(line(""), (4, 1));
    assert_eq!(line("?"), (4, 1));
}

#[test]
fn what_else_is_said_about_a_sink_points_at_its_class() {
    let sink = config(
        "[audit_logger]\nname = \"trail\"\nclass = \"file.FileAuditLogger\"\noptions = { path = \"${PASSWORD}\" }",
    )
    .sinks
    .remove(0);
    assert_snapshot!(ConfigError::opening(&sink, "cannot open hunter2:\n\u{1b}[31mno"), @r#"
    audit.toml:3:9: sink `trail` cannot be opened: cannot open ***:\n\u{1b}[31mno
      |
    3 | class = "file.FileAuditLogger"
      |         ^^^^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(ConfigError::option(&sink, ".", "no"), @r#"
    audit.toml:4:11: sink `trail` cannot use its options: no
      |
    4 | options = { path = "${PASSWORD}" }
      |           ^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}
