//! Standard error: messages, log lines and progress, one at a time.
//!
//! Every line is written whole, and never into the middle of a progress bar. Text that may come from outside is escaped, so
//! that it cannot move a terminal's cursor or forge a line. A standard error that is closed is no error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use audit_host::config::{Rendering, Secrets, printable};
use audit_plugin_api::Timestamp;
use indicatif::ProgressBar;
use tracing_subscriber::fmt::MakeWriter;

use super::args::LogFormat;
use super::failure::Failure;
use super::json::printable_json;
use super::masking::mask_json;

/// Standard error. All clones are one.
#[derive(Clone, Debug)]
pub struct Console {
    format: LogFormat,
    secrets: Arc<Mutex<Secrets>>,
    progress: Arc<Mutex<Option<ProgressBar>>>,
}

impl Console {
    /// A console whose messages have this form.
    pub fn new(format: LogFormat) -> Self {
        Self { format, secrets: Arc::default(), progress: Arc::default() }
    }

    /// Masks these values, too, in everything that is said from now on.
    pub fn mask(&self, secrets: &Secrets) {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.and(secrets);
    }

    fn secrets(&self) -> Secrets {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets().mask(text)
    }

    fn masked_json<'t>(&self, line: &'t str) -> Cow<'t, str> {
        let secrets = self.secrets();
        if secrets.is_empty() {
            return Cow::Borrowed(line);
        }
        match serde_json::from_str(line) {
            Ok(mut value) => {
                mask_json(&mut value, &secrets);
                Cow::Owned(value.to_string())
            }
            Err(_) => secrets.mask(line),
        }
    }

    /// The form of its messages.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Says why a command cannot do what it was asked.
    pub fn fail(&self, failure: &Failure) {
        let rendering = match self.format {
            LogFormat::Text if io::stderr().is_terminal() => Rendering::Styled,
            _ => Rendering::Plain,
        };
        self.message("ERROR", &failure.render(rendering));
    }

    /// Says that something went wrong.
    pub fn error(&self, text: &str) {
        self.message("ERROR", &printable(text));
    }

    /// Says that something is not as it should be.
    pub fn warn(&self, text: &str) {
        self.message("WARN", &printable(text));
    }

    /// Says something.
    pub fn note(&self, text: &str) {
        self.message("INFO", &printable(text));
    }

    fn message(&self, level: &str, text: &str) {
        let text = self.masked(text);
        match self.format {
            LogFormat::Text => self.write_line(&format!("audit-host: {text}")),
            LogFormat::Json => {
                let timestamp = Timestamp::now().to_string();
                let line = serde_json::json!({ "timestamp": timestamp, "level": level, "message": text });
                self.write_line(&printable_json(&line.to_string()));
            }
        }
    }

    /// Writes a line as it is.
    pub fn write_line(&self, line: &str) {
        let line = format!("{line}\n");
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        };
        match &*progress {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows a progress bar below all lines, until [`Console::end_progress`].
    pub fn show_progress(&self, bar: ProgressBar) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    /// Removes the progress bar.
    pub fn end_progress(&self) {
        if let Some(bar) = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl MakeWriter<'_> for Console {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }
}

/// Takes one log line with each write.
pub struct LogWriter(Console);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        match self.0.format {
            LogFormat::Text => self.0.write_line(&printable(&self.0.masked(line))),
            LogFormat::Json => self.0.write_line(&printable_json(&self.0.masked_json(line))),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
