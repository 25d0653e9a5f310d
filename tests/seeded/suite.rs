//! Runs a suite in the copy, and says how it came out.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use audit_tests::seeded::SeededBug;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::copy::Copy;

/// A suite that takes longer has hung.
const LONGEST: Duration = Duration::from_secs(300);

/// How a suite came out.
pub enum Verdict {
    /// So many tests, all of them passed.
    Green(usize),
    /// These tests failed.
    Red(Vec<String>),
    /// It does not compile: that says nothing about tests.
    DoesNotCompile(String),
    /// It did not end, or died without a verdict of its own.
    None(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Green(tests) => write!(f, "NOT CAUGHT: all {tests} tests pass"),
            Self::Red(failed) => {
                write!(f, "caught by {}", failed.first().map_or("", String::as_str))?;
                if failed.len() > 1 { write!(f, " and {} more", failed.len() - 1) } else { Ok(()) }
            }
            Self::DoesNotCompile(said) => write!(f, "NOT CAUGHT: it does not compile\n{said}"),
            Self::None(said) => write!(f, "NOT CAUGHT: the suite comes to no verdict\n{said}"),
        }
    }
}

/// Runs the suite of this bug.
pub fn run(copy: &Copy, bug: &SeededBug) -> Result<Verdict, String> {
    // Compiling has no time limit: the first run compiles everything.
    let compiled = cargo(copy, bug, &["--no-run"]).output().map_err(|error| no_cargo(&error))?;
    if !compiled.status.success() {
        return Ok(Verdict::DoesNotCompile(last_lines(&compiled.stderr)));
    }
    let Some(ran) = run_to_its_end(cargo(copy, bug, &[]))? else {
        return Ok(Verdict::None(format!("it had not ended after {} s", LONGEST.as_secs())));
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    let tests_that = |ending: &str| -> Vec<String> {
        let named = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(ending));
        named.map(|name| name.trim_end_matches(" - should panic").to_owned()).collect()
    };
    let (passed, failed) = (tests_that(" ... ok"), tests_that(" ... FAILED"));
    Ok(match (ran.status.success(), failed.is_empty(), passed.len()) {
        (true, true, 0) => Verdict::None("it has no tests".to_owned()),
        (true, true, count) => Verdict::Green(count),
        (false, false, _) => Verdict::Red(failed),
        _ => Verdict::None(last_lines(&ran.stderr)),
    })
}

fn cargo(copy: &Copy, bug: &SeededBug, more: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--no-fail-fast"]).args(more).args(bug.arguments());
    command.current_dir(copy.path()).env("CARGO_TARGET_DIR", copy.target());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command
}

/// Runs it; `None` where it had to be ended, with all that it started.
fn run_to_its_end(mut command: Command) -> Result<Option<Output>, String> {
    let child = command.spawn().map_err(|error| no_cargo(&error))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
    let (ended, is_ended) = channel::<()>();
    let guard = thread::spawn(move || {
        let has_hung = is_ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout);
        has_hung && kill_process_group(group, Signal::KILL).is_ok()
    });
    let output = child.wait_with_output().map_err(|error| no_cargo(&error))?;
    drop(ended);
    let was_ended = guard.join().map_err(|_| "the guard has panicked")?;
    Ok((!was_ended).then_some(output))
}

fn no_cargo(error: &std::io::Error) -> String {
    format!("cargo cannot be run: {error}")
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
