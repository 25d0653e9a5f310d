//! The least that `record` could do: read the clock, make an id, copy the fields into a buffer whose pages were touched.
//!
//! The buffer is 1 MiB a thread, used round and round, so that the copies leave the first cache as they do in a queue.

use std::hint::black_box;

use audit_host::event::{IdGenerator, Timestamp};
use audit_plugin_api::PermissionAuditEvent;
use bench_harness::{Case, Contender, Event};

const BUFFER_BYTES: usize = 1 << 20;

/// The floor of `record`.
pub struct Floor;

impl Floor {
    /// Opens nothing: each producer has a buffer of its own.
    pub fn open(_: &Case) -> Self {
        Self
    }
}

impl Contender for Floor {
    fn producer(&self) -> impl FnMut(&Event) {
        let (mut ids, mut buffer, mut used) = (IdGenerator::new(), vec![1_u8; BUFFER_BYTES], 0);
        move |event| {
            let timestamp = Timestamp::now();
            let event_id = ids.next(timestamp);
            let audit = &event.audit;
            if buffer.len() - used < 64 << 10 {
                used = 0;
            }
            let mut put = |bytes: &[u8]| {
                buffer[used..used + bytes.len()].copy_from_slice(bytes);
                used += bytes.len();
            };
            put(&timestamp.as_micros().to_le_bytes());
            put(event_id.as_bytes());
            put(&[audit.action.code() as u8, audit.granted.into(), audit.bypassed.into()]);
            texts(audit, |text| {
                put(&(text.len() as u32).to_le_bytes());
                put(text.as_bytes());
            });
            black_box(&mut buffer);
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}

/// Every text of an event, in order.
fn texts(audit: &PermissionAuditEvent, mut put: impl FnMut(&str)) {
    audit.attributes.iter().chain(&audit.permissions).for_each(|text| put(text));
    [&audit.manager, &audit.user_id, &audit.user].into_iter().flatten().for_each(|text| put(text));
    if let Some(metadata) = &audit.metadata {
        put(metadata.as_str());
    }
}
