//! The keys of `[buffer]` that make it crash-safe.

use std::ops::Range;
use std::path::Path;

use super::MAX_CAPACITY_BYTES;
use crate::config::error::Draft;
use crate::config::fields::{self, Fields, array, integer, word};
use crate::config::tree::Node;
use crate::config::{DiskFor, Durability, SpoolSettings};

pub(in crate::config) const MIN_SPOOL_BYTES: i64 = 1 << 20;
/// A segment holds an event of any size, and there are several segments.
const EVENTS_IN_SPOOL: u64 = 4;

/// The settings, and where their size stands.
pub(super) struct Spool {
    settings: SpoolSettings,
    max_bytes_span: Option<Range<usize>>,
}

/// Takes the keys of the spool; `None` where there is to be none.
pub(super) fn read_spool(fields: &mut Fields<'_>, base_dir: &Path) -> Option<Spool> {
    let dir_span = fields.span_of("spool_dir");
    let dir = fields.read("spool_dir", fields::path(base_dir));
    if dir_span.is_none() {
        for key in ["durability", "spool_max_bytes", "disk_for"] {
            if let Some(span) = fields.key_span_of(key) {
                fields.drafts.push(needs_spool_dir(key, span));
            }
        }
    }
    let mut settings = SpoolSettings::new(dir.map(|(dir, _)| dir).unwrap_or_default());
    let words = [("process", Durability::Process), ("disk", Durability::Disk)];
    fields.set(&mut settings.durability, "durability", word(&words));
    let max_bytes_span = fields.span_of("spool_max_bytes");
    fields.set(&mut settings.max_bytes, "spool_max_bytes", integer(MIN_SPOOL_BYTES..=MAX_CAPACITY_BYTES));
    let nodes = fields.read("disk_for", array).unwrap_or_default();
    settings.disk_for = read_disk_for(nodes, fields.drafts);
    dir_span.map(|_| Spool { settings, max_bytes_span })
}

impl Spool {
    /// The largest event that has room in it.
    pub(super) fn max_event_bytes(&self) -> usize {
        usize::try_from(self.settings.max_bytes / EVENTS_IN_SPOOL).unwrap_or(usize::MAX)
    }

    /// The settings, which must have room for events of this size. `event_span` is where that size was asked for.
    pub(super) fn check(
        self,
        max_event_bytes: usize,
        event_span: Option<&Range<usize>>,
        drafts: &mut Vec<Draft>,
    ) -> SpoolSettings {
        if max_event_bytes > self.max_event_bytes()
            && let Some(span) = self.max_bytes_span.or_else(|| event_span.cloned())
        {
            let message = format!(
                "`spool_max_bytes` must be at least {}, {EVENTS_IN_SPOOL} times `max_event_bytes` ({max_event_bytes}), not {}",
                EVENTS_IN_SPOOL.saturating_mul(max_event_bytes as u64),
                self.settings.max_bytes
            );
            drafts.push(Draft::new(span, message));
        }
        self.settings
    }
}

fn needs_spool_dir(key: &str, span: Range<usize>) -> Draft {
    let message = format!(
        "`{key}` needs `spool_dir`, the folder of the crash-safe buffer: name one, or remove `{key}`"
    );
    Draft::new(span, message).note(
        "without `spool_dir` events that wait are kept in memory, and are lost when the process is killed",
    )
}

fn read_disk_for(nodes: Vec<Node>, drafts: &mut Vec<Draft>) -> DiskFor {
    let words: Vec<_> = DiskFor::words().collect();
    nodes
        .into_iter()
        .enumerate()
        .filter_map(|(index, node)| match word(&words)(&format!("disk_for[{index}]"), node) {
            Ok(set) => Some(set),
            Err(rejected) => {
                rejected.report(drafts);
                None
            }
        })
        .collect()
}
