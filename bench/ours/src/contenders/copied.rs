//! A finished line, copied again and again: with `write(2)`, or (`write=0`) into memory alone.

use std::fs::File;
use std::hint::black_box;
use std::sync::Mutex;

use bench_harness::{Case, Contender, Event, measured_event};

use super::pieces::{Pieces, create};

/// Bytes of the buffer that is filled again and again where nothing is written.
const BUFFER_BYTES: usize = 256 << 10;

/// The file, and the line.
pub struct Copied {
    file: Mutex<File>,
    line: Vec<u8>,
    write: bool,
}

impl Copied {
    /// Makes it.
    pub fn open(case: &Case) -> Self {
        let line = format!("{}\n", measured_event().to_json()).into_bytes();
        Self { file: create(case), line, write: case.get("write", 1) == 1 }
    }
}

impl Contender for Copied {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut pieces = Pieces::of(&self.file);
        move |_| {
            pieces.lines.extend_from_slice(black_box(&self.line));
            if self.write {
                pieces.write_if_full();
            } else if pieces.lines.len() >= BUFFER_BYTES {
                black_box(&pieces.lines);
                pieces.lines.clear();
            }
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
