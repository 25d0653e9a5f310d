//! A folder for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Program;

/// The plugins of this workspace that every folder holds.
const PLUGINS: [&str; 4] =
    ["libaudit_sink_print.so", "libaudit_sink_file.so", "libaudit_sink_fake.so", "libaudit_test_sinks.so"];

/// A folder with `audit.toml` and a folder `plugins`; removed when it is dropped.
#[derive(Debug)]
pub struct Dir {
    folder: TempDir,
}

impl Dir {
    /// A folder with this `audit.toml`, and the plugins that `cargo test` has built.
    ///
    /// # Panics
    /// If a plugin was not built.
    pub fn new(audit_toml: &str) -> Self {
        let dir = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        dir.write("audit.toml", audit_toml);
        fs::create_dir(dir.path("plugins")).expect("a folder of plugins");
        set_mode(&dir.path("plugins"), 0o755);
        for name in PLUGINS {
            let built = built_files().join(name);
            let copied = fs::copy(&built, dir.path("plugins").join(name));
            copied.unwrap_or_else(|error| panic!("{}: {error}: run `cargo test`", built.display()));
            set_mode(&dir.path("plugins").join(name), 0o644);
        }
        dir
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may write.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file in the temporary folder");
        set_mode(&path, 0o644);
        path
    }

    /// The content of a file; empty where there is none.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines of a file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// The program, in this folder, with these arguments.
    pub fn audit_host(&self, arguments: &[&str]) -> Program {
        let binary = built_files().parent().expect("a folder above").join("audit-host");
        assert!(binary.exists(), "{} is not there: run `cargo test --workspace`", binary.display());
        Program::new(&binary, self.folder.path(), arguments)
    }
}

/// Where `cargo test` puts tests and plugins.
fn built_files() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    test.parent().expect("a folder").to_owned()
}

/// Sets the permissions of a file.
///
/// # Panics
/// If they cannot be set.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions are set");
}
