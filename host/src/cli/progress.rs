//! Progress on a terminal: of a run, and of reading a spool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit_host::config::Config;
use audit_host::logger::Logger;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::LogFormat;
use super::console::Console;
use super::input::Input;

const BYTES: &str = "{wide_bar} {bytes}/{total_bytes} {msg} {elapsed_precise}";
const STREAM: &str = "{spinner} {bytes} {msg} {elapsed_precise}";
const READING: &str = "{wide_bar} {bytes}/{total_bytes} {elapsed_precise}";
const EVENTS: &str = "{wide_bar} {human_pos}/{human_len} events, {msg} {elapsed_precise}";

/// How far a run is: shown where standard error is a terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    measure: Measure,
}

/// What the bar shows.
#[derive(Clone, Debug)]
enum Measure {
    /// Bytes of the inputs.
    Read(Arc<AtomicU64>),
    /// Events that every sink has settled.
    Settled,
}

/// Whether progress may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// On a terminal.
    Shown,
    /// Not even there: somebody else writes to it.
    Hidden,
}

impl Visibility {
    /// Whether progress may be shown beside what these sinks do: one that prints to a terminal is its own progress. And who
    /// wants JSON wants no bar.
    pub fn beside(config: &Config, console: &Console) -> Self {
        let prints = config.sinks.iter().any(|sink| sink.class == "print.PrintAuditLogger");
        if prints || console.format() == LogFormat::Json { Self::Hidden } else { Self::Shown }
    }
}

impl Progress {
    /// Shows the progress of reading these inputs, which count the bytes that they read in `read_bytes`.
    pub fn of_reading(
        inputs: &[Input],
        read_bytes: Arc<AtomicU64>,
        visibility: Visibility,
        console: &Console,
    ) -> Self {
        let size_bytes = inputs.iter().map(Input::size_bytes).sum::<Option<u64>>();
        let template = if size_bytes.is_some() { BYTES } else { STREAM };
        Self { bar: bar(size_bytes, template, visibility, console), measure: Measure::Read(read_bytes) }
    }

    /// Shows the progress of delivering this many events, which are all there.
    pub fn of_delivering(events: u64, visibility: Visibility, console: &Console) -> Self {
        Self { bar: bar(Some(events), EVENTS, visibility, console), measure: Measure::Settled }
    }

    /// Draws how far the run is.
    pub fn draw(&self, logger: &Logger) {
        if self.bar.is_hidden() {
            return;
        }
        let counts = logger.counts();
        let seconds = self.bar.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        match &self.measure {
            Measure::Read(read_bytes) => {
                let rate = counts.accepted as f64 / seconds;
                self.bar.set_message(format!(
                    "{} accepted, {} delivered, {rate:.0} events/s",
                    counts.accepted, counts.delivered
                ));
                self.bar.set_position(read_bytes.load(Ordering::Relaxed));
            }
            Measure::Settled => {
                let settled = counts.accepted - counts.unsettled().min(counts.accepted);
                self.bar.set_message(format!("{:.0} events/s", settled as f64 / seconds));
                self.bar.set_position(settled);
            }
        }
    }
}

/// How much of something is read: shown where standard error is a terminal, and drawn five times a second at most.
#[derive(Debug)]
pub struct Reading(ProgressBar);

impl Reading {
    /// Nothing is read yet of so many bytes.
    pub fn start(bytes: u64, console: &Console) -> Self {
        let is_json = console.format() == LogFormat::Json;
        let visibility = if is_json { Visibility::Hidden } else { Visibility::Shown };
        Self(bar(Some(bytes), READING, visibility, console))
    }

    /// So many bytes more are read. What is read twice counts twice, and all of it is all there is.
    pub fn note(&self, bytes: u64) {
        let len = self.0.length().unwrap_or(u64::MAX);
        self.0.set_position(self.0.position().saturating_add(bytes).min(len));
    }

    /// Takes it away.
    pub fn end(self, console: &Console) {
        console.end_progress();
    }
}

fn bar(len: Option<u64>, template: &str, visibility: Visibility, console: &Console) -> ProgressBar {
    let target = match visibility {
        Visibility::Shown => ProgressDrawTarget::stderr_with_hz(5),
        Visibility::Hidden => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(len, target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if !bar.is_hidden() {
        console.show_progress(bar.clone());
    }
    bar
}
