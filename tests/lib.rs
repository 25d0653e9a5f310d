//! The harness of the end-to-end tests: a folder with plugins and a configuration, where cargo puts what it builds, and
//! the real program.
//!
//! ```no_run
//! let dir = audit_tests::Dir::with("audit_logger = \"print.PrintAuditLogger\"");
//! let ran = dir.audit_host(&["run"]).input("{\"action\":\"read\",\"granted\":true}").run();
//! assert_eq!((ran.status, ran.stdout.as_str()), (0, "[permission] read True ()\n"));
//! ```
//!
//! Nothing here sleeps: a test waits for a line of the program's output, or for its end. Nothing waits for ever: see [`Guard`].

#[path = "harness/guard.rs"]
mod guard;
#[path = "harness/modes.rs"]
pub mod modes;
#[path = "oracle/mod.rs"]
pub mod oracle;
#[path = "harness/program.rs"]
mod program;
#[path = "seeded/bugs.rs"]
pub mod seeded;
#[path = "harness/terminal.rs"]
mod terminal;

pub use guard::{Guard, eventually};
pub use program::{Program, Ran, Running};
pub use terminal::Terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A temporary folder with a `plugins` folder in it, removed when dropped.
pub struct Dir(tempfile::TempDir);

impl Default for Dir {
    fn default() -> Self {
        Self::new()
    }
}

impl Dir {
    /// A folder with all sinks in the box, and the sinks of the tests, in its `plugins`.
    pub fn new() -> Self {
        let dir = Self::empty();
        for name in ["sink_print", "sink_file", "sink_fake", "test_sinks"] {
            dir.install(&format!("libaudit_{name}.so"));
        }
        dir
    }

    /// The same, with this `audit.toml`.
    pub fn with(audit_toml: &str) -> Self {
        let dir = Self::new();
        dir.write("audit.toml", audit_toml);
        dir
    }

    /// A folder with an empty `plugins`.
    pub fn empty() -> Self {
        let dir = Self(tempfile::tempdir().expect("a temporary folder"));
        let plugins = dir.path("plugins");
        fs::create_dir(&plugins).expect("a new folder");
        set_mode(&plugins, 0o755);
        dir
    }

    /// The path of something in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Copies a plugin that cargo built into `plugins`.
    pub fn install(&self, file: &str) {
        let to = self.path("plugins").join(file);
        fs::copy(built(file), &to).expect("the plugin is copied");
        set_mode(&to, 0o644);
    }

    /// Writes a file that others cannot write.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the file is written");
        set_mode(&path, 0o644);
        path
    }

    /// The text of a file; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The lines of a file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// Copies the folder `spool` of another folder.
    pub fn copy_spool_of(&self, other: &Self) {
        copy_folder(&other.path("spool"), &self.path("spool"));
    }

    /// The program `audit-host`, to be run in this folder with these arguments.
    pub fn audit_host(&self, arguments: &[&str]) -> Program {
        self.program("audit-host", arguments)
    }

    /// The program `audit-embedder`, which embeds the library, to be run in this folder with its `audit.toml`.
    pub fn embedder(&self, way: &str, count: u32) -> Program {
        self.program("audit-embedder", &[way, "audit.toml", &count.to_string()])
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Program {
        let test = std::env::current_exe().expect("a test knows its own path");
        let profile = test.parent().and_then(Path::parent).expect("a test is in a folder of a folder");
        let binary = profile.join(name);
        assert!(binary.is_file(), "cargo has built no {}: run `cargo test --workspace`", binary.display());
        Program::new(&binary, self.0.path(), arguments)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    set_mode(to, 0o700);
    for entry in fs::read_dir(from).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("a copy");
        }
    }
}

/// Sets the permissions of a file.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode of a file of ours");
}

/// A library that cargo built for this test run: the test runs out of `target/<profile>/deps`, and so do they.
pub fn built(file: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a test is in a folder");
    [deps.join(file), deps.join("deps").join(file)]
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("cargo has built no {file} in {}", deps.display()))
}

/// The event that is measured: 383 bytes as a canonical line, whose id and time are those of any other.
pub fn measured_event() -> audit_plugin_api::PermissionAuditEvent {
    let metadata =
        r#"{"request_id":"0f8fad5b-d9cb-469f-a165-70867728950e","ip":"203.0.113.7","path":"/graphql/"}"#;
    audit_plugin_api::PermissionAuditEvent::new(audit_plugin_api::Action::Update, false)
        .attribute("status")
        .attribute("owner")
        .manager("Project")
        .user_id("4217")
        .permission("isAdmin")
        .permission("isProjectOwner:status")
        .metadata(audit_plugin_api::Metadata::from_json(metadata).expect("an object"))
}
