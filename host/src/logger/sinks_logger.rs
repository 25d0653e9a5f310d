//! The logger with sinks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{PermissionAuditEvent, SinkError};

use super::process::{self, CloseAtExit};
use super::{AuditLogger, Loading, Plan};
use crate::config::{Config, ConfigError};
use crate::pipeline::{
    CloseReport, Counts, FlushOutcome, FromCallback, Inspection, Patience, Pipeline, Record, RecordError,
};

/// How long a forked child that could not open its sinks waits before it tries again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// The logger with sinks: what it accepts is delivered by a worker for each.
///
/// Cheap to clone; all clones are one logger. It is closed with its `shutdown_timeout` when the last clone is dropped and
/// when the process exits (by `exit` or by returning from `main`, not by `_exit`, `abort` or a fatal signal). A forked child
/// never touches what its parent had: at its first `record` it opens its sinks anew.
#[derive(Clone)]
pub struct Logger {
    inner: Arc<Inner>,
}

struct Inner {
    plan: Plan,
    live: Live,
    started: Instant,
    /// When a child last failed to open its sinks, in milliseconds since `started`, plus 1.
    reopen_failed: AtomicU64,
}

/// The pipeline of one process, and that of its forked child.
struct Live {
    generation: u32,
    pipeline: Option<Pipeline>,
    child: OnceLock<Box<Live>>,
}

impl Logger {
    /// Checks a configuration, loads its plugins, and opens every sink.
    pub fn open(config: Config, loading: &Loading) -> Result<Self, ConfigError> {
        Plan::new(config, loading)?.open()
    }

    pub(super) fn of(plan: Plan) -> Result<Self, ConfigError> {
        process::watch_forks();
        let live = Live::open(&plan)?;
        let inner = Arc::new(Inner { plan, live, started: Instant::now(), reopen_failed: AtomicU64::new(0) });
        let closing: Arc<dyn CloseAtExit> = inner.clone();
        process::close_at_exit(&closing);
        Ok(Self { inner })
    }

    /// Accepts an event or a canonical line, with this patience while the store is full.
    pub fn accept(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        self.inner.pipeline_to_record()?.accept(record, patience)
    }

    /// As [`Logger::accept`], but does not wait for the disk where `durability` or `disk_for` ask for it: [`Logger::sync`]
    /// does, for many events at once.
    pub fn accept_unsynced(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        self.inner.pipeline_to_record()?.accept_unsynced(record, patience)
    }

    /// Waits until everything accepted before is as durable as `[buffer]` asks for; returns at once where that is nothing
    /// that has to be waited for.
    pub fn sync(&self, patience: Patience<'_>) -> Result<(), RecordError> {
        self.inner.pipeline().map_or(Ok(()), |pipeline| pipeline.sync(patience))
    }

    /// Counts something that was never accepted, such as a line of input that is no event.
    pub fn reject(&self) {
        if let Some(pipeline) = self.inner.pipeline() {
            pipeline.reject();
        }
    }

    /// The counters, each event once.
    pub fn counts(&self) -> Counts {
        self.inner.pipeline().map(Pipeline::counts).unwrap_or_default()
    }

    /// The counters of each sink, by name.
    pub fn sink_counts(&self) -> Vec<(String, Counts)> {
        self.inner.pipeline().map(Pipeline::sink_counts).unwrap_or_default()
    }

    /// Bytes that the store has in use.
    pub fn used_bytes(&self) -> usize {
        self.inner.pipeline().map_or(0, Pipeline::used_bytes)
    }

    /// Asks a sink, by its name; a busy one is answered for from its last reply.
    pub fn inspect(&self, sink: &str, request: &str) -> Result<Inspection, SinkError> {
        self.inner.pipeline().ok_or_else(not_open)?.inspect(sink, request)
    }

    /// Gives a sink an order, such as `{"control": "reopen"}`, and waits for its answer.
    pub fn control(&self, sink: &str, request: &Value, timeout: Duration) -> Result<Value, SinkError> {
        self.inner.pipeline().ok_or_else(not_open)?.control(sink, request, timeout)
    }

    /// Gives every sink an order; the answers, by name.
    pub fn control_all(&self, request: &Value, timeout: Duration) -> Vec<(String, Result<Value, SinkError>)> {
        let names = self.sink_names();
        names.into_iter().map(|name| (name.clone(), self.control(&name, request, timeout))).collect()
    }

    /// The first sink that says it is failed, with the reason.
    pub fn failed_sink(&self) -> Option<(String, String)> {
        self.inner.pipeline()?.failed_sink()
    }

    /// Names of the sinks, in the order of the configuration.
    pub fn sink_names(&self) -> Vec<String> {
        self.inner
            .pipeline()
            .map(|pipeline| pipeline.sink_names().map(str::to_owned).collect())
            .unwrap_or_default()
    }
}

impl AuditLogger for Logger {
    fn record(&self, event: &PermissionAuditEvent) -> Result<(), RecordError> {
        self.inner.pipeline_to_record()?.record(event)
    }

    fn flush(&self, timeout: Duration) -> Result<FlushOutcome, FromCallback> {
        self.inner.pipeline().map_or(Ok(FlushOutcome::Flushed), |pipeline| pipeline.flush(timeout))
    }

    fn close(&self, timeout: Duration) -> Result<CloseReport, FromCallback> {
        self.inner.pipeline().map_or(Ok(CloseReport::default()), |pipeline| pipeline.close(timeout))
    }

    fn inspect(&self, sink: &str, request: &str) -> Result<Inspection, SinkError> {
        Logger::inspect(self, sink, request)
    }

    fn shutdown_timeout(&self) -> Duration {
        self.inner.plan.delivery.shutdown_timeout
    }
}

impl Inner {
    /// The pipeline of this process; `None` in a forked child that has recorded nothing.
    fn pipeline(&self) -> Option<&Pipeline> {
        self.live.of_this_process()?.pipeline.as_ref()
    }

    /// The pipeline of this process, opened if this is a forked child.
    fn pipeline_to_record(&self) -> Result<&Pipeline, RecordError> {
        if self.live.generation == process::generation()
            && let Some(pipeline) = &self.live.pipeline
        {
            return Ok(pipeline);
        }
        self.pipeline_of_child()
    }

    #[cold]
    fn pipeline_of_child(&self) -> Result<&Pipeline, RecordError> {
        if let Some(pipeline) = self.pipeline() {
            return Ok(pipeline);
        }
        let now = self.started.elapsed().as_millis() as u64 + 1;
        let failed = self.reopen_failed.load(Ordering::Relaxed);
        if failed != 0 && now.saturating_sub(failed) < REOPEN_INTERVAL.as_millis() as u64 {
            return Err(RecordError::Unopened("they could not be opened a moment ago".into()));
        }
        let opened = Live::open(&self.plan).map_err(|error| {
            self.reopen_failed.store(now, Ordering::Relaxed);
            RecordError::Unopened(error.to_string())
        })?;
        // Another thread may have been quicker: then this one's sinks are closed again, with nothing in them.
        let mut last = &self.live;
        while let Some(child) = last.child.get() {
            last = child;
        }
        let _ = last.child.set(Box::new(opened));
        self.pipeline()
            .ok_or_else(|| RecordError::Unopened("the process was forked once more meanwhile".into()))
    }
}

impl CloseAtExit for Inner {
    fn close_at_exit(&self) {
        if let Some(pipeline) = self.pipeline() {
            let closed = pipeline.close(self.plan.delivery.shutdown_timeout);
            if let Ok(report) = closed
                && report.totals.delivered < report.totals.accepted
            {
                tracing::error!(counts = ?report.totals, "not everything was delivered when the process exited");
            }
        }
    }
}

impl Live {
    fn open(plan: &Plan) -> Result<Self, ConfigError> {
        let generation = process::generation();
        Ok(Self { generation, pipeline: Some(plan.open_pipeline()?), child: OnceLock::new() })
    }

    fn of_this_process(&self) -> Option<&Live> {
        let mut live = self;
        let generation = process::generation();
        while live.generation != generation {
            live = live.child.get()?;
        }
        Some(live)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A parent's pipeline has no threads here, and its locks may be held for ever: it is leaked.
        if self.generation != process::generation() {
            std::mem::forget(self.pipeline.take());
        }
    }
}

fn not_open() -> SinkError {
    SinkError::retryable(
        "this process was forked, and has opened no sinks of its own: it does when it records",
    )
}
