//! What this program can measure, one file each. The peers are another program.

mod clock;
mod commands;
mod copied;
mod floor;
mod frames;
mod hop;
mod idle;
mod linked;
mod logger;
mod parts;
mod pieces;
mod serde;
mod shared;
mod start;
mod synced;

use bench_harness::{Case, drive};

/// Runs the case that the command line says; prints its outcome.
pub fn run(case: &Case) {
    match case.text("contender") {
        "logger" => drive(case, logger::Loaded::open),
        "linked" => drive(case, linked::Linked::open),
        "floor" => drive(case, floor::Floor::open),
        "clock" => drive(case, clock::Nothing::open),
        "serde" => drive(case, serde::Serde::open),
        "frames" => drive(case, frames::Frames::open),
        "copied" => drive(case, copied::Copied::open),
        "hop" => drive(case, hop::Hop::open),
        "shared" => drive(case, shared::Shared::open),
        "synced" => drive(case, synced::Synced::open),
        "command" => commands::run(case),
        "part" => parts::run(case),
        "load" => start::load(case),
        "start" => start::program(case),
        "idle" => idle::run(case),
        name => panic!("no contender is called {name}"),
    }
}
