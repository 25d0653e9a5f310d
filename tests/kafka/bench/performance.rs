//! `rdkafka_performance`, librdkafka's own benchmark in C.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::TOPIC;
use crate::contenders::Shape;

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

/// How long it takes from its start to the last delivery report.
pub fn run(program: &Path, servers: &str, messages: usize, bytes: usize, shape: &Shape) -> Duration {
    let (count, size) = (messages.to_string(), bytes.to_string());
    let mut command = Command::new(program);
    command.args(["-P", "-t", TOPIC, "-b", servers, "-c", &count, "-s", &size, "-q"]);
    for (name, value) in shape.properties() {
        command.args(["-X", &format!("{name}={value}")]);
    }
    if shape.key {
        command.args(["-k", "4242"]);
    }
    if shape.headers {
        command.args(["-H", "event_id=019a0000-0000-7000-8000-000000000000", "-H", "schema=1"]);
    }
    let output = command.output().expect("rdkafka_performance starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // "% 500000 messages produced (…), 500000 delivered (offset …, 0 failed) in 613ms: 815345 msgs/s …"
    let milliseconds = said
        .lines()
        .rev()
        .filter(|line| line.contains(&format!("{messages} delivered")))
        .find_map(|line| line.split(" in ").nth(1)?.split("ms").next()?.trim().parse().ok());
    Duration::from_millis(milliseconds.expect("its last line says how long it took"))
}
