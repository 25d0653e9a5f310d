//! A segment file that holds chunks.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chunk::Chunk;
use super::disk::{Access, DiskFile};
use super::folder::Folder;
use super::format::{seed, segment_name};
use super::housekeeper::Jobs;
use super::mapped::Mapping;

/// A segment file that holds chunks.
///
/// It is *held* by whoever still needs it: each chunk that is not done, each gap that is not healed, and the spool as
/// long as it leases from it. When nobody holds it, the housekeeper is told.
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// What its checksums start with.
    pub seed: u32,
    /// Its size.
    pub bytes: u64,
    /// The folder it is in.
    pub folder: Arc<Folder>,
    /// Its name there.
    pub name: String,
    held: AtomicUsize,
    jobs: Arc<Jobs>,
    open: Mutex<Open>,
    dirty: AtomicBool,
    retired: AtomicBool,
}

#[derive(Default)]
struct Open {
    file: Option<Arc<dyn DiskFile>>,
    mapping: Option<Mapping>,
    chunks: Vec<Arc<Chunk>>,
}

impl Segment {
    /// A segment that this process made, held by the caller.
    pub fn mapped(
        number: u64,
        bytes: u64,
        folder: Arc<Folder>,
        jobs: Arc<Jobs>,
        file: Arc<dyn DiskFile>,
        mapping: Mapping,
    ) -> Self {
        let open = Open { file: Some(file), mapping: Some(mapping), chunks: Vec::new() };
        Self { open: Mutex::new(open), ..Self::found(number, bytes, folder, segment_name(number), jobs) }
    }

    /// A segment that an earlier process left, held by the caller.
    pub fn found(number: u64, bytes: u64, folder: Arc<Folder>, name: String, jobs: Arc<Jobs>) -> Self {
        Self {
            number,
            seed: seed(number),
            bytes,
            folder,
            name,
            held: AtomicUsize::new(1),
            jobs,
            open: Mutex::default(),
            dirty: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Holds it.
    pub fn hold(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets go of it.
    pub fn release(self: &Arc<Self>) {
        if self.held.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.jobs.note_finished(self.clone());
        }
    }

    /// Notes a chunk that is in its mapping.
    pub fn add_chunk(&self, chunk: Arc<Chunk>) {
        self.lock().chunks.push(chunk);
    }

    /// The chunks that were noted.
    pub fn chunks(&self) -> Vec<Arc<Chunk>> {
        self.lock().chunks.clone()
    }

    /// Unmaps and closes it; its chunks are read from the file from now on. Whoever reads or writes it just now keeps
    /// the mapping until he is done. Returns the file and the mapping, if it had them.
    pub fn detach(self: &Arc<Self>) -> Option<(Arc<dyn DiskFile>, Mapping)> {
        let open = std::mem::take(&mut *self.lock());
        for chunk in &open.chunks {
            chunk.detach(self);
        }
        open.file.zip(open.mapping)
    }

    /// Whether it is mapped.
    pub fn is_mapped(&self) -> bool {
        self.lock().mapping.is_some()
    }

    /// Whether it can be detached: nothing in it waits for a sync.
    pub fn is_detachable(&self) -> bool {
        let open = self.lock();
        !self.dirty.load(Ordering::SeqCst) && open.chunks.iter().all(|chunk| !chunk.has_shadow())
    }

    /// Says that something was written which is not synced.
    #[inline]
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::SeqCst);
    }

    /// Whether something was written since the last time this was asked, and the file to sync then.
    pub fn take_dirty(&self) -> Option<Arc<dyn DiskFile>> {
        if self.is_retired() || !self.dirty.swap(false, Ordering::SeqCst) {
            return None;
        }
        self.lock().file.clone()
    }

    /// A sync of it failed: its descriptor is not used any more, and neither are its bytes for anything new.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.folder.close(&self.name);
    }

    /// Whether a sync of it failed.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Calls this with the file, which is opened if it is not open.
    pub fn with_file<R>(
        &self,
        access: Access,
        call: impl FnOnce(&dyn DiskFile) -> io::Result<R>,
    ) -> io::Result<R> {
        let open = self.lock().file.clone().filter(|_| !self.is_retired());
        if let Some(file) = open {
            return call(&*file);
        }
        let called = self.folder.open(&self.name, access).and_then(|file| call(&*file));
        if called.is_err() {
            self.folder.close(&self.name);
        }
        called
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
