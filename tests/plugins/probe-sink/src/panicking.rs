//! Panics where it is told.

use std::panic::panic_any;
use std::path::PathBuf;

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, Host, OptionType, Sink, SinkError, SinkOptions, Written};

use crate::lines::Lines;
use crate::turns::take_turn;

/// The options of [`Panicking`].
#[derive(SinkOptions)]
pub struct PanickingOptions {
    /// The callback that panics.
    #[option(name = "in")]
    place: Place,
    /// How often it panics, over all instances; 0 = always.
    #[option(default = 0)]
    times: u64,
    /// What it panics with.
    #[option(default = "text")]
    payload: Payload,
    /// The file that is appended to.
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, OptionType)]
enum Place {
    Validate,
    Open,
    Write,
    Flush,
    Close,
    Control,
    Inspect,
    Drop,
    Extension,
    /// A thread that `write_batch` starts, and waits for.
    Thread,
}

#[derive(Clone, Copy, OptionType)]
enum Payload {
    Text,
    /// A value that is no text, and panics again when it is dropped.
    Value,
    /// With nothing: the whole process is aborted.
    Abort,
}

/// Panics where it is told.
pub struct Panicking {
    options: PanickingOptions,
    name: String,
    lines: Lines,
}

impl PanickingOptions {
    fn pass(&self, place: Place, sink: &str) {
        if self.place == place && (self.times == 0 || take_turn(sink) < self.times) {
            match self.payload {
                Payload::Text => panic!("told to"),
                Payload::Value => panic_any(Nasty),
                Payload::Abort => std::process::abort(),
            }
        }
    }
}

struct Nasty;

impl Drop for Nasty {
    fn drop(&mut self) {
        panic!("panicked once more");
    }
}

impl Sink for Panicking {
    type Options = PanickingOptions;

    fn validate(options: &PanickingOptions, context: &Context) -> Result<(), SinkError> {
        options.pass(Place::Validate, &context.name);
        Ok(())
    }

    fn open(options: PanickingOptions, context: Context, _host: Host) -> Result<Self, SinkError> {
        options.pass(Place::Open, &context.name);
        let lines = Lines::open(options.path.as_ref(), &context)?;
        Ok(Self { options, name: context.name, lines })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        self.options.pass(Place::Write, &self.name);
        if self.options.place == Place::Thread {
            let _ = std::thread::spawn(|| panic!("told to")).join();
        }
        for run in batch.runs() {
            self.lines.append(run)?;
        }
        Ok(Written::Delivered)
    }

    fn flush(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.options.pass(Place::Flush, &self.name);
        Ok(())
    }

    fn close(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.options.pass(Place::Close, &self.name);
        Ok(())
    }

    fn control(&mut self, _request: &Value, _deadline: Deadline) -> Result<Value, SinkError> {
        self.options.pass(Place::Control, &self.name);
        Ok(json!({}))
    }

    fn inspect(&mut self, _request: &str) -> Result<Value, SinkError> {
        self.options.pass(Place::Inspect, &self.name);
        Ok(json!({}))
    }

    fn extension(&self, _id: &str, _version: u32) -> Option<audit_plugin_api::RawExtension> {
        self.options.pass(Place::Extension, &self.name);
        None
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        self.options.pass(Place::Drop, &self.name);
    }
}
