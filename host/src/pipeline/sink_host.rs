//! What an instance may call: log, acknowledge, report.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{Acknowledgement, HostServices, Level, RawExtension};

use super::sink_state::SinkState;

/// The host of one instance. What an instance says after it was replaced is ignored, but for its log lines.
pub struct SinkHost {
    sink: Weak<SinkState>,
    epoch: u64,
}

impl SinkHost {
    /// The host of the instance of this epoch.
    pub fn new(sink: &Arc<SinkState>, epoch: u64) -> Self {
        Self { sink: Arc::downgrade(sink), epoch }
    }
}

impl HostServices for SinkHost {
    fn log(&self, level: Level, target: &str, text: &str) {
        let Some(sink) = self.sink.upgrade() else { return };
        let text = sink.secrets.mask(text);
        let name = sink.settings.name.as_str();
        match level {
            Level::Error => tracing::error!(sink = name, from = target, "{text}"),
            Level::Warn => tracing::warn!(sink = name, from = target, "{text}"),
            Level::Info => tracing::info!(sink = name, from = target, "{text}"),
            Level::Debug => tracing::debug!(sink = name, from = target, "{text}"),
            Level::Trace => tracing::trace!(sink = name, from = target, "{text}"),
        }
    }

    fn acknowledge(&self, mut acknowledgement: Acknowledgement) {
        let Some(sink) = self.sink.upgrade() else { return };
        if !acknowledgement.reason.is_empty() {
            acknowledgement.reason = sink.secrets.mask(&acknowledgement.reason).into_owned();
        }
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            let now = Instant::now();
            let before = state.delivery.progress();
            state.delivery.acknowledge(acknowledgement, now);
            if state.delivery.progress() != before {
                sink.store.budget.note_progress(now);
            }
            state.notify_work(&sink);
            state.notify_settled(&sink);
        }
    }

    fn report(&self, report: &Value) {
        let Some(sink) = self.sink.upgrade() else { return };
        let report = sink.masked_value(report);
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            // What `ack_timeout` is too short for, such as a delivery timeout of its own, the sink says itself.
            let timeout = report["ack_timeout"].as_f64().map(Duration::try_from_secs_f64);
            if let Some(Ok(timeout)) = timeout {
                state.delivery.raise_ack_timeout(timeout);
            }
            state.report = Some(report);
        }
    }

    fn extension(&self, _id: &str, _version: u32) -> Option<RawExtension> {
        None
    }
}
