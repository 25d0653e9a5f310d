//! Frames as `record` makes them, lines as a worker makes them of 64 KiB of frames, and `write(2)`: all that is between the
//! caller and the file but for the queue, by one thread.

use std::fs::File;
use std::sync::Mutex;

use audit_host::event::frame::{self, Stamp};
use audit_host::event::{IdGenerator, Timestamp};
use audit_plugin_api::RawEvent;
use bench_harness::{Case, Contender, Event};

use super::pieces::{Pieces, create};

const CHUNK_BYTES: usize = 64 << 10;

/// The file.
pub struct Frames(Mutex<File>);

impl Frames {
    /// Makes it.
    pub fn open(case: &Case) -> Self {
        Self(create(case))
    }
}

/// Frames of one thread, and the lines made of them.
struct Framed<'a> {
    pieces: Pieces<'a>,
    frames: Vec<u8>,
    entries: Vec<RawEvent>,
}

impl Framed<'_> {
    fn make_lines(&mut self) {
        self.entries.clear();
        frame::write_lines(&self.frames, &mut self.pieces.lines, &mut self.entries);
        self.frames.clear();
        self.pieces.write_if_full();
    }
}

impl Drop for Framed<'_> {
    fn drop(&mut self) {
        self.make_lines();
    }
}

impl Contender for Frames {
    fn producer(&self) -> impl FnMut(&Event) {
        let frames = Vec::with_capacity(2 * CHUNK_BYTES);
        let mut framed = Framed { pieces: Pieces::of(&self.0), frames, entries: Vec::new() };
        let (mut ids, mut sequence) = (IdGenerator::new(), 0);
        move |event| {
            let timestamp = Timestamp::now();
            let stamp = Stamp { sequence, timestamp, event_id: ids.next(timestamp), flags: 0 };
            sequence += 1;
            frame::push_event(&event.audit, stamp, &mut framed.frames);
            if framed.frames.len() >= CHUNK_BYTES {
                framed.make_lines();
            }
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
