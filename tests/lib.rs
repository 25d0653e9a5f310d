//! The harness of the end-to-end tests: a folder with `audit.toml` and plugins, and the real program in it.
//!
//! ```no_run
//! let dir = audit_tests::Dir::new("audit_logger = \"print.PrintAuditLogger\"");
//! let ran = dir.audit_host(&["run"]).input("{\"action\":\"read\",\"granted\":true}").run();
//! assert_eq!((ran.status, ran.stdout.as_str()), (0, "[permission] read True ()\n"));
//! ```
//!
//! Nothing here sleeps: a test waits for a line of the program's output, or for its end.

#[path = "harness/dir.rs"]
mod dir;
#[path = "harness/program.rs"]
mod program;

pub use dir::{Dir, set_mode};
pub use program::{Program, Ran, Running};
