//! Making lines and writing them, by one thread, 256 KiB a `write(2)`, without any queue between: what a worker could do at
//! best. Once with serde_json, once as audit-host makes lines from frames.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use audit_host::event::frame::{self, Stamp};
use audit_host::event::{IdGenerator, Timestamp};
use audit_plugin_api::RawEvent;
use bench_harness::{Case, Contender, Event, Stamper};

/// Bytes of one `write(2)`.
const PIECE: usize = 256 << 10;

/// serde_json of the same struct.
pub struct Serde(Mutex<File>);

impl Serde {
    /// Makes the file.
    pub fn open(case: &Case) -> Self {
        Self(Mutex::new(File::create(case.out()).expect("a new file")))
    }
}

/// Writes what is left when its thread ends.
struct Rest<'a> {
    file: &'a Mutex<File>,
    lines: RefCell<Vec<u8>>,
}

impl Rest<'_> {
    fn write(&self) {
        let lines = &mut *self.lines.borrow_mut();
        self.file.lock().expect("nobody panics").write_all(lines).expect("the disk has room");
        lines.clear();
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

impl Contender for Serde {
    fn producer(&self) -> impl FnMut(&Event) {
        let rest = Rest { file: &self.0, lines: RefCell::new(Vec::with_capacity(2 * PIECE)) };
        let mut stamper = Stamper::default();
        move |event| {
            let mut lines = rest.lines.borrow_mut();
            serde_json::to_writer(&mut *lines, &stamper.stamp(event)).expect("writing to memory");
            lines.push(b'\n');
            if lines.len() >= PIECE {
                drop(lines);
                rest.write();
            }
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}

/// Frames as `record` makes them, lines as a worker makes them.
pub struct Frames(Mutex<File>);

impl Frames {
    /// Makes the file.
    pub fn open(case: &Case) -> Self {
        Self(Mutex::new(File::create(case.out()).expect("a new file")))
    }
}

/// Frames of one thread, and the lines made of them.
struct Framed<'a> {
    rest: Rest<'a>,
    frames: Vec<u8>,
    entries: Vec<RawEvent>,
}

impl Framed<'_> {
    fn make_lines(&mut self) {
        let lines = &mut *self.rest.lines.borrow_mut();
        self.entries.clear();
        frame::write_lines(&self.frames, lines, &mut self.entries);
        self.frames.clear();
    }
}

impl Drop for Framed<'_> {
    fn drop(&mut self) {
        self.make_lines();
    }
}

impl Contender for Frames {
    fn producer(&self) -> impl FnMut(&Event) {
        let rest = Rest { file: &self.0, lines: RefCell::new(Vec::with_capacity(2 * PIECE)) };
        let mut framed = Framed { rest, frames: Vec::with_capacity(PIECE), entries: Vec::new() };
        let (mut ids, mut sequence) = (IdGenerator::new(), 0);
        move |event| {
            let timestamp = Timestamp::now();
            let stamp = Stamp { sequence, timestamp, event_id: ids.next(timestamp), flags: 0 };
            sequence += 1;
            frame::push_event(&event.audit, stamp, &mut framed.frames);
            if framed.frames.len() >= 64 << 10 {
                framed.make_lines();
                if framed.rest.lines.borrow().len() >= PIECE {
                    framed.rest.write();
                }
            }
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
