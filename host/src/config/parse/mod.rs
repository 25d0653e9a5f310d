//! From a parsed file to settings, section by section. Goes on after a mistake, so that all are found at once.

mod plugins;
mod sinks;
mod spool;

use std::path::Path;
use std::sync::Arc;

use self::plugins::read_plugins;
use self::sinks::read_sinks;
pub(super) use self::spool::MIN_SPOOL_BYTES;
use self::spool::{Spool, read_spool};
use super::document::Document;
use super::error::Draft;
use super::fields::{self, Fields, Zero, integer, seconds, table, word};
use super::tree::Entry;
use super::{BufferSettings, Config, ConfigError, DeliverySettings, WhenFull};

/// The keys of `options` that are the worker's; the rest is the sink's.
pub(super) const WORKER_KEYS: [&str; 4] = ["batch_size", "flush_interval", "use_worker", "max_in_flight"];

pub(super) const MAX_COUNT: i64 = u32::MAX as i64;
pub(super) const MIN_CAPACITY_BYTES: i64 = 4 << 10;
pub(super) const MAX_CAPACITY_BYTES: i64 = 1 << 40;
/// Offsets within a batch have 32 bits.
pub(super) const MAX_EVENT_BYTES: i64 = 1 << 30;

/// Makes settings of `root`, unless there are mistakes: `drafts` holds those that were made before.
pub(super) fn parse(
    document: &Arc<Document>,
    root: Vec<Entry>,
    base_dir: &Path,
    mut drafts: Vec<Draft>,
) -> Result<Config, ConfigError> {
    let mut root = Fields::new("at the top level", root, &mut drafts);
    let sinks = root.take("audit_logger");
    let plugins = root.read("plugins", table).unwrap_or_default();
    let buffer = root.read("buffer", table).unwrap_or_default();
    let delivery = root.read("delivery", table).unwrap_or_default();
    root.finish();

    let config = Config {
        sinks: sinks.map(|node| read_sinks(document, node, &mut drafts)).unwrap_or_default(),
        plugins: read_plugins(Fields::new("in [plugins]", plugins, &mut drafts), base_dir),
        buffer: read_buffer(Fields::new("in [buffer]", buffer, &mut drafts), base_dir),
        delivery: read_delivery(Fields::new("in [delivery]", delivery, &mut drafts), base_dir),
        base_dir: base_dir.to_owned(),
        secrets: document.secrets.clone(),
    };
    if drafts.is_empty() { Ok(config) } else { Err(ConfigError::in_document(document, drafts)) }
}

fn read_buffer(mut fields: Fields<'_>, base_dir: &Path) -> BufferSettings {
    let mut settings = BufferSettings::default();
    fields.set(
        &mut settings.capacity_bytes,
        "capacity_bytes",
        integer(MIN_CAPACITY_BYTES..=MAX_CAPACITY_BYTES),
    );
    let span = fields.span_of("max_event_bytes");
    let max_event_bytes = fields.read("max_event_bytes", integer(1..=MAX_EVENT_BYTES));
    let words = [("block", WhenFull::Block), ("fail", WhenFull::Fail)];
    fields.set(&mut settings.when_full, "when_full", word(&words));
    fields.set(&mut settings.block_timeout, "block_timeout", seconds(Zero::Allowed));
    let spool = read_spool(&mut fields, base_dir);
    // A small store lowers the default; a size that was asked for is never changed.
    let quarter = settings.capacity_bytes / 4;
    let spool_limit = spool.as_ref().map_or(usize::MAX, Spool::max_event_bytes);
    settings.max_event_bytes =
        max_event_bytes.unwrap_or(settings.max_event_bytes.min(quarter).min(spool_limit));
    settings.spool = spool.map(|spool| spool.check(settings.max_event_bytes, span.as_ref(), fields.drafts));
    if let Some(span) = span.filter(|_| settings.max_event_bytes > quarter) {
        let BufferSettings { max_event_bytes, capacity_bytes, .. } = settings;
        fields.drafts.push(Draft::new(
            span,
            format!(
                "`max_event_bytes` must be at most a quarter of `capacity_bytes`, {quarter} of {capacity_bytes}, not \
                 {max_event_bytes}"
            ),
        ));
    }
    fields.finish();
    settings
}

fn read_delivery(mut fields: Fields<'_>, base_dir: &Path) -> DeliverySettings {
    let mut settings = DeliverySettings::default();
    let span = fields.span_of("retry_initial");
    let initial = fields.read("retry_initial", seconds(Zero::Allowed));
    fields.set(&mut settings.retry_max, "retry_max", seconds(Zero::Allowed));
    // A short `retry_max` lowers the default; a delay that was asked for is never changed.
    settings.retry_initial = initial.unwrap_or(settings.retry_initial.min(settings.retry_max));
    if let Some(span) = span.filter(|_| settings.retry_initial > settings.retry_max) {
        let (initial, max) = (settings.retry_initial.as_secs_f64(), settings.retry_max.as_secs_f64());
        fields.drafts.push(Draft::new(
            span,
            format!("`retry_initial` must be at most `retry_max`, {max} seconds, not {initial}"),
        ));
    }
    fields.set(&mut settings.max_attempts, "max_attempts", integer(0..=MAX_COUNT));
    fields.set(&mut settings.open_timeout, "open_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.write_timeout, "write_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.ack_timeout, "ack_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.shutdown_timeout, "shutdown_timeout", seconds(Zero::Allowed));
    settings.dead_letter_path = base_dir.join(&settings.dead_letter_path);
    settings.rejected_path = base_dir.join(&settings.rejected_path);
    let mut last = None;
    for (target, key) in
        [(&mut settings.dead_letter_path, "dead_letter_path"), (&mut settings.rejected_path, "rejected_path")]
    {
        if let Some((path, span)) = fields.read(key, fields::path(base_dir)) {
            *target = path;
            last = Some(span);
        }
    }
    if let Some(span) = last.filter(|_| settings.dead_letter_path == settings.rejected_path) {
        let shown = settings.rejected_path.display();
        let message =
            format!("`dead_letter_path` and `rejected_path` are both {shown}: give each a file of its own");
        fields.drafts.push(Draft::new(span, message));
    }
    fields.finish();
    settings
}
