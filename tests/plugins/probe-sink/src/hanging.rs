//! Hangs where it is told.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use audit_plugin_api::{Batch, Context, Deadline, Host, OptionType, Sink, SinkError, SinkOptions, Written};

use crate::lines::Lines;
use crate::turns::take_turn;

/// Nothing in the tests waits this long: it only ends what a failed test has left behind.
const LONGEST: Duration = Duration::from_secs(120);

/// The options of [`Hanging`].
#[derive(SinkOptions)]
pub struct HangingOptions {
    /// The callback that hangs.
    #[option(name = "in")]
    place: Place,
    /// It hangs until this file exists.
    release: PathBuf,
    /// How often it hangs, over all instances; 0 = always.
    #[option(default = 0)]
    times: u64,
    /// The file that is appended to.
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, OptionType)]
enum Place {
    Open,
    Write,
    Flush,
    Close,
    Inspect,
}

/// Hangs where it is told.
pub struct Hanging {
    options: HangingOptions,
    context: Context,
    lines: Lines,
}

impl HangingOptions {
    fn pass(&self, place: Place, context: &Context) {
        if self.place != place || (self.times != 0 && take_turn(&context.name) >= self.times) {
            return;
        }
        let (release, since) = (context.resolve(&self.release), Instant::now());
        while !release.exists() && since.elapsed() < LONGEST {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Sink for Hanging {
    type Options = HangingOptions;

    fn open(options: HangingOptions, context: Context, _host: Host) -> Result<Self, SinkError> {
        options.pass(Place::Open, &context);
        let lines = Lines::open(options.path.as_ref(), &context)?;
        Ok(Self { options, context, lines })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        self.options.pass(Place::Write, &self.context);
        for run in batch.runs() {
            self.lines.append(run)?;
        }
        Ok(Written::Delivered)
    }

    fn flush(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.options.pass(Place::Flush, &self.context);
        Ok(())
    }

    fn close(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.options.pass(Place::Close, &self.context);
        Ok(())
    }

    fn inspect(&mut self, _request: &str) -> Result<audit_plugin_api::serde_json::Value, SinkError> {
        self.options.pass(Place::Inspect, &self.context);
        Ok(audit_plugin_api::serde_json::json!({}))
    }
}
