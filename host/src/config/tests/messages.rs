//! One snapshot for each kind of mistake.

use insta::assert_snapshot;

use super::{message, parse};

#[test]
fn text_that_is_not_toml() {
    assert_snapshot!(message("[audit_logger]\nclass = print.PrintAuditLogger\n"), @r"
    audit.toml:2:9: not valid TOML: string values must be quoted, expected literal string
      |
    2 | class = print.PrintAuditLogger
      |         ^^^^^^^^^^^^^^^^^^^^^^
    ");
    assert_snapshot!(message("[audit_logger"), @r"
    audit.toml:1:14: not valid TOML: unclosed table, expected `]`
      |
    1 | [audit_logger
      |              ^
    ");
    assert_snapshot!(message("[buffer]\nwhen_full = \"block\"\nwhen_full = \"fail\"\n"), @r#"
    audit.toml:3:1: not valid TOML: duplicate key
      |
    3 | when_full = "fail"
      | ^^^^^^^^^
    "#);
}

#[test]
fn unknown_section() {
    assert_snapshot!(message("[audit_loger]\nclass = \"print.PrintAuditLogger\"\n"), @r"
    audit.toml:1:2: unknown key `audit_loger` at the top level; did you mean `audit_logger`?
      |
    1 | [audit_loger]
      |  ^^^^^^^^^^^
      |
      = note: known keys: `audit_logger`, `plugins`, `buffer`, `delivery`
    ");
}

#[test]
fn unknown_key() {
    assert_snapshot!(message("[delivery]\n  retry-max = 3\n"), @r"
    audit.toml:2:3: unknown key `retry-max` in [delivery]; did you mean `retry_max`?
      |
    2 |   retry-max = 3
      |   ^^^^^^^^^
      |
      = note: known keys: `retry_initial`, `retry_max`, `max_attempts`, `open_timeout`, `write_timeout`, `ack_timeout`, `shutdown_timeout`, `dead_letter_path`, `rejected_path`
    ");
    assert_snapshot!(message("[plugins]\ndir = [\"x\"]\n"), @r#"
    audit.toml:2:1: unknown key `dir` in [plugins]; did you mean `dirs`?
      |
    2 | dir = ["x"]
      | ^^^
      |
      = note: known keys: `dirs`, `sha256`, `probe`
    "#);
    assert_snapshot!(message("[buffer]\nfrobnicate = 1\n"), @r"
    audit.toml:2:1: unknown key `frobnicate` in [buffer]
      |
    2 | frobnicate = 1
      | ^^^^^^^^^^
      |
      = note: known keys: `capacity_bytes`, `max_event_bytes`, `when_full`, `block_timeout`, `spool_dir`, `durability`, `spool_max_bytes`, `disk_for`
    ");
}

#[test]
fn worker_option_outside_options() {
    assert_snapshot!(message("[audit_logger]\nclass = \"print.PrintAuditLogger\"\nbatch_size = 5\n"), @r"
    audit.toml:3:1: unknown key `batch_size` in [audit_logger]
      |
    3 | batch_size = 5
      | ^^^^^^^^^^
      |
      = note: known keys: `class`, `name`, `required`, `options`
      = note: the options of worker and sink belong in [audit_logger.options]
    ");
}

#[test]
fn sink_option_outside_options() {
    assert_snapshot!(message("audit_logger = { class = \"file.FileAuditLogger\", path = \"a\" }"), @r#"
    audit.toml:1:50: unknown key `path` in [audit_logger]
      |
    1 | audit_logger = { class = "file.FileAuditLogger", path = "a" }
      |                                                  ^^^^
      |
      = note: known keys: `class`, `name`, `required`, `options`
      = note: the options of worker and sink belong in [audit_logger.options]
    "#);
}

#[test]
fn wrong_type() {
    assert_snapshot!(message("[buffer]\ncapacity_bytes = \"64 MiB\"\n"), @r#"
    audit.toml:2:18: wrong type for `capacity_bytes`: expected integer, found string
      |
    2 | capacity_bytes = "64 MiB"
      |                  ^^^^^^^^
    "#);
    assert_snapshot!(message("[buffer]\nblock_timeout = \"5s\"\n"), @r#"
    audit.toml:2:17: wrong type for `block_timeout`: expected integer or float, found string
      |
    2 | block_timeout = "5s"
      |                 ^^^^
    "#);
    assert_snapshot!(message("[delivery]\nmax_attempts = 3.0\n"), @r"
    audit.toml:2:16: wrong type for `max_attempts`: expected integer, found float
      |
    2 | max_attempts = 3.0
      |                ^^^
    ");
    assert_snapshot!(message("delivery = []\n"), @r"
    audit.toml:1:12: wrong type for `delivery`: expected table, found array
      |
    1 | delivery = []
      |            ^^
    ");
    assert_snapshot!(message("[plugins]\ndirs = \"plugins\"\n"), @r#"
    audit.toml:2:8: wrong type for `dirs`: expected array, found string
      |
    2 | dirs = "plugins"
      |        ^^^^^^^^^
    "#);
    assert_snapshot!(message("audit_logger = 7\n"), @r"
    audit.toml:1:16: wrong type for `audit_logger`: expected string, table or array of tables, found integer
      |
    1 | audit_logger = 7
      |                ^
    ");
    assert_snapshot!(message("audit_logger = [\"print.PrintAuditLogger\"]\n"), @r#"
    audit.toml:1:17: wrong type for `audit_logger`: expected array of tables, found string
      |
    1 | audit_logger = ["print.PrintAuditLogger"]
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(message("audit_logger = { class = \"a.B\", required = \"yes\" }\n"), @r#"
    audit.toml:1:44: wrong type for `required`: expected boolean, found string
      |
    1 | audit_logger = { class = "a.B", required = "yes" }
      |                                            ^^^^^
    "#);
    assert_snapshot!(message("[delivery]\nrejected_path = 2026-11-24\n"), @r"
    audit.toml:2:17: wrong type for `rejected_path`: expected string, found datetime
      |
    2 | rejected_path = 2026-11-24
      |                 ^^^^^^^^^^
    ");
}

#[test]
fn batch_size_of_zero() {
    assert_snapshot!(
        message("[audit_logger]\nclass = \"a.B\"\n[audit_logger.options]\nbatch_size = 0\n"), @r"
    audit.toml:4:14: `batch_size` must be at least 1, not 0
      |
    4 | batch_size = 0
      |              ^
    "
    );
}

#[test]
fn number_out_of_range() {
    assert_snapshot!(message("[delivery]\nmax_attempts = -1\n"), @r"
    audit.toml:2:16: `max_attempts` must be at least 0, not -1
      |
    2 | max_attempts = -1
      |                ^^
    ");
    assert_snapshot!(message("[delivery]\nmax_attempts = 4294967296\n"), @r"
    audit.toml:2:16: `max_attempts` must be at most 4294967295, not 4294967296
      |
    2 | max_attempts = 4294967296
      |                ^^^^^^^^^^
    ");
    assert_snapshot!(message("[delivery]\nmax_attempts = 99999999999999999999\n"), @r"
    audit.toml:2:16: 99999999999999999999 is beyond an integer of 64 bits
      |
    2 | max_attempts = 99999999999999999999
      |                ^^^^^^^^^^^^^^^^^^^^
    ");
    assert_snapshot!(message("[buffer]\ncapacity_bytes = 100\n"), @r"
    audit.toml:2:18: `capacity_bytes` must be at least 4096, not 100
      |
    2 | capacity_bytes = 100
      |                  ^^^
    ");
}

#[test]
fn duration_that_makes_no_sense() {
    assert_snapshot!(message("[delivery]\nretry_max = -0.5\n"), @r"
    audit.toml:2:13: `retry_max` must be 0 seconds or more, not -0.5
      |
    2 | retry_max = -0.5
      |             ^^^^
    ");
    assert_snapshot!(message("[delivery]\nretry_max = nan\n"), @r"
    audit.toml:2:13: `retry_max` must be a number of seconds, not NaN
      |
    2 | retry_max = nan
      |             ^^^
    ");
    assert_snapshot!(message("[delivery]\nretry_max = inf\n"), @r"
    audit.toml:2:13: `retry_max` must be a number of seconds, not inf
      |
    2 | retry_max = inf
      |             ^^^
    ");
    assert_snapshot!(message("[delivery]\nretry_max = 1e12\n"), @r"
    audit.toml:2:13: `retry_max` must be at most 31536000 seconds (a year), not 1000000000000
      |
    2 | retry_max = 1e12
      |             ^^^^
    ");
    assert_snapshot!(message("[delivery]\nretry_max = 1e999\n"), @r"
    audit.toml:2:13: 1e999 is beyond a float of 64 bits
      |
    2 | retry_max = 1e999
      |             ^^^^^
    ");
    assert_snapshot!(message("[delivery]\nwrite_timeout = 0\n"), @r"
    audit.toml:2:17: `write_timeout` must be more than 0 seconds, not 0
      |
    2 | write_timeout = 0
      |                 ^
    ");
    assert_snapshot!(message("[delivery]\nretry_initial = 60\n"), @r"
    audit.toml:2:17: `retry_initial` must be at most `retry_max`, 30 seconds, not 60
      |
    2 | retry_initial = 60
      |                 ^^
    ");
}

#[test]
fn events_larger_than_a_quarter_of_the_store() {
    assert_snapshot!(message("[buffer]\ncapacity_bytes = 4000000\nmax_event_bytes = 1000001\n"), @r"
    audit.toml:3:19: `max_event_bytes` must be at most a quarter of `capacity_bytes`, 1000000 of 4000000, not 1000001
      |
    3 | max_event_bytes = 1000001
      |                   ^^^^^^^
    ");
}

#[test]
fn unknown_word() {
    assert_snapshot!(message("[buffer]\nwhen_full = \"blok\"\n"), @r#"
    audit.toml:2:13: unknown value `blok` for `when_full`; did you mean `block`?
      |
    2 | when_full = "blok"
      |             ^^^^^^
      |
      = note: known values: `block`, `fail`
    "#);
    assert_snapshot!(message("[plugins]\nprobe = \"yes\"\n"), @r#"
    audit.toml:2:9: unknown value `yes` for `probe`
      |
    2 | probe = "yes"
      |         ^^^^^
      |
      = note: known values: `auto`, `always`, `never`
    "#);
}

#[test]
fn class_path_of_one_segment() {
    assert_snapshot!(message("audit_logger = \"PrintAuditLogger\"\n"), @r#"
    audit.toml:1:16: `PrintAuditLogger` is no class path: it takes two segments or more, `module.Class`, such as `print.PrintAuditLogger`
      |
    1 | audit_logger = "PrintAuditLogger"
      |                ^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(message("[audit_logger]\nclass = \"print.\"\n"), @r#"
    audit.toml:2:9: `print.` is no class path: it takes two segments or more, `module.Class`, such as `print.PrintAuditLogger`
      |
    2 | class = "print."
      |         ^^^^^^^^
    "#);
}

#[test]
fn missing_class() {
    assert_snapshot!(message("[[audit_logger]]\nname = \"a\"\n"), @r#"
    audit.toml:1:1: the sink has no `class`: name one, such as `class = "print.PrintAuditLogger"`
      |
    1 | [[audit_logger]]
      | ^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(message("[audit_logger.options]\nprefix = \"a\"\n"), @r#"
    audit.toml:1:2: the sink has no `class`: name one, such as `class = "print.PrintAuditLogger"`
      |
    1 | [audit_logger.options]
      |  ^^^^^^^^^^^^
    "#);
}

#[test]
fn name_that_is_taken_or_empty() {
    assert_snapshot!(message("[[audit_logger]]\nclass = \"a.B\"\n\n[[audit_logger]]\nclass = \"a.B\"\n"), @r#"
    audit.toml:5:9: two sinks are called `a.B`, here and in line 2
      |
    5 | class = "a.B"
      |         ^^^^^
      |
      = note: give each [[audit_logger]] a `name` of its own; without one it is called as its class
    "#);
    assert_snapshot!(
        message("[[audit_logger]]\nname = \"x\"\nclass = \"a.B\"\n[[audit_logger]]\nname = \"x\"\nclass = \"c.D\"\n"), @r#"
    audit.toml:5:8: two sinks are called `x`, here and in line 2
      |
    5 | name = "x"
      |        ^^^
      |
      = note: give each [[audit_logger]] a `name` of its own; without one it is called as its class
    "#
    );
    assert_snapshot!(message("[audit_logger]\nname = \" \"\nclass = \"a.B\"\n"), @r#"
    audit.toml:2:8: `name` is empty: give the sink a name, or leave it out
      |
    2 | name = " "
      |        ^^^
    "#);
}

#[test]
fn pin_that_is_no_hash() {
    assert_snapshot!(message("[plugins]\nsha256 = { \"libaudit_sink_kafka.so\" = \"9f2c\" }\n"), @r#"
    audit.toml:2:39: the SHA-256 of `libaudit_sink_kafka.so` must be 64 hexadecimal digits, but has 4 characters
      |
    2 | sha256 = { "libaudit_sink_kafka.so" = "9f2c" }
      |                                       ^^^^^^
      |
      = note: `sha256sum FILE` prints it
    "#);
    let hash = "x".repeat(64);
    assert_snapshot!(message(&format!("[plugins.sha256]\n\"libaudit_sink_kafka.so\" = \"{hash}\"\n")), @r#"
    audit.toml:2:28: the SHA-256 of `libaudit_sink_kafka.so` must be 64 hexadecimal digits, but has characters that are not
      |
    2 | "libaudit_sink_kafka.so" = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: `sha256sum FILE` prints it
    "#);
    assert_snapshot!(message(&format!("[plugins.sha256]\nkafka = \"{hash}\"\n")), @r#"
    audit.toml:2:1: `kafka` is no plugin's file name: pins are by name, such as `libaudit_sink_print.so`
      |
    2 | kafka = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      | ^^^^^
    "#);
}

#[test]
fn plugin_folder_that_is_none() {
    assert_snapshot!(message("[plugins]\ndirs = [\"absent\", \"/etc/passwd\", \"\"]\n"), @r#"
    audit.toml:2:9: the plugin folder /srv/audit/absent does not exist: make it, or take it out of `dirs`
      |
    2 | dirs = ["absent", "/etc/passwd", ""]
      |         ^^^^^^^^

    audit.toml:2:19: the plugin folder /etc/passwd is not a folder: name the folder that holds the plugins
      |
    2 | dirs = ["absent", "/etc/passwd", ""]
      |                   ^^^^^^^^^^^^^

    audit.toml:2:34: `dirs[2]` is empty, but must be a path
      |
    2 | dirs = ["absent", "/etc/passwd", ""]
      |                                  ^^
    "#);
}

#[test]
fn variable_that_is_not_set() {
    assert_snapshot!(
        message("[audit_logger]\nclass = \"a.B\"\n[audit_logger.options]\nsasl = { user = \"${PASSWORD}\", key = \"a ${KEY} b\" }\n"), @r#"
    audit.toml:4:41: the environment variable `KEY` is not set: set it, or give a default with `${KEY:-default}`
      |
    4 | sasl = { user = "${PASSWORD}", key = "a ${KEY} b" }
      |                                         ^^^^^^
    "#
    );
}

#[test]
fn secret_file_that_is_missing() {
    assert_snapshot!(message("[delivery]\nrejected_path = \"${file:secrets/x}\"\n"), @r#"
    audit.toml:2:18: the secret file /srv/audit/secrets/x cannot be read: No such file or directory (os error 2)
      |
    2 | rejected_path = "${file:secrets/x}"
      |                  ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn expression_that_is_not_closed() {
    assert_snapshot!(message("[delivery]\nrejected_path = \"a ${PASSWORD\"\n"), @r#"
    audit.toml:2:20: `${` without its `}`: close it, or write `$${` for a literal `${`
      |
    2 | rejected_path = "a ${PASSWORD"
      |                    ^^^^^^^^^^
    "#);
}

#[test]
fn keys_of_the_spool_without_its_folder() {
    assert_snapshot!(message("[buffer]\ndurability = \"disk\"\nspool_max_bytes = 1048576\ndisk_for = []\n"), @r#"
    audit.toml:2:1: `durability` needs `spool_dir`, the folder of the crash-safe buffer: name one, or remove `durability`
      |
    2 | durability = "disk"
      | ^^^^^^^^^^
      |
      = note: without `spool_dir` events that wait are kept in memory, and are lost when the process is killed

    audit.toml:3:1: `spool_max_bytes` needs `spool_dir`, the folder of the crash-safe buffer: name one, or remove `spool_max_bytes`
      |
    3 | spool_max_bytes = 1048576
      | ^^^^^^^^^^^^^^^
      |
      = note: without `spool_dir` events that wait are kept in memory, and are lost when the process is killed

    audit.toml:4:1: `disk_for` needs `spool_dir`, the folder of the crash-safe buffer: name one, or remove `disk_for`
      |
    4 | disk_for = []
      | ^^^^^^^^
      |
      = note: without `spool_dir` events that wait are kept in memory, and are lost when the process is killed
    "#);
}

#[test]
fn unknown_words_of_disk_for() {
    assert_snapshot!(message("[buffer]\nspool_dir = \"spool\"\ndisk_for = [\"deny\", \"denied\", \"updated\", 1]\n"), @r#"
    audit.toml:3:13: unknown value `deny` for `disk_for[0]`; did you mean `denied`?
      |
    3 | disk_for = ["deny", "denied", "updated", 1]
      |             ^^^^^^
      |
      = note: known values: `denied`, `granted`, `bypassed`, `create`, `read`, `update`, `delete`, `mutation`

    audit.toml:3:31: unknown value `updated` for `disk_for[2]`; did you mean `update`?
      |
    3 | disk_for = ["deny", "denied", "updated", 1]
      |                               ^^^^^^^^^
      |
      = note: known values: `denied`, `granted`, `bypassed`, `create`, `read`, `update`, `delete`, `mutation`

    audit.toml:3:42: wrong type for `disk_for[3]`: expected string, found integer
      |
    3 | disk_for = ["deny", "denied", "updated", 1]
      |                                          ^
    "#);
}

#[test]
fn spool_too_small_for_an_event() {
    assert_snapshot!(
        message("[buffer]\nspool_dir = \"spool\"\nspool_max_bytes = 2097152\nmax_event_bytes = 1048576\n"), @r"
    audit.toml:3:19: `spool_max_bytes` must be at least 4194304, 4 times `max_event_bytes` (1048576), not 2097152
      |
    3 | spool_max_bytes = 2097152
      |                   ^^^^^^^
    ");
    assert_snapshot!(
        message("[buffer]\nspool_dir = \"spool\"\ncapacity_bytes = 2147483648\nmax_event_bytes = 500000000\n"), @r"
    audit.toml:4:19: `spool_max_bytes` must be at least 2000000000, 4 times `max_event_bytes` (500000000), not 1073741824
      |
    4 | max_event_bytes = 500000000
      |                   ^^^^^^^^^
    ");
    assert_snapshot!(message("[buffer]\nspool_dir = \"spool\"\nspool_max_bytes = 1048575\n"), @r"
    audit.toml:3:19: `spool_max_bytes` must be at least 1048576, not 1048575
      |
    3 | spool_max_bytes = 1048575
      |                   ^^^^^^^
    ");
}

#[test]
fn durability_that_is_none() {
    assert_snapshot!(message("[buffer]\nspool_dir = \"\"\ndurability = \"disc\"\n"), @r#"
    audit.toml:2:13: `spool_dir` is empty, but must be a path
      |
    2 | spool_dir = ""
      |             ^^

    audit.toml:3:14: unknown value `disc` for `durability`; did you mean `disk`?
      |
    3 | durability = "disc"
      |              ^^^^^^
      |
      = note: known values: `process`, `disk`
    "#);
}

#[test]
fn paths_that_are_the_same() {
    assert_snapshot!(message("[delivery]\ndead_letter_path = \"./rejected.ndjson\"\n"), @r#"
    audit.toml:2:20: `dead_letter_path` and `rejected_path` are both /srv/audit/rejected.ndjson: give each a file of its own
      |
    2 | dead_letter_path = "./rejected.ndjson"
      |                    ^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn option_that_json_cannot_hold() {
    assert_snapshot!(
        message("[audit_logger]\nclass = \"a.B\"\noptions = { since = 2026-11-24, limits = [1.0, inf] }\n"), @r"
    audit.toml:3:21: wrong type for `since`: expected string, integer, float, boolean, array or table, found datetime: put it in quotes
      |
    3 | options = { since = 2026-11-24, limits = [1.0, inf] }
      |                     ^^^^^^^^^^

    audit.toml:3:48: `limits[1]` must be a finite number, not inf
      |
    3 | options = { since = 2026-11-24, limits = [1.0, inf] }
      |                                                ^^^
    "
    );
}

#[test]
fn all_mistakes_at_once_in_the_order_of_the_file() {
    let toml =
        "[buffer]\nwhen_ful = 1\n[delivery]\nretry_max = true\n[audit_logger]\nclass = \"x\"\nrequired = 1\n";
    let error = parse(toml).unwrap_err();
    let places: Vec<_> = error.mistakes().iter().map(|mistake| mistake.position().unwrap()).collect();
    let places: Vec<_> = places.iter().map(|position| (position.line, position.column)).collect();
    assert_eq!(places, [(2, 1), (4, 13), (6, 9), (7, 12)]);
    assert!(error.mistakes().iter().all(|mistake| mistake.file() == Some("audit.toml")));
}

#[test]
fn a_value_that_was_reported_is_reported_once() {
    for toml in
        ["audit_logger = \"${UNSET}\"", "[buffer]\nwhen_full = \"${UNSET}\"", "plugins = \"${UNSET}\""]
    {
        assert_eq!(parse(toml).unwrap_err().mistakes().len(), 1, "{toml}");
    }
}

#[test]
fn secrets_are_masked_in_messages() {
    let error = parse("[buffer]\nwhen_full = \"${PASSWORD}\" # not hunter2\n").unwrap_err();
    assert_snapshot!(error, @r#"
    audit.toml:2:13: unknown value `***` for `when_full`
      |
    2 | when_full = "${PASSWORD}" # not ***
      |             ^^^^^^^^^^^^^
      |
      = note: known values: `block`, `fail`
    "#);
    assert!(!format!("{error:?}").contains("unknown value `hunter2`"));
}

#[test]
fn control_characters_are_escaped_in_messages() {
    assert_snapshot!(message("[buffer]\nwhen_full = \"\\u001b[2J\\n\"\n\"a\\u0007\" = 1\n"), @r#"
    audit.toml:2:13: unknown value `\u{1b}[2J\n` for `when_full`
      |
    2 | when_full = "\u001b[2J\n"
      |             ^^^^^^^^^^^^^
      |
      = note: known values: `block`, `fail`

    audit.toml:3:1: unknown key `a\u{7}` in [buffer]
      |
    3 | "a\u0007" = 1
      | ^^^^^^^^^
      |
      = note: known keys: `capacity_bytes`, `max_event_bytes`, `when_full`, `block_timeout`, `spool_dir`, `durability`, `spool_max_bytes`, `disk_for`
    "#);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_text_that_looks_like_a_configuration_panics(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "[audit_logger]", "[[audit_logger]]", "[audit_logger.options]", "[buffer]", "[delivery]", "[plugins]",
                "audit_logger", "class", "options", "name", "batch_size", "sha256", "dirs", "when_full", "retry_max",
                "=", "=", "=", ".", ",", "{", "}", "[", "]", "\n", "\n", "\n", "\"", "\"\"\"", "\"a.B\"", "\"${PASSWORD}\"",
                "\"${\"", "'x'", "1", "0", "-1", "1e999", "inf", "nan", "true", "1979-05-27", "ü", "\r\n", "\t", "#", "\0",
                "\u{feff}", "\u{202e}", "🦀",
            ]),
            0..40,
        )
    ) {
        let text = parts.concat();
        if let Err(error) = parse(&text) {
            for mistake in error.mistakes() {
                proptest::prop_assert!(mistake.position().is_some());
            }
            let shown = error.to_string();
            proptest::prop_assert!(shown.starts_with("audit.toml:"), "{shown}");
        }
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for toml in [
        format!("x = {}", "[".repeat(100_000)),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]", vec!["a"; 100_000].join(".")),
    ] {
        assert!(message(&toml).contains("recursion"), "{}", &toml[..20]);
    }
}
