//! The program itself; its tests with real plugins are in `tests/cli.rs` at the top. This one makes `cargo test` build it.

use std::process::{Command, Output};

fn audit_host(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_audit-host"));
    command.args(arguments).env_remove("AUDIT_CONFIG").output().expect("the program starts")
}

#[test]
fn the_version_names_host_and_interface() {
    let output = audit_host(&["--version"]);
    let expected = format!("audit-host {} (plugin api 1.0.0)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(output.status.success());
}

#[test]
fn what_cannot_be_understood_is_status_2() {
    for arguments in [&[][..], &["fly"], &["run", "--fast"], &["run", "--summary", "xml"]] {
        assert_eq!(audit_host(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
