//! A program that serves probes, and does nothing else.

fn main() {
    audit_host::loader::serve_probe_if_asked();
}
