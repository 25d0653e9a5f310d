//! Buffers that are used again, touched beforehand.
//!
//! The first touch of a page inside `record` costs more than everything else there, and a fresh 256 KiB buffer for each
//! run would be mapped anew by the allocator each time. What lies here and what is in use are together within
//! `capacity_bytes`, and a few MiB.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use audit_plugin_api::RawEvent;
use memmap2::{MmapMut, MmapOptions};

const CHUNK_BYTES: usize = 64 << 10;
const RUN_BYTES: usize = 256 << 10;
/// Batches that a sink settles together free dozens of chunks at once, and callers want as many again in a moment.
const SPARE_CHUNKS: usize = 64;
const READY_CHUNKS: usize = 8;
const SPARE_RUNS: usize = 8;

/// Buffers that are used again.
#[derive(Debug)]
pub struct Pool {
    chunk_bytes: usize,
    run_bytes: usize,
    /// Used in turn: one that was read a moment ago lies in the reader's cache, and who writes into it waits for that.
    chunks: Mutex<VecDeque<Buffer>>,
    runs: Mutex<Vec<(Vec<u8>, Vec<RawEvent>)>>,
}

/// Memory for a chunk.
#[derive(Debug)]
pub enum Buffer {
    /// Pages from the system, which it gets back. An allocator keeps a share for each thread, and chunks that one thread
    /// takes and another frees would make all of them grow.
    Pages(MmapMut),
    /// Memory from the allocator: where it is little.
    Heap(Vec<u8>),
}

impl Pool {
    /// A pool for a store of this capacity in bytes: chunks of 64 KiB and runs of 256 KiB, less in a small one.
    pub fn new(capacity: usize) -> Self {
        let chunk_bytes = (capacity / 16).clamp(1, CHUNK_BYTES);
        let run_bytes = (capacity / 8).clamp(1, RUN_BYTES);
        Self { chunk_bytes, run_bytes, chunks: Mutex::default(), runs: Mutex::default() }
    }

    /// Size of a chunk.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Size of a run, about.
    pub fn run_bytes(&self) -> usize {
        self.run_bytes
    }

    /// A buffer of the size of a chunk, filled with anything.
    pub fn chunk(&self) -> Buffer {
        let spare = self.chunks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        spare.unwrap_or_else(|| Buffer::touched(self.chunk_bytes))
    }

    /// Takes a chunk's buffer back. It is kept as long as all that is kept fits into these bytes, or is little.
    pub fn put_chunk(&self, buffer: Buffer, room: usize) {
        if buffer.len() == self.chunk_bytes {
            let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            if chunks.len() < SPARE_CHUNKS.max(room / self.chunk_bytes) {
                chunks.push_back(buffer);
            }
        }
    }

    /// Sees to it that the next chunks need not be made inside `record`.
    pub fn prepare_chunks(&self) {
        loop {
            if self.chunks.lock().unwrap_or_else(PoisonError::into_inner).len() >= READY_CHUNKS {
                return;
            }
            self.put_chunk(Buffer::touched(self.chunk_bytes), 0);
        }
    }

    /// Buffers for a run of this many bytes and events. A small run gets buffers of its own size, so that a backlog of
    /// small runs takes no more memory than it is charged for.
    pub fn run(&self, bytes: usize, events: usize) -> (Vec<u8>, Vec<RawEvent>) {
        if bytes > self.run_bytes / 2 && bytes <= self.run_bytes {
            let spare = self.runs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (lines, mut entries) =
                spare.unwrap_or_else(|| (Vec::with_capacity(self.run_bytes), Vec::new()));
            entries.reserve(events);
            return (lines, entries);
        }
        (Vec::with_capacity(bytes), Vec::with_capacity(events))
    }

    /// Takes a run's buffers back.
    pub fn put_run(&self, mut lines: Vec<u8>, mut entries: Vec<RawEvent>) {
        if lines.capacity() == self.run_bytes {
            lines.clear();
            entries.clear();
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            if runs.len() < SPARE_RUNS {
                runs.push((lines, entries));
            }
        }
    }
}

impl Buffer {
    /// A buffer of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::Heap(vec![0; bytes])
    }

    /// A buffer whose pages are there.
    fn touched(bytes: usize) -> Self {
        match MmapOptions::new().len(bytes).populate().map_anon() {
            Ok(pages) => Self::Pages(pages),
            Err(_) => Self::Heap(vec![1; bytes]),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Pages(pages) => pages,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Pages(pages) => pages,
            Self::Heap(bytes) => bytes,
        }
    }
}
