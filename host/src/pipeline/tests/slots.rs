//! The place in the store that a thread, or the pipeline itself, records into.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use audit_plugin_api::Timestamp;

use super::stage::event;
use crate::pipeline::Record;
use crate::pipeline::budget::{Budget, Charge};
use crate::pipeline::pool::Buffer;
use crate::pipeline::slot::{Chunk, Slot};

fn chunk() -> Chunk {
    const BYTES: usize = 1 << 12;
    Chunk::new(Buffer::new(BYTES), Charge::of(&Arc::new(Budget::new(BYTES)), BYTES))
}

#[test]
fn a_chunk_that_is_begun_while_another_holds_events_costs_none_of_them() {
    let (slot, sequences) = (Slot::new(false), AtomicU64::new(1));
    for number in 0..3 {
        // As where two sinks tell gaps at once in a full spool: each brings a chunk for its own.
        let mut writer = slot.writer().expect("open");
        writer.begin(chunk());
        writer.push(Record::Event(&event(number)), Timestamp::now(), 1 << 10, &sequences).expect("room");
    }
    let (mut portions, mut lost) = (VecDeque::new(), 0);
    slot.take(&mut portions, &mut |count| lost += count);
    assert_eq!(lost, 0);
    assert_eq!(portions.iter().map(|portion| portion.events).collect::<Vec<_>>(), [1, 1, 1]);
}
