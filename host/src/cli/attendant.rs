//! The thread beside a run: it answers signals, watches for failed sinks, and draws progress.
//!
//! The run itself may be waiting for input, for room in the store, or for the sinks; none of that delays the attendant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use audit_host::config::Secrets;
use audit_host::logger::Logger;
use audit_plugin_api::ErrorKind;
use serde_json::json;

use super::args::Format;
use super::console::Console;
use super::failure::Failure;
use super::progress::Progress;
use super::signals::{Requests, Stop};
use super::summary::{Store, Summary};

/// How often it looks for failed sinks and draws.
const ROUND: Duration = Duration::from_millis(200);
/// How long a sink may take to reopen its file before that is said to have failed.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

/// The thread beside a run.
#[derive(Debug)]
pub struct Attendant {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    requests: Arc<Requests>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    failed_sink: OnceLock<(String, String)>,
}

/// What the attendant works with.
pub struct Work {
    /// The logger of the run.
    pub logger: Logger,
    /// Set when a sink has failed.
    pub stop: Arc<Stop>,
    /// The signals to answer.
    pub requests: Arc<Requests>,
    /// To be drawn.
    pub progress: Progress,
    /// The form of the summary.
    pub summary: Format,
    /// Which counters it has.
    pub store: Store,
    /// Masked in it.
    pub secrets: Secrets,
    /// Where everything is said.
    pub console: Console,
}

impl Attendant {
    /// Starts it.
    pub fn start(work: Work) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let requests = work.requests.clone();
        let its_shared = shared.clone();
        let thread = Builder::new()
            .name("audit-attendant".into())
            .spawn(move || work.run(&its_shared))
            .map_err(|error| Failure::new(format!("no thread to attend to signals: {error}")))?;
        Ok(Self { thread, shared, requests })
    }

    /// Ends it; the sink that ended the run, with the reason, if one did.
    pub fn end(self) -> Option<(String, String)> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.requests.wake();
        let _ = self.thread.join();
        self.shared.failed_sink.get().cloned()
    }
}

impl Work {
    fn run(self, shared: &Shared) {
        while !shared.is_over.load(Ordering::SeqCst) {
            if self.requests.take_reopen() {
                self.reopen();
            }
            if self.requests.take_summary() {
                self.console.write_line(&self.summarise().render(self.summary));
            }
            if shared.failed_sink.get().is_none()
                && let Some(failed) = self.logger.failed_sink()
            {
                let (name, reason) = &failed;
                self.console.error(&format!("sink `{name}` has failed, which ends the run: {reason}"));
                let _ = shared.failed_sink.set(failed);
                self.stop.set();
            }
            self.progress.draw(&self.logger);
            self.requests.wait(ROUND);
        }
    }

    fn summarise(&self) -> Summary {
        Summary::new(self.logger.counts(), self.logger.sink_counts(), self.store, &self.secrets)
    }

    fn reopen(&self) {
        for (name, answer) in self.logger.control_all(&json!({"control": "reopen"}), REOPEN_PATIENCE) {
            match answer {
                Ok(_) => tracing::info!(sink = name, "SIGHUP: the sink has reopened its files"),
                Err(error) if error.kind == ErrorKind::Unsupported => {}
                Err(error) => tracing::error!(sink = name, "SIGHUP: the sink could not reopen: {error}"),
            }
        }
    }
}
