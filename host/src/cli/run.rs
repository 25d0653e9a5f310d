//! `run`: from lines of input to the sinks.
//!
//! Everything that can be wrong before the first event (configuration, plugins, sinks, inputs) is found before it. From
//! then on each line is accepted or rejected and counted, and the run ends with the summary, whatever happens in between.

use std::sync::Arc;

use audit_host::config::{BufferSettings, Config, WhenFull};
use audit_host::event::{InputLine, LineContent, LineParser, LineReader, MissingOffset};
use audit_host::logger::{AuditLogger, Logger, Plan};
use audit_host::pipeline::{CloseReport, Patience, Record, RecordError};
use audit_plugin_api::Timestamp;

use super::args::{self, Global, LogFormat};
use super::attendant::{Attendant, Work};
use super::console::Console;
use super::drain::{Drained, drain};
use super::exit::{Exit, Trouble};
use super::failure::Failure;
use super::feedback::refuse_feedback;
use super::input::Input;
use super::progress::{Progress, Visibility};
use super::rejects::{RejectedLine, Rejects};
use super::settings;
use super::signals::{Requests, Stop};
use super::summary::{Store, Summary};

/// Delivers the events of the inputs.
pub fn run(global: &Global, arguments: &args::Run, console: &Console) -> Result<Exit, Failure> {
    let stop = Stop::on_signals()?;
    let requests = Requests::on_signals()?;
    let (config, path) = settings::load_from(global, console)?;
    if config.sinks.is_empty() {
        return Err(settings::no_logger(&path));
    }
    let inputs = Input::open_all(&arguments.files)?;
    refuse_feedback(&inputs, &config)?;
    let rejects = Rejects::new(&config.delivery.rejected_path, console);
    let (buffer, secrets) = (config.buffer.clone(), config.secrets.clone());
    let store = Store::of(&buffer);
    let visibility = visibility(&config, &inputs, console);
    let logger = Plan::new(config, &settings::loading())?.open()?;

    let progress = Progress::start(&inputs, visibility, console);
    let attendant = Attendant::start(Work {
        logger: logger.clone(),
        stop: stop.clone(),
        requests,
        progress: progress.handle(),
        summary: arguments.summary,
        store,
        secrets: secrets.clone(),
        console: console.clone(),
    })?;
    let mut reading = Reading {
        logger: &logger,
        stop: &stop,
        console,
        buffer: &buffer,
        strict: if arguments.strict { Strictness::FirstRejectEnds } else { Strictness::GoOn },
        parser: LineParser::new(if arguments.assume_utc {
            MissingOffset::AssumeUtc
        } else {
            MissingOffset::Refuse
        }),
        line: Vec::new(),
        rejects,
        trouble: Trouble::None,
    };
    reading.read_all(&inputs, &progress);
    let Reading { rejects, mut trouble, .. } = reading;
    rejects.finish();

    let report = end(logger, store, &stop, console, &mut trouble);
    if attendant.end().is_some() {
        trouble = Trouble::Later;
    }
    console.end_progress();
    let exit = Exit::of_run(&report, trouble, stop.signal().into());
    let sinks = report.sinks.into_iter().map(|sink| (sink.name, sink.counts));
    let summary = Summary::new(report.totals, sinks, store, &secrets).stopped_by(stop.signal());
    console.write_line(&summary.render(arguments.summary));
    Ok(exit)
}

/// Waits for the sinks and closes them.
fn end(
    logger: Logger,
    store: Store,
    stop: &Arc<Stop>,
    console: &Console,
    trouble: &mut Trouble,
) -> CloseReport {
    match drain(&logger, stop) {
        Drained::Settled(flush_failures) => {
            for (name, reason) in flush_failures {
                console.error(&format!("sink `{name}` could not make its events durable: {reason}"));
                *trouble = Trouble::Later;
            }
        }
        Drained::Stalled => {
            let seconds = logger.shutdown_timeout().as_secs_f64();
            let fate = match store {
                Store::Memory => "becomes dead letters",
                Store::Spool => "stays in the spool",
            };
            console.error(&format!(
                "nothing was delivered for {seconds} s (shutdown_timeout): what is left {fate}"
            ));
        }
        Drained::Stopped => {
            if let Some(signal) = stop.signal() {
                let seconds = logger.shutdown_timeout().as_secs_f64();
                stop.wait_for_echo();
                console.note(&format!(
                    "{signal}: nothing more is read; the sinks have {seconds} s (shutdown_timeout) for what was \
                     accepted, and a second signal ends at once"
                ));
            }
        }
    }
    match logger.close(logger.shutdown_timeout()) {
        Ok(report) => report,
        Err(from_callback) => unreachable!("the command line is no sink: {from_callback}"),
    }
}

/// A sink that prints to a terminal is its own progress; so is somebody who types. And who wants JSON wants no bar.
fn visibility(config: &Config, inputs: &[Input], console: &Console) -> Visibility {
    let prints = config.sinks.iter().any(|sink| sink.class == "print.PrintAuditLogger");
    if prints || inputs.iter().any(Input::is_terminal) || console.format() == LogFormat::Json {
        Visibility::Hidden
    } else {
        Visibility::Shown
    }
}

/// Whether a rejected line ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    GoOn,
    FirstRejectEnds,
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    End,
}

struct Reading<'a> {
    logger: &'a Logger,
    stop: &'a Stop,
    console: &'a Console,
    buffer: &'a BufferSettings,
    strict: Strictness,
    parser: LineParser,
    /// The canonical line; kept for its room.
    line: Vec<u8>,
    rejects: Rejects,
    trouble: Trouble,
}

impl Reading<'_> {
    fn read_all(&mut self, inputs: &[Input], progress: &Progress) {
        for input in inputs {
            if input.is_terminal() {
                self.console.note(&format!(
                    "reading events from {}, which is a terminal: one JSON object a line, Ctrl-D ends",
                    input.name()
                ));
            }
            if self.read(input, progress) == Flow::End {
                return;
            }
        }
    }

    fn read(&mut self, input: &Input, progress: &Progress) -> Flow {
        let reader = input.reader(self.stop, progress.read_bytes());
        let mut lines = LineReader::new(reader, longest_line(self.buffer));
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    if self.take(input.name(), &line) == Flow::End {
                        return Flow::End;
                    }
                }
                Ok(None) => return Flow::GoOn,
                Err(_) if self.stop.is_set() => return Flow::End,
                Err(error) => {
                    self.console.error(&format!("{} cannot be read: {error}", input.name()));
                    if self.trouble == Trouble::None && self.logger.counts().accepted == 0 {
                        self.trouble = Trouble::BeforeAnyEvent;
                        return Flow::End;
                    }
                    self.trouble = Trouble::Later;
                    return Flow::GoOn;
                }
            }
        }
    }

    fn take(&mut self, input: &str, line: &InputLine<'_>) -> Flow {
        let number = line.number;
        let text = match line.content {
            LineContent::Bytes(text) => text,
            LineContent::TooLong { len_bytes } => {
                self.logger.reject();
                let reason = format!(
                    "the line takes {len_bytes} bytes, more than the {} that are read where max_event_bytes = {}",
                    longest_line(self.buffer),
                    self.buffer.max_event_bytes
                );
                return self.reject(RejectedLine { input, number, text: None }, &reason);
            }
        };
        let rejected = RejectedLine { input, number, text: Some(text) };
        self.line.clear();
        let entry = match self.parser.parse(text, line.offset, Timestamp::now, &mut self.line) {
            Ok(entry) => entry,
            Err(invalid) => {
                self.logger.reject();
                return self.reject(rejected, &invalid.to_string());
            }
        };
        let patience = match self.buffer.when_full {
            WhenFull::Block => Patience::UntilStopped(self.stop.flag()),
            WhenFull::Fail => Patience::None,
        };
        match self.logger.accept(Record::Line(&self.line[..entry.len as usize], &entry), patience) {
            Ok(()) => Flow::GoOn,
            // Told to stop while the store was full: the line was not taken, as those behind it.
            Err(RecordError::Full { .. }) if self.buffer.when_full == WhenFull::Block => Flow::End,
            // It was accepted, and is counted as a dead letter.
            Err(RecordError::Undelivered(_)) => Flow::GoOn,
            Err(error) => self.reject(rejected, &error.to_string()),
        }
    }

    /// Notes a line that was rejected and is counted as such.
    fn reject(&mut self, line: RejectedLine<'_>, reason: &str) -> Flow {
        self.rejects.push(line, reason);
        match self.strict {
            Strictness::GoOn => Flow::GoOn,
            Strictness::FirstRejectEnds => Flow::End,
        }
    }
}

/// The longest line that is read: escapes and white space may make it longer than its event.
fn longest_line(buffer: &BufferSettings) -> usize {
    const MOST: usize = 511 << 20;
    buffer.max_event_bytes.saturating_mul(8).saturating_add(64 << 10).min(MOST)
}
