//! Sends dead letters to one sink, and finds out which of them it has delivered.
//!
//! The sink is opened in a logger of its own, whose dead letters go into a folder that is thrown away: what stands there
//! after a flush was not delivered, everything else was. Where the counters say otherwise, nothing counts as delivered.

use std::collections::HashMap;

use audit_host::config::{Config, SinkConfig};
use audit_host::event::{LineParser, MissingOffset};
use audit_host::logger::{AuditLogger, Logger, Plan};
use audit_host::pipeline::dead_letters::Letter;
use audit_host::pipeline::{Patience, Record, RecordError};
use audit_plugin_api::{Timestamp, flags};
use tempfile::TempDir;

use super::file::LetterFile;
use super::outcome::Outcome;
use crate::cli::console::Console;
use crate::cli::drain::{Drained, drain};
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::cli::signals::Stop;

/// Letters that are settled together.
const BATCH: usize = 1000;

/// Sends dead letters to one sink.
pub struct Sender {
    logger: Logger,
    folder: TempDir,
    again: LetterFile,
    parser: LineParser,
    line: Vec<u8>,
    sent: Vec<Sent>,
    /// Delivered before the letters in `sent`.
    delivered_before: u64,
    /// Why nothing more is sent.
    ended: Option<String>,
}

struct Sent {
    id: String,
    event: Vec<u8>,
}

impl Sender {
    /// Opens the sink.
    pub fn open(config: &Config, sink: &SinkConfig) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("audit-host-replay-")
            .tempdir()
            .map_err(|error| Failure::new(format!("no folder for what fails again: {error}")))?;
        let again = folder.path().join("again.ndjson");
        let mut config = config.clone();
        let mut sink = sink.clone();
        sink.required = true;
        config.sinks = vec![sink];
        config.delivery.dead_letter_path = again.clone();
        // What waits in the spool is not for a replay to deliver.
        let logger = Plan::new(config, &settings::loading())?.with_spool(None).open()?;
        Ok(Self {
            logger,
            folder,
            again: LetterFile::new(&again),
            parser: LineParser::new(MissingOffset::Refuse),
            line: Vec::new(),
            sent: Vec::new(),
            delivered_before: 0,
            ended: None,
        })
    }

    /// Sends a letter; whether it is delivered is known when it is settled.
    pub fn push(&mut self, letter: Letter, stop: &Stop, outcome: &mut Outcome) {
        if let Some(reason) = &self.ended {
            return outcome.fail(letter.id, reason);
        }
        self.line.clear();
        let event = letter.event.get().as_bytes();
        let mut entry = match self.parser.parse(event, 0, Timestamp::now, &mut self.line) {
            Ok(entry) => entry,
            Err(invalid) => return outcome.fail(letter.id, format!("its event is damaged: {invalid}")),
        };
        entry.flags |= flags::REPLAYED;
        let line = &self.line[..entry.len as usize];
        match self.logger.accept(Record::Line(line, &entry), Patience::UntilStopped(stop.flag())) {
            Ok(()) | Err(RecordError::Undelivered(_)) => {
                self.sent.push(Sent { id: letter.id, event: line.to_vec() });
            }
            Err(error) => outcome.fail(letter.id, error.to_string()),
        }
    }

    /// Whether it is time to settle.
    pub fn is_full(&self) -> bool {
        self.sent.len() >= BATCH
    }

    /// Waits until all that was sent is delivered or not, and marks what is.
    pub fn settle(&mut self, file: &LetterFile, stop: &Stop, outcome: &mut Outcome) -> Result<(), Failure> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let mut not_durable = None;
        match drain(&self.logger, stop) {
            Drained::Settled(flush_failures) => {
                not_durable = flush_failures.into_iter().next().map(|(_, reason)| reason);
            }
            Drained::Stalled => self.end("the sink delivers nothing"),
            Drained::Stopped => self.end("the replay was stopped"),
        }
        let sent = std::mem::take(&mut self.sent);
        let mut again = self.take_again()?;
        let mut delivered = Vec::new();
        let mut failed = Vec::new();
        for letter in sent {
            match again.get_mut(&letter.event).and_then(Vec::pop) {
                Some(reason) => failed.push((letter.id, reason)),
                None => delivered.push(letter.id),
            }
        }
        let counted = self.logger.counts().delivered - self.delivered_before;
        self.delivered_before += counted;
        let doubt = not_durable.or_else(|| {
            (counted != delivered.len() as u64)
                .then(|| format!("{counted} were delivered, but it is not known which"))
        });
        match doubt {
            Some(reason) => failed.extend(delivered.into_iter().map(|id| (id, reason.clone()))),
            None if delivered.is_empty() => {}
            None => {
                file.mark_replayed(&delivered)?;
                outcome.replayed.extend(delivered);
            }
        }
        for (id, reason) in failed {
            outcome.fail(id, reason);
        }
        Ok(())
    }

    /// Settles the rest and closes the sink.
    pub fn finish(
        mut self,
        file: &LetterFile,
        stop: &Stop,
        outcome: &mut Outcome,
        console: &Console,
    ) -> Result<(), Failure> {
        self.settle(file, stop, outcome)?;
        for sink in self.close() {
            console.error(&sink);
        }
        if let Err(error) = self.folder.close() {
            console.warn(&format!("a temporary folder could not be removed: {error}"));
        }
        Ok(())
    }

    /// Closes the sink: what it has not delivered fails.
    fn end(&mut self, reason: &str) {
        self.ended = Some(reason.to_owned());
        self.close();
    }

    fn close(&self) -> Vec<String> {
        let closed = self.logger.close(self.logger.shutdown_timeout());
        let sinks = closed.map(|report| report.sinks).unwrap_or_default();
        let failures = |sink: &audit_host::pipeline::SinkReport| -> Vec<String> {
            sink.failures.iter().map(|reason| format!("sink `{}`: {reason}", sink.name)).collect()
        };
        sinks.iter().flat_map(failures).collect()
    }

    /// The events that failed again, with the reasons. Everything is settled, so nobody writes there now.
    fn take_again(&self) -> Result<HashMap<Vec<u8>, Vec<String>>, Failure> {
        let mut again: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        self.again.letters(&mut |letter| {
            if let Ok(letter) = letter {
                again.entry(letter.event.get().as_bytes().to_vec()).or_default().push(letter.reason);
            }
            Ok(())
        })?;
        if !again.is_empty() {
            std::fs::remove_file(self.again.path())
                .map_err(|error| Failure::new(format!("{}: {error}", self.again.path().display())))?;
        }
        Ok(again)
    }
}
