//! A program that serves probes, and does nothing else unless it is given a plugin: that it loads, as a host would.

use std::path::Path;

use audit_host::loader::{CheckedPlugin, check_file, serve_probe_if_asked};

fn main() {
    serve_probe_if_asked();
    if let Some(path) = std::env::args_os().nth(1) {
        // Whether it lives is what its caller asks.
        let _ = check_file(Path::new(&path), None).and_then(CheckedPlugin::load);
    }
}
