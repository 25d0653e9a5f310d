//! How much is measured: `BENCH_ROUNDS` rounds (5), each of its usual size times `BENCH_SCALE` (1).

use std::env;

/// Events of rows that are compared with each other: enough that what is had once, opening and memory never used before, does not
/// decide.
pub const MANY: u64 = 3_000_000;

/// How many rounds.
pub fn rounds() -> usize {
    setting("BENCH_ROUNDS", 5.0) as usize
}

/// So many events, scaled.
pub fn events(usual: u64) -> u64 {
    (usual as f64 * scale()).max(1.0) as u64
}

/// What the usual sizes are multiplied by.
pub fn scale() -> f64 {
    setting("BENCH_SCALE", 1.0)
}

fn setting(name: &str, usual: f64) -> f64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).filter(|value| *value > 0.0).unwrap_or(usual)
}
