//! What this program can measure, one file each. The peers are another program.

mod clock;
mod floor;
mod lines;
mod linked;
mod logger;

use bench_harness::{Case, drive};

/// Runs the case that the command line says; prints its outcome.
pub fn run(case: &Case) {
    match case.text("contender") {
        "logger" => drive(case, logger::Loaded::open),
        "linked" => drive(case, linked::Linked::open),
        "floor" => drive(case, floor::Floor::open),
        "clock" => drive(case, clock::Nothing::open),
        "serde" => drive(case, lines::Serde::open),
        "frames" => drive(case, lines::Frames::open),
        name => panic!("no contender is called {name}"),
    }
}
