//! The command line.

fn main() {
    audit_host::loader::serve_probe_if_asked();
}
