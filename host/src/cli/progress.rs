//! Progress of a run, on a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit_host::logger::Logger;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;
use super::input::Input;

const BYTES: &str = "{wide_bar} {bytes}/{total_bytes} {msg} {elapsed_precise}";
const STREAM: &str = "{spinner} {bytes} {msg} {elapsed_precise}";

/// How far a run is: shown where standard error is a terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    read_bytes: Arc<AtomicU64>,
}

/// Whether progress may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// On a terminal.
    Shown,
    /// Not even there: somebody else writes to it.
    Hidden,
}

impl Progress {
    /// Shows the progress of reading these inputs.
    pub fn start(inputs: &[Input], visibility: Visibility, console: &Console) -> Self {
        let size_bytes = inputs.iter().map(Input::size_bytes).sum::<Option<u64>>();
        let target = match visibility {
            Visibility::Shown => ProgressDrawTarget::stderr_with_hz(5),
            Visibility::Hidden => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(size_bytes, target);
        let template = if size_bytes.is_some() { BYTES } else { STREAM };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            console.show_progress(bar.clone());
        }
        Self { bar, read_bytes: Arc::default() }
    }

    /// Where readers count their bytes.
    pub fn read_bytes(&self) -> &AtomicU64 {
        &self.read_bytes
    }

    /// A second handle, for the thread that draws.
    pub fn handle(&self) -> Self {
        Self { bar: self.bar.clone(), read_bytes: self.read_bytes.clone() }
    }

    /// Draws how far the run is.
    pub fn draw(&self, logger: &Logger) {
        if self.bar.is_hidden() {
            return;
        }
        let counts = logger.counts();
        let seconds = self.bar.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let rate = counts.accepted as f64 / seconds;
        self.bar.set_message(format!(
            "{} accepted, {} delivered, {rate:.0} events/s",
            counts.accepted, counts.delivered
        ));
        self.bar.set_position(self.read_bytes.load(Ordering::Relaxed));
    }
}
