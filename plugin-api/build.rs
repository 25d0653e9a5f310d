//! Tells the crate which compiler and target it is built with; the manifest of a plugin names both.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=AUDIT_RUSTC_VERSION={}", version.trim());
    println!("cargo:rustc-env=AUDIT_TARGET={}", std::env::var("TARGET").expect("cargo sets TARGET"));
    println!("cargo:rerun-if-changed=build.rs");
}
