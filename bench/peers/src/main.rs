//! `audit-bench-peers case KEY=VALUE…`: what a user would pick instead of audit-host, in Rust. Each is set up to lose nothing,
//! where it can, and to write the same JSON as audit-host, where it can.

mod emit_file;
mod flexi;
mod slog_json;
mod spdlog_rs;
mod tracing_json;

use std::env;

use bench_harness::{Case, drive};

fn main() {
    let case = Case::from_arguments(env::args().skip(1));
    match case.text("contender") {
        "tracing" => drive(&case, tracing_json::Tracing::open),
        "slog" => drive(&case, slog_json::Slog::open),
        "flexi_logger" => drive(&case, flexi::Flexi::open),
        "spdlog-rs" => drive(&case, spdlog_rs::Spdlog::open),
        "emit" => drive(&case, emit_file::Emit::open),
        name => panic!("no contender is called {name}"),
    }
}
