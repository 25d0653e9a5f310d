//! Appends the canonical lines to a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, Host, Level, Sink, SinkError, SinkOptions, Written};

/// The options of [`Recording`].
#[derive(SinkOptions)]
pub struct RecordingOptions {
    /// The file that is appended to.
    path: PathBuf,
    /// How long each batch takes, in milliseconds.
    #[option(default = 0)]
    delay_ms: u64,
}

/// Appends the canonical lines to a file.
pub struct Recording {
    host: Host,
    file: File,
    delay: Duration,
    batches: u64,
    events: u64,
}

impl Sink for Recording {
    type Options = RecordingOptions;

    fn open(options: RecordingOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let path = context.resolve(&options.path);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|error| {
            SinkError::permanent(format!("cannot open {}: {error}", path.display())).option("path")
        })?;
        host.log(Level::Info, "recording", &format!("opened {}", path.display()));
        Ok(Self { host, file, delay: Duration::from_millis(options.delay_ms), batches: 0, events: 0 })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        thread::sleep(self.delay);
        for run in batch.runs() {
            self.file
                .write_all(run)
                .map_err(|error| SinkError::retryable(format!("cannot write: {error}")))?;
        }
        self.batches += 1;
        self.events += batch.len() as u64;
        Ok(Written::Delivered)
    }

    fn flush(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.file.sync_data().map_err(|error| SinkError::retryable(format!("cannot sync: {error}")))
    }

    fn close(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.host.report(&json!({"state": "closed", "batches": self.batches, "events": self.events}));
        Ok(())
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        match request {
            "counts" => Ok(json!({"batches": self.batches, "events": self.events})),
            _ => Err(SinkError::unsupported(request)),
        }
    }
}
