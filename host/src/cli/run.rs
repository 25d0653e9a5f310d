//! `run`: from lines of input to the sinks.
//!
//! Everything that can be wrong before the first event (configuration, plugins, sinks, inputs) is found before it. From
//! then on each line is accepted or rejected and counted, and the run ends with the summary, whatever happens in between.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use audit_host::config::{BufferSettings, Config, WhenFull};
use audit_host::event::{InputLine, LineContent, LineParser, LineReader, MissingOffset};
use audit_host::logger::{Logger, Plan};
use audit_host::pipeline::{Patience, Record, RecordError};
use audit_plugin_api::Timestamp;

use super::args::{self, Global};
use super::attendant::Work;
use super::console::Console;
use super::exit::{Exit, Trouble};
use super::failure::Failure;
use super::feedback::refuse_feedback;
use super::input::Input;
use super::progress::{Progress, Visibility};
use super::rejects::{RejectedLine, Rejects};
use super::session::Session;
use super::settings;
use super::signals::{Requests, Stop};
use super::summary::Store;

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
    let visibility = visibility(&config, &inputs, console);
    let logger = Plan::new(config, &settings::loading())?.open()?;

    let read_bytes = Arc::<AtomicU64>::default();
    let session = Session::start(Work {
        logger: logger.clone(),
        stop: stop.clone(),
        requests,
        progress: Progress::of_reading(&inputs, read_bytes.clone(), visibility, console),
        summary: arguments.summary,
        store: Store::of(&buffer),
        secrets,
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
    reading.read_all(&inputs, &read_bytes);
    let Reading { rejects, trouble, .. } = reading;
    rejects.finish();
    Ok(session.end(trouble))
}

/// Somebody who types is progress enough.
fn visibility(config: &Config, inputs: &[Input], console: &Console) -> Visibility {
    if inputs.iter().any(Input::is_terminal) {
        Visibility::Hidden
    } else {
        Visibility::beside(config, console)
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
    fn read_all(&mut self, inputs: &[Input], read_bytes: &AtomicU64) {
        for input in inputs {
            if input.is_terminal() {
                self.console.note(&format!(
                    "reading events from {}, which is a terminal: one JSON object a line, Ctrl-D ends",
                    input.name()
                ));
            }
            if self.read(input, read_bytes) == Flow::End {
                return;
            }
        }
    }

    fn read(&mut self, input: &Input, read_bytes: &AtomicU64) -> Flow {
        let reader =
            Durably { input: input.reader(self.stop, read_bytes), logger: self.logger, stop: self.stop };
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
        match self.logger.accept_unsynced(Record::Line(&self.line[..entry.len as usize], &entry), patience) {
            Ok(()) => Flow::GoOn,
            // Told to stop while the store was full: the line was not taken, as those behind it.
            Err(RecordError::Full { .. } | RecordError::Spool(_))
                if self.buffer.when_full == WhenFull::Block =>
            {
                Flow::End
            }
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

/// Input of which the next piece is read only when the events of the last one are as durable as `[buffer]` asks for: one
/// wait for the disk serves a whole piece, and none is left waiting for input.
struct Durably<'a, R> {
    input: R,
    logger: &'a Logger,
    stop: &'a Stop,
}

impl<R: Read> Read for Durably<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // Told to stop while the disk does not answer: what was accepted is delivered all the same, if it can be.
        if let Err(error) = self.logger.sync(Patience::UntilStopped(self.stop.flag())) {
            tracing::warn!("{error}");
        }
        self.input.read(bytes)
    }
}

/// The longest line that is read: escapes and white space may make it longer than its event.
fn longest_line(buffer: &BufferSettings) -> usize {
    const MOST: usize = 511 << 20;
    buffer.max_event_bytes.saturating_mul(8).saturating_add(64 << 10).min(MOST)
}
