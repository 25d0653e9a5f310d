//! The log: what the library and the plugins have to say, on standard error.

use tracing_subscriber::filter::LevelFilter;

use super::args::{LogFormat, LogLevel};
use super::console::Console;

/// Sends log lines of this level and above to the console.
pub fn set_up(console: &Console, level: LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(level))
        .with_ansi(false)
        .with_target(false)
        .with_writer(console.clone());
    match console.format() {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
