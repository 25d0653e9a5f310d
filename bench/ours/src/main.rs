//! `audit-bench TABLE`: measures, prints a table, keeps it with a picture below `docs/bench`. `bench/run TABLE` builds what
//! it needs and calls it.

mod contenders;
mod floor;
mod instructions;
mod latency;
mod peers;
mod profile;
mod startup;
mod throughput;

use std::env;
use std::io;
use std::process::ExitCode;

use bench_harness::Case;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("case") => {
            contenders::run(&Case::from_arguments(arguments));
            Ok(())
        }
        Some("floor") => floor::run(),
        Some("latency") => latency::run(),
        Some("peers") => peers::run(),
        Some("profile") => profile::run(),
        Some("instructions") => instructions::run(),
        Some("startup") => startup::run(),
        Some("throughput") => throughput::run(),
        _ => Err(io::Error::other(
            "usage: audit-bench floor|instructions|latency|peers|profile|startup|throughput",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("audit-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
