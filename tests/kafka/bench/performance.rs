//! `rdkafka_performance`, librdkafka's own benchmark in C.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::TOPIC;
use crate::contenders::PROPERTIES;

/// Compiles it beside this program, from what cargo has built; `None`, with the reason on the screen, where that fails.
pub fn build() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name("rdkafka_performance");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/bench/build-performance.sh");
    let built = Command::new(script).arg(&program).output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            eprintln!("rdkafka_performance: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("rdkafka_performance: {error}");
            None
        }
    }
}

/// How long it takes for this many messages, beyond what it takes for one: its own figure begins before it is connected
/// and has the producer's id, which the other runs leave out.
pub fn run(program: &Path, servers: &str, messages: usize, bytes: usize, compression: &str) -> Duration {
    let one = run_once(program, servers, 1, bytes, compression);
    run_once(program, servers, messages + 1, bytes, compression).saturating_sub(one)
}

fn run_once(program: &Path, servers: &str, messages: usize, bytes: usize, compression: &str) -> Duration {
    let (count, size) = (messages.to_string(), bytes.to_string());
    let mut command = Command::new(program);
    command.args(["-P", "-t", TOPIC, "-b", servers, "-c", &count, "-s", &size, "-q"]);
    for (name, value) in PROPERTIES {
        command.args(["-X", &format!("{name}={value}")]);
    }
    command.args(["-X", &format!("compression.type={compression}")]);
    let started = Instant::now();
    let output = command.output().expect("rdkafka_performance starts");
    let took = started.elapsed();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // "% 500000 messages produced (…), 500000 delivered (offset …, 0 failed) in 613ms: 815345 msgs/s …"
    let milliseconds = said
        .lines()
        .rev()
        .filter(|line| line.contains(&format!("{messages} delivered")))
        .find_map(|line| line.split(" in ").nth(1)?.split("ms").next()?.trim().parse().ok());
    milliseconds.map_or(took, Duration::from_millis)
}
