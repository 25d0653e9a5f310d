//! What the tests of the spool stand on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::spool::memory_disk::{MemoryDisk, Operation};
use crate::spool::{Age, Backlog, Bound, Chunk, ChunkWriter, Spool, SpoolError, SpoolOptions};

pub const PAGE: usize = 4096;
pub const MAX_EVENT: usize = 1024;
/// Header, and four regions of a page.
pub const SEGMENT: usize = 5 * PAGE;

/// A deadline that is never met but by a test that fails.
pub fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Waits for another thread.
pub fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = far();
    while !is_so() {
        assert!(Instant::now() < deadline, "it never comes to that");
        std::thread::yield_now();
    }
}

/// Waits until so many segments were made, the last of them a spare.
pub fn wait_for_spare(stage: &Stage, segments: usize) {
    wait_until(|| {
        let log = stage.disk.log();
        let count = |wanted: Operation| log.iter().filter(|(operation, _)| *operation == wanted).count();
        count(Operation::Map) == segments
    });
}

/// A bound of so many bytes.
pub struct Bytes {
    left: Mutex<usize>,
}

impl Bytes {
    pub fn left(&self) -> usize {
        *self.left.lock().unwrap()
    }
}

impl Bound for Bytes {
    fn take(&self, bytes: usize) -> bool {
        let mut left = self.left.lock().unwrap();
        left.checked_sub(bytes).map(|rest| *left = rest).is_some()
    }

    fn give(&self, bytes: usize) {
        *self.left.lock().unwrap() += bytes;
    }

    fn put_back(&self, bytes: usize) {
        self.give(bytes);
    }
}

/// A bound that is never reached.
pub fn unbounded() -> Arc<Bytes> {
    Arc::new(Bytes { left: Mutex::new(usize::MAX / 2) })
}

/// A disk, and how spools are opened on it.
pub struct Stage {
    pub disk: MemoryDisk,
    pub options: SpoolOptions,
}

/// An open spool.
pub struct Opened {
    pub spool: Arc<Spool>,
    pub backlog: Backlog,
    pub bound: Arc<Bytes>,
}

impl Stage {
    /// With sinks of these names, and room for 16 segments.
    pub fn new(sinks: &[&str]) -> Self {
        let options = SpoolOptions {
            dir: PathBuf::from("/spool"),
            max_bytes: 16 * SEGMENT as u64,
            max_event_bytes: MAX_EVENT,
            chunk_bytes: PAGE,
            mapped_bytes: 0,
            shadow: false,
            sinks: own(sinks),
            heirs_of_all: false,
        };
        assert_eq!(options.segment_bytes(), SEGMENT);
        Self { disk: MemoryDisk::default(), options }
    }

    /// One sink, and frames are kept in memory until they are on the disk.
    pub fn durable() -> Self {
        let mut stage = Self::new(&["a"]);
        stage.options.shadow = true;
        stage
    }

    /// The same stage with this disk.
    pub fn with(&self, disk: MemoryDisk) -> Self {
        Self { disk, options: self.options.clone() }
    }

    /// What is left when the process is killed now.
    pub fn killed(&self) -> Self {
        self.with(self.disk.after_kill())
    }

    /// The same with other sinks.
    pub fn for_sinks(mut self, sinks: &[&str]) -> Self {
        self.options.sinks = own(sinks);
        self
    }

    pub fn open(&self) -> Opened {
        self.try_open().unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_open(&self) -> Result<Opened, SpoolError> {
        let bound = Arc::new(Bytes { left: Mutex::new(self.options.max_bytes as usize) });
        let disk = Arc::new(self.disk.clone());
        let (spool, backlog) = Spool::open(disk, self.options.clone(), bound.clone())?;
        Ok(Opened { spool, backlog, bound })
    }
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// A frame of this sequence number, padded; its text tells the number.
pub fn frame(sequence: u64) -> Vec<u8> {
    frame_of(sequence, 100)
}

/// As [`frame`], with a text of so many bytes.
pub fn frame_of(sequence: u64, text_len: usize) -> Vec<u8> {
    let mut frame = vec![0; 48 + text_len];
    let total = frame.len() as u32;
    frame[4..8].copy_from_slice(&total.to_le_bytes());
    frame[8..16].copy_from_slice(&sequence.to_le_bytes());
    frame[16..24].copy_from_slice(&(sequence as i64 * 1000).to_le_bytes());
    frame[45] = 1;
    for (at, byte) in frame[48..].iter_mut().enumerate() {
        *byte = (sequence as usize * 31 + at) as u8;
    }
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

/// Appends frames of these numbers, as long as they fit; how many did.
pub fn append(writer: &mut ChunkWriter, sequences: impl IntoIterator<Item = u64>) -> usize {
    let mut count = 0;
    for sequence in sequences {
        let frame = frame(sequence);
        if writer.room().len() < frame.len() {
            break;
        }
        writer.append(&frame);
        count += 1;
    }
    count
}

/// Writes frames of the numbers from `first` on into chunks of their own until so many are written; the chunks.
pub fn fill(spool: &Spool, first: u64, count: u64) -> Vec<Arc<Chunk>> {
    let (mut chunks, mut next) = (Vec::new(), first);
    while next < first + count {
        let mut writer = spool.lease(frame(next).len()).unwrap();
        next += append(&mut writer, next..first + count) as u64;
        chunks.push(writer.chunk().clone());
    }
    chunks
}

/// The sequence numbers in some frames; each frame must be as it was written.
pub fn sequences(mut frames: &[u8]) -> Vec<u64> {
    let mut sequences = Vec::new();
    while !frames.is_empty() {
        let total = u32::from_le_bytes(frames[4..8].try_into().unwrap()) as usize;
        let sequence = u64::from_le_bytes(frames[8..16].try_into().unwrap());
        let (this, rest) = frames.split_at(total.next_multiple_of(8));
        let written = frame_of(sequence, total - 48);
        // But for the checksum, the number within the chunk, and the padding.
        let is_as_written = (&this[4..46], &this[48..total]) == (&written[4..46], &written[48..total]);
        assert!(is_as_written, "frame {sequence} is not as it was written");
        sequences.push(sequence);
        frames = rest;
    }
    sequences
}

/// What a backlog owes to a sink, in order.
pub fn owed(backlog: &Backlog, sink: usize) -> Vec<u64> {
    let mut owed = Vec::new();
    for part in backlog.parts.iter().filter(|part| part.owed & 1 << sink != 0) {
        let found = part.chunk.read(part.from, part.to, Age::Waited, sequences).unwrap();
        assert_eq!(found.len(), part.events as usize);
        assert_eq!(part.oldest, found[0] as i64 * 1000);
        owed.extend(found);
    }
    owed
}

/// Settles everything in a backlog for all sinks.
pub fn settle(backlog: &Backlog) {
    for part in &backlog.parts {
        for sink in 0..part.offered.len() {
            part.chunk.set_done(sink, part.to);
        }
    }
}

/// How many events the gaps count.
pub fn lost(backlog: &Backlog) -> u64 {
    backlog.gaps.iter().map(|gap| gap.count).sum()
}

/// Waits until all is on the disk, or a sync has failed; the reason.
pub fn until_durable_or_it_is_known_why(opened: &Opened) -> Result<(), String> {
    loop {
        match opened.spool.wait_durable(Instant::now() + Duration::from_millis(1)) {
            Err(error) if error.reason.contains("in time") => {}
            known => return known.map_err(|error| error.reason),
        }
    }
}
