//! What is measured on, and what else it is doing.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::Places;

/// Above this share of the cores others are in the way.
const BUSY: f64 = 0.05;

/// The machine and the state of the repository, in a sentence; takes a second, in which this process does nothing.
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name| cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(": "));
    // Virtual machines often call quite different processors by one name.
    let [processor, family, model] =
        ["model name", "cpu family", "model"].map(|name| field(name).unwrap_or("?"));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let share = busy_share(Duration::from_secs(1));
    let verdict = if share > BUSY { "**a busy machine**" } else { "a quiet machine" };
    format!(
        "commit {}, {cores} cores of {processor} (family {family}, model {model}), of which others used {:.0} % in the second before: {verdict}",
        commit(),
        share * 100.0
    )
}

/// The share of all cores' time that was not idle.
fn busy_share(span: Duration) -> f64 {
    let before = cpu_times();
    // The span is what is measured: how much of it others used.
    thread::sleep(span);
    let passed: Vec<f64> = cpu_times().iter().zip(before).map(|(after, before)| after - before).collect();
    // user, nice, system, idle, iowait, …
    let idle: f64 = passed.iter().skip(3).take(2).sum();
    1.0 - idle / passed.iter().sum::<f64>()
}

fn cpu_times() -> Vec<f64> {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    all.filter_map(|ticks| ticks.parse().ok()).collect()
}

fn commit() -> String {
    let repository = Places::new().file("");
    let said = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(repository).output();
    said.map_or_else(|_| "unknown".into(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
