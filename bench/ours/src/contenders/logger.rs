//! audit-host as a service embeds it: the sink loaded out of its `.so`.
//!
//! | key | meaning (default) |
//! |---|---|
//! | `sink` | `file`, `print` (the JSON, to standard error), `fake` (`file`) |
//! | `mode` | `memory`, `process`, `disk` (`memory`) |
//! | `batch` | `batch_size` (the class's own) |
//! | `max_bytes` | the file's `max_bytes`, one old file being kept (0) |
//! | `plugins` | a further line of `[plugins]` |

use std::fs;
use std::path::Path;
use std::time::Duration;

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use bench_harness::{Case, Contender, Event, Places};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(3600);

/// A logger with one sink.
pub struct Loaded(pub Logger);

impl Loaded {
    /// Opens it beside the file that it writes.
    pub fn open(case: &Case) -> Self {
        let config = Config::load(&configure(case)).expect("a good configuration");
        Self(Logger::open(config, &Loading::default()).expect("the sink opens"))
    }
}

impl Contender for Loaded {
    fn producer(&self) -> impl FnMut(&Event) {
        |event| self.0.record(&event.audit).expect("accepted")
    }

    fn finish(self) -> Option<u64> {
        Some(self.0.close(LONG).expect("not in a callback").totals.delivered)
    }
}

/// Writes the `audit.toml` of a case; returns its path.
pub fn configure(case: &Case) -> std::path::PathBuf {
    let out = case.out();
    let sink: String = case.get("sink", "file".into());
    let mode: String = case.get("mode", "memory".into());
    // With `disk` the sink has to sync: at flushes only.
    let fsync = if mode == "disk" { "3600" } else { "\"never\"" };
    let (class, mut options) = match sink.as_str() {
        "file" => ("file.FileAuditLogger", format!("path = {out:?}\nfsync = {fsync}\n")),
        "print" => ("print.PrintAuditLogger", "format = \"json\"\nstream = \"stderr\"\n".to_owned()),
        "fake" => ("fake.FakeProducerAuditLogger", String::new()),
        _ => panic!("no sink is called {sink}"),
    };
    if !case.text("batch").is_empty() {
        options += &format!("batch_size = {}\n", case.text("batch"));
    }
    if !case.text("max_bytes").is_empty() {
        options += &format!("max_bytes = {}\nmax_files = 1\n", case.text("max_bytes"));
    }
    let buffer = match mode.as_str() {
        "memory" => String::new(),
        _ => format!(
            "[buffer]\nspool_dir = {:?}\ndurability = \"{mode}\"\nspool_max_bytes = {}\n",
            fresh(&Places::new().disk().join("spool")),
            case.get("room", 1_u64 << 30)
        ),
    };
    let plugins = format!("[plugins]\ndirs = [{:?}]\n{}\n", Places::new().built(), case.text("plugins"));
    let text =
        format!("[audit_logger]\nclass = \"{class}\"\n[audit_logger.options]\n{options}{plugins}{buffer}");
    let path = out.with_file_name("audit.toml");
    fs::write(&path, text).expect("the folder is there");
    path
}

/// The folder, with nothing in it from the run before.
fn fresh(folder: &Path) -> &Path {
    let _ = fs::remove_dir_all(folder);
    folder
}
