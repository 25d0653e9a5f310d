//! Lines that go to a file in pieces of 256 KiB, a `write(2)` each.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use bench_harness::Case;

/// Bytes of one `write(2)`.
const PIECE_BYTES: usize = 256 << 10;

/// Lines of one thread; the rest is written when it is dropped.
pub struct Pieces<'a> {
    file: &'a Mutex<File>,
    /// What is not written yet.
    pub lines: Vec<u8>,
}

/// The new file of a case.
pub fn create(case: &Case) -> Mutex<File> {
    Mutex::new(File::create(case.out()).expect("a new file"))
}

impl<'a> Pieces<'a> {
    /// For one thread.
    pub fn of(file: &'a Mutex<File>) -> Self {
        Self { file, lines: Vec::with_capacity(2 * PIECE_BYTES) }
    }

    /// Writes the lines if they are a piece.
    pub fn write_if_full(&mut self) {
        if self.lines.len() >= PIECE_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        self.file.lock().expect("nobody panics").write_all(&self.lines).expect("there is room");
        self.lines.clear();
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        self.write();
    }
}
