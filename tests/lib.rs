//! The harness of the end-to-end tests: a folder with plugins and a configuration, and where cargo puts what it builds.

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

    /// A folder with an empty `plugins`.
    pub fn empty() -> Self {
        let dir = Self(tempfile::tempdir().expect("a temporary folder"));
        let plugins = dir.path("plugins");
        fs::create_dir(&plugins).expect("a new folder");
        fs::set_permissions(plugins, fs::Permissions::from_mode(0o755))
            .expect("the mode of a folder of ours");
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
        fs::set_permissions(to, fs::Permissions::from_mode(0o644)).expect("the mode of a file of ours");
    }

    /// Writes a file that others cannot write.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the mode of a file of ours");
        path
    }

    /// The text of a file; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
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
