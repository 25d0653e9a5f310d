//! Events that turn out to be damaged in the spool when they are read again: lost for every sink that still waits for
//! them, and told in the audit stream.

use std::ops::Range;
use std::sync::Arc;

use audit_plugin_api::{Action, Metadata, PermissionAuditEvent, RawEvent, Timestamp, flags};

use super::{Store, lock};
use crate::event::{IdGenerator, write_line};
use crate::pipeline::record::{Record, Refused};
use crate::pipeline::run::Run;
use crate::spool::Gap;

/// Events of a run that are damaged.
pub struct Damaged {
    /// The run.
    pub run: Arc<Run>,
    /// Which of its events, in order.
    pub events: Box<[Range<u32>]>,
}

impl Store {
    /// These are lost for every sink that does not have them by now; tells what is lost so.
    pub fn lose_damaged(&self, damaged: &[Damaged]) {
        for Damaged { run, events } in damaged {
            let lost = self.events.lose(run, events);
            let gaps = run.source().map_or(Vec::new(), |source| source.take_gaps(&lost));
            gaps.into_iter().for_each(|gap| self.tell_gap(gap));
        }
    }

    /// Logs a gap, and writes it into the audit stream as an event of its own; later, if the disk has no room for that now.
    pub fn tell_gap(&self, gap: Gap) {
        tracing::error!(
            count = gap.count,
            first_sequence = gap.first_sequence,
            last_sequence = gap.last_sequence,
            "the spool is damaged, and events in it are lost: {}",
            gap.reason
        );
        lock(&self.untold).push(gap);
        self.tell_gaps();
    }

    /// Writes into the audit stream the gaps for which the disk had no room before.
    pub fn tell_gaps(&self) {
        // Out of the lock: making room for one may come here again.
        let gaps = std::mem::take(&mut *lock(&self.untold));
        for gap in gaps {
            let told = match gap_line(&gap).map(|(line, entry)| self.record_own(Record::Line(&line, &entry)))
            {
                Ok(Err(Refused::Spool(_))) => {
                    lock(&self.untold).push(gap);
                    continue;
                }
                Ok(told) => told.map_err(|refused| format!("{refused:?}")),
                Err(error) => Err(error),
            };
            // Only then, so that it is not told again.
            if let Err(error) = told.and_then(|()| gap.heal().map_err(|error| error.to_string())) {
                tracing::error!("the gap in the spool will be reported once more: {error}");
            }
        }
    }
}

fn gap_line(gap: &Gap) -> Result<(Vec<u8>, RawEvent), String> {
    let metadata = serde_json::json!({ "audit_host": {
        "kind": "gap",
        "first_sequence": gap.first_sequence,
        "last_sequence": gap.last_sequence,
        "count": gap.count,
        "reason": gap.reason,
    } });
    let metadata = Metadata::from_json(&metadata.to_string()).map_err(|error| error.to_string())?;
    let event = PermissionAuditEvent::new(Action::Mutation, true).manager("audit_host").metadata(metadata);
    let timestamp = Timestamp::now();
    let mut line = Vec::new();
    let mut entry = write_line(&event, 0, IdGenerator::new().next(timestamp), timestamp, &mut line);
    entry.flags |= flags::GAP;
    line.pop();
    Ok((line, entry))
}
