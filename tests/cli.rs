//! The program `audit-host`, with real plugins.

#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/dead_letters.rs"]
mod dead_letters;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/file_faults.rs"]
mod file_faults;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/loads.rs"]
mod loads;
#[path = "cli/modes.rs"]
mod modes;
#[path = "cli/rejects.rs"]
mod rejects;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/spool.rs"]
mod spool;
#[path = "cli/spool_calls.rs"]
mod spool_calls;
#[path = "cli/spool_damage.rs"]
mod spool_damage;
#[path = "cli/spool_faults.rs"]
mod spool_faults;
#[path = "cli/spool_kill.rs"]
mod spool_kill;
#[path = "cli/summary.rs"]
mod summary;
#[path = "cli/watched.rs"]
mod watched;

use audit_tests::Dir;

/// One file sink that writes `out.ndjson`.
const FILE: &str = r#"
[audit_logger]
class = "file.FileAuditLogger"
options = { path = "out.ndjson", flush_interval = 0.01 }
"#;

/// One sink that prints JSON as events come.
const PRINT: &str = r#"
[audit_logger]
class = "print.PrintAuditLogger"
options = { format = "json", flush_interval = 0.001 }
"#;

/// As [`PRINT`], the first of several sinks.
const PRINT_FIRST: &str = r#"
[[audit_logger]]
name = "print"
class = "print.PrintAuditLogger"
options = { format = "json", flush_interval = 0.001 }
"#;

/// The same, and each event is a batch of its own.
const PRINT_EACH_FIRST: &str = r#"
[[audit_logger]]
name = "print"
class = "print.PrintAuditLogger"
options = { format = "json", batch_size = 1 }
"#;

/// A further sink, which never takes an event.
const HANGING: &str = r#"
[[audit_logger]]
name = "hanging"
class = "test.Hanging"
options = { in = "write", release = "never" }
"#;

const EVENT: &str = "{\"action\":\"read\",\"granted\":true}\n";

/// The 5,000 real events.
fn real_events() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/permission-events.ndjson").to_owned()
}

/// The number after `name=` in a summary line.
fn count(summary: &str, name: &str) -> u64 {
    let fields = summary.split_whitespace().filter_map(|field| field.split_once('='));
    let value = fields.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.parse());
    value.and_then(Result::ok).unwrap_or_else(|| panic!("no {name} in {summary}"))
}

fn event_ids(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["event_id"].to_string())
        .collect()
}

/// A folder in which `run` writes to a file.
fn file_dir() -> Dir {
    Dir::with(FILE)
}
