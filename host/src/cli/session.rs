//! What every command does that delivers events: attending to signals meanwhile, waiting for the sinks at the end, and the
//! summary.

use std::sync::Arc;

use audit_host::config::Secrets;
use audit_host::logger::{AuditLogger, Logger};
use audit_host::pipeline::CloseReport;

use super::args::Format;
use super::attendant::{Attendant, Work};
use super::console::Console;
use super::drain::{Drained, drain};
use super::exit::{Exit, Trouble};
use super::failure::Failure;
use super::signals::Stop;
use super::summary::{Store, Summary};

/// An open logger that a command delivers with.
pub struct Session {
    logger: Logger,
    stop: Arc<Stop>,
    console: Console,
    store: Store,
    format: Format,
    secrets: Secrets,
    attendant: Attendant,
}

impl Session {
    /// Begins to attend to it.
    pub fn start(work: Work) -> Result<Self, Failure> {
        Ok(Self {
            logger: work.logger.clone(),
            stop: work.stop.clone(),
            console: work.console.clone(),
            store: work.store,
            format: work.summary,
            secrets: work.secrets.clone(),
            attendant: Attendant::start(work)?,
        })
    }

    /// Waits for the sinks, closes them, and prints the summary.
    pub fn end(self, mut trouble: Trouble) -> Exit {
        let report = self.drain_and_close(&mut trouble);
        if self.attendant.end().is_some() {
            trouble = Trouble::Later;
        }
        self.console.end_progress();
        let signal = self.stop.signal();
        let exit = Exit::of_run(&report, trouble, signal.into());
        let sinks = report.sinks.into_iter().map(|sink| (sink.name, sink.counts));
        let summary = Summary::new(report.totals, sinks, self.store, &self.secrets).stopped_by(signal);
        self.console.write_line(&summary.render(self.format));
        exit
    }

    fn drain_and_close(&self, trouble: &mut Trouble) -> CloseReport {
        match drain(&self.logger, &self.stop) {
            Drained::Settled(flush_failures) => {
                for (name, reason) in flush_failures {
                    self.console.error(&format!("sink `{name}` could not make its events durable: {reason}"));
                    *trouble = Trouble::Later;
                }
            }
            Drained::Stalled => {
                let seconds = self.logger.shutdown_timeout().as_secs_f64();
                let fate = match self.store {
                    Store::Memory => "becomes dead letters",
                    Store::Spool => "stays in the spool",
                };
                self.console.error(&format!(
                    "nothing was delivered for {seconds} s (shutdown_timeout): what is left {fate}"
                ));
            }
            Drained::Stopped => {
                if let Some(signal) = self.stop.signal() {
                    let seconds = self.logger.shutdown_timeout().as_secs_f64();
                    self.stop.wait_for_echo();
                    self.console.note(&format!(
                        "{signal}: nothing more is read; the sinks have {seconds} s (shutdown_timeout) for what was \
                         accepted, and a second signal ends at once"
                    ));
                }
            }
        }
        match self.logger.close(self.logger.shutdown_timeout()) {
            Ok(report) => report,
            Err(from_callback) => unreachable!("the command line is no sink: {from_callback}"),
        }
    }
}
