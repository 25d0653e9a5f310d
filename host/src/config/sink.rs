//! One sink, as `audit.toml` configures it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::manifest::ClassSpec;

use super::document::Document;
use super::{SinkSettings, printable};

/// One sink: what stands in `[audit_logger]`. What the file does not say is `None`: the class may have a default.
#[derive(Clone)]
#[non_exhaustive]
pub struct SinkConfig {
    /// Unique name; the class path where none is given.
    pub name: String,
    /// Class path.
    pub class: String,
    /// Whether it may stop admission.
    pub required: bool,
    /// Most events in one batch.
    pub batch_size: Option<usize>,
    /// The oldest waiting event waits no longer.
    pub flush_interval: Option<Duration>,
    /// `false`: `record` writes through, in the caller.
    pub use_worker: Option<bool>,
    /// Batches that the sink may hold unacknowledged.
    pub max_in_flight: Option<usize>,
    /// The sink's own options, a JSON object without the worker's keys. It may hold secrets.
    pub options: serde_json::Value,
    pub(super) class_span: Range<usize>,
    pub(super) options_span: Option<Range<usize>>,
    pub(super) spans: OptionSpans,
    pub(super) document: Arc<Document>,
}

/// Where each part of the options stands, by paths such as `brokers[1].host`.
#[derive(Clone, Debug, Default)]
pub(super) struct OptionSpans(BTreeMap<String, OptionSpan>);

/// Where an option stands.
#[derive(Clone, Debug)]
pub(super) struct OptionSpan {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl SinkConfig {
    pub(super) fn new(document: &Arc<Document>, class: String, class_span: Range<usize>) -> Self {
        Self {
            name: class.clone(),
            class,
            required: true,
            batch_size: None,
            flush_interval: None,
            use_worker: None,
            max_in_flight: None,
            options: serde_json::Map::new().into(),
            class_span,
            options_span: None,
            spans: OptionSpans::default(),
            document: Arc::clone(document),
        }
    }

    /// The worker's settings: what the file says, else the class's own default, else the general one.
    pub fn settings(&self, class: &ClassSpec) -> SinkSettings {
        let general = SinkSettings::default();
        let count = |own: Option<u32>, general| {
            own.filter(|count| *count > 0).map_or(general, |count| count as usize)
        };
        let interval = class.flush_interval.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        SinkSettings {
            name: self.name.clone(),
            class: self.class.clone(),
            required: self.required,
            batch_size: self.batch_size.unwrap_or_else(|| count(class.batch_size, general.batch_size)),
            flush_interval: self.flush_interval.or(interval).unwrap_or(general.flush_interval),
            use_worker: self.use_worker.unwrap_or(general.use_worker),
            max_in_flight: self
                .max_in_flight
                .unwrap_or_else(|| count(class.max_in_flight, general.max_in_flight)),
        }
    }
}

impl fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |text: &str| printable(&self.document.secrets.mask(text)).into_owned();
        f.debug_struct("SinkConfig")
            .field("name", &masked(&self.name))
            .field("class", &masked(&self.class))
            .field("required", &self.required)
            .field("batch_size", &self.batch_size)
            .field("flush_interval", &self.flush_interval)
            .field("use_worker", &self.use_worker)
            .field("max_in_flight", &self.max_in_flight)
            .field("options", &format_args!("{}", masked(&self.options.to_string())))
            .finish_non_exhaustive()
    }
}

impl OptionSpans {
    pub(super) fn insert(&mut self, path: &str, key: Range<usize>, value: Range<usize>) {
        self.0.insert(path.to_owned(), OptionSpan { key, value });
    }

    /// The place of this path, or of the nearest part of it that stands in the file.
    pub(super) fn nearest(&self, path: &str) -> Option<&OptionSpan> {
        let mut path = path;
        loop {
            if let Some(span) = self.0.get(path) {
                return Some(span);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}
