//! Reading the file itself.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::config::Config;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("audit.toml");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The error of loading that file, the name of the folder taken out.
    fn error(&self, path: &Path) -> String {
        let error = Config::load(path).unwrap_err().to_string();
        error.replace(&self.0.path().display().to_string(), "DIR")
    }
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let folder = Folder::new();
    let path = folder.write("[plugins]\ndirs = [\"sinks\"]\n[delivery]\nrejected_path = \"${file:name}\"\n");
    std::fs::create_dir(folder.path("sinks")).unwrap();
    std::fs::write(folder.path("name"), "out.ndjson\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.base_dir, folder.0.path());
    assert_eq!(config.plugins.dirs, [folder.path("sinks")]);
    assert_eq!(config.delivery.rejected_path, folder.path("out.ndjson"));
    assert_eq!(config.secrets.mask("out.ndjson"), "***");
}

#[test]
fn a_link_is_followed_and_paths_start_from_the_link() {
    let folder = Folder::new();
    let target = Folder::new();
    symlink(target.write(""), folder.path("audit.toml")).unwrap();
    assert_eq!(Config::load(&folder.path("audit.toml")).unwrap().base_dir, folder.0.path());
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let folder = Folder::new();
    let path = folder.write("");
    std::fs::set_permissions(&path, Permissions::from_mode(0o606)).unwrap();
    insta::assert_snapshot!(folder.error(&path), @r"DIR/audit.toml is writable by others (mode 0606), but only its owner may write it: run `chmod o-w DIR/audit.toml`");
}

#[test]
fn what_is_no_readable_file_is_refused() {
    let folder = Folder::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path("fifo"), 0o600.into()).unwrap();
    insta::assert_snapshot!(folder.error(&folder.path("absent.toml")), @r"DIR/absent.toml: cannot be opened: No such file or directory (os error 2)");
    insta::assert_snapshot!(folder.error(&folder.path("fifo")), @r"DIR/fifo: is no regular file, but a configuration is a regular file or a link to one");
    insta::assert_snapshot!(folder.error(folder.0.path()), @r"DIR: is a folder, but a configuration is a regular file or a link to one");
}

#[test]
fn invalid_utf8_is_shown_where_it_stands() {
    let folder = Folder::new();
    let path = folder.write(b"[buffer]\nwhen_full = \"bl\xffck\"\n");
    insta::assert_snapshot!(folder.error(&path), @r#"
    DIR/audit.toml:2:16: not valid UTF-8 (byte 0xff): save the file as UTF-8
      |
    2 | when_full = "bl�ck"
      |                ^
    "#);
}

#[test]
fn a_mistake_names_the_file_as_it_was_given() {
    let folder = Folder::new();
    let path = folder.write("x = 1\n");
    insta::assert_snapshot!(folder.error(&path), @r"
    DIR/audit.toml:1:1: unknown key `x` at the top level
      |
    1 | x = 1
      | ^
      |
      = note: known keys: `audit_logger`, `plugins`, `buffer`, `delivery`
    ");
}
