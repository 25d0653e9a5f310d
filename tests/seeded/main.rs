//! Tests of the tests: puts one known bug after the other into a copy of the product, and demands that the suite that
//! should catch it does.
//!
//! `cargo run -p audit-tests --bin audit-seeded-bugs [NAME…]`, in the repository; without names all of
//! `tests/seeded/bugs.toml`. The copy is `target/seeded/tree`, and keeps what it has compiled from one run to the next.
//! A bug counts as caught only when the suite compiles and a test of it fails. Ends with 1 when a bug survives.

mod copy;
mod suite;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use audit_tests::seeded::SeededBug;

use copy::Copy;
use suite::Verdict;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let bugs = SeededBug::all();
    if let Some(unknown) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != **name)) {
        let known: Vec<_> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        eprintln!("there is no bug `{unknown}`; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let chosen: Vec<_> =
        bugs.into_iter().filter(|bug| names.is_empty() || names.contains(&bug.name)).collect();
    match seed(&chosen) {
        Ok(0) => {
            println!("{} bugs, all of them caught", chosen.len());
            ExitCode::SUCCESS
        }
        Ok(survivors) => {
            println!("{} bugs, {survivors} of them NOT caught", chosen.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Seeds these bugs one by one; returns how many survived.
fn seed(bugs: &[SeededBug]) -> Result<usize, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = Copy::of(&repository)?;
    let mut suites: Vec<&SeededBug> = Vec::new();
    for bug in bugs {
        if suites.iter().all(|other| other.suite != bug.suite) {
            suites.push(bug);
        }
    }
    for bug in suites {
        let begun = Instant::now();
        match suite::run(&copy, bug)? {
            Verdict::Green(tests) => {
                println!(
                    "green without a bug: {} ({tests} tests, {} s)",
                    bug.suite,
                    begun.elapsed().as_secs()
                );
            }
            Verdict::Red(failed) => {
                return Err(format!("{} fails without a bug: {}", bug.suite, failed.join(", ")));
            }
            other => return Err(format!("{} without a bug: {other}", bug.suite)),
        }
    }
    let widest = bugs.iter().map(|bug| bug.name.len()).max().unwrap_or(0);
    let mut survivors = 0;
    for bug in bugs {
        let begun = Instant::now();
        copy.write(&bug.file, &bug.seeded(copy.path())?)?;
        let verdict = suite::run(&copy, bug);
        copy.restore(&bug.file)?;
        let verdict = verdict?;
        survivors += usize::from(!matches!(verdict, Verdict::Red(_)));
        println!("{:widest$}  {:>3} s  {}: {verdict}", bug.name, begun.elapsed().as_secs(), bug.suite);
    }
    Ok(survivors)
}
