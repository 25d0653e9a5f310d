//! serde_json of the same struct into a buffer, and `write(2)`, by one thread without a queue.

use std::fs::File;
use std::sync::Mutex;

use bench_harness::{Case, Contender, Event, Stamper};

use super::pieces::{Pieces, create};

/// The file.
pub struct Serde(Mutex<File>);

impl Serde {
    /// Makes it.
    pub fn open(case: &Case) -> Self {
        Self(create(case))
    }
}

impl Contender for Serde {
    fn producer(&self) -> impl FnMut(&Event) {
        let (mut pieces, mut stamper) = (Pieces::of(&self.0), Stamper::default());
        move |event| {
            serde_json::to_writer(&mut pieces.lines, &stamper.stamp(event)).expect("writing to memory");
            pieces.lines.push(b'\n');
            pieces.write_if_full();
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
