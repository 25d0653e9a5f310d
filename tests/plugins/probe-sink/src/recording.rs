//! Delivers everything.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, Host, Level, Sink, SinkError, SinkOptions, Written};

use crate::lines::Lines;

/// The options of [`Recording`].
#[derive(SinkOptions)]
pub struct RecordingOptions {
    /// The file that is appended to.
    path: PathBuf,
    /// How long each batch takes, in milliseconds.
    #[option(default = 0)]
    delay_ms: u64,
}

/// Delivers everything, perhaps slowly. `control` knows `probe`; `inspect` knows `counts` and `context`.
pub struct Recording {
    context: Context,
    host: Host,
    lines: Lines,
    delay: Duration,
    batches: u64,
    events: u64,
}

impl Sink for Recording {
    type Options = RecordingOptions;

    fn validate(options: &RecordingOptions, _context: &Context) -> Result<(), SinkError> {
        if options.path.as_os_str().is_empty() {
            return Err(SinkError::permanent("the path is empty").option("path"));
        }
        Ok(())
    }

    fn open(options: RecordingOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let lines = Lines::open(Some(&options.path), &context)?;
        host.log(Level::Info, "recording", &format!("opened {}", options.path.display()));
        Ok(Self {
            context,
            host,
            lines,
            delay: Duration::from_millis(options.delay_ms),
            batches: 0,
            events: 0,
        })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        for run in batch.runs() {
            self.lines.append(run)?;
        }
        self.batches += 1;
        self.events += batch.len() as u64;
        Ok(Written::Delivered)
    }

    fn flush(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.lines.sync()
    }

    fn close(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.host.report(&json!({"state": "closed", "batches": self.batches, "events": self.events}));
        Ok(())
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        match request["control"].as_str() {
            Some("probe") => Ok(json!({"seconds_left": deadline.remaining().as_secs_f64()})),
            _ => Err(SinkError::unsupported(&format!("control {request}"))),
        }
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        match request {
            "counts" => Ok(json!({"batches": self.batches, "events": self.events})),
            "context" => Ok(json!({"name": self.context.name, "class": self.context.class})),
            _ => Err(SinkError::unsupported(request)),
        }
    }
}
