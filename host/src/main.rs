//! The program `audit-host`.
#![deny(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    audit_host::loader::serve_probe_if_asked();
    cli::main()
}
