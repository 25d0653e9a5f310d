//! The program `audit-host`.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    audit_host::loader::serve_probe_if_asked();
    cli::main()
}
