//! Lines, and an `fdatasync` for each `group` of them, into a file whose blocks are all there: what a disk allows.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use bench_harness::{Case, Contender, Event, Places, measured_event};

const FILE_BYTES: u64 = 64 << 20;

/// A file on the disk, full of zeros, so that no sync has to write more than lines; begun anew at its end.
pub struct Zeroed {
    file: File,
    at: u64,
}

impl Zeroed {
    /// Makes it.
    pub fn create() -> Self {
        let path = Places::new().disk().join("synced");
        fs::create_dir_all(Places::new().disk()).expect("a folder on the disk");
        let mut file = File::create(path).expect("a new file");
        let zeros = vec![0; 1 << 20];
        (0..FILE_BYTES >> 20).for_each(|_| file.write_all(&zeros).expect("there is room"));
        file.sync_all().expect("the disk works");
        Self { file, at: 0 }
    }

    /// Writes lines behind the last ones, and syncs them.
    pub fn append(&mut self, lines: &[u8]) {
        if self.at + lines.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(lines, self.at).expect("there is room");
        self.file.sync_data().expect("the disk works");
        self.at += lines.len() as u64;
    }
}

/// The file, and how many lines a sync is for.
pub struct Synced {
    file: Mutex<Zeroed>,
    group: u64,
}

impl Synced {
    /// Makes the file.
    pub fn open(case: &Case) -> Self {
        Self { file: Mutex::new(Zeroed::create()), group: case.get("group", 1) }
    }
}

impl Contender for Synced {
    fn producer(&self) -> impl FnMut(&Event) {
        let line = format!("{}\n", measured_event().to_json()).into_bytes();
        let (mut lines, mut waiting) = (Vec::new(), 0);
        move |_| {
            lines.extend_from_slice(&line);
            waiting += 1;
            if waiting == self.group {
                self.file.lock().expect("nobody panics").append(&lines);
                lines.clear();
                waiting = 0;
            }
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
