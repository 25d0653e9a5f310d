//! The space of the spool: segments that are ready for use, and the bound of them all.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Access, Disk, DiskFile};
use super::error::LeaseError;
use super::folder::Folder;
use super::format::{FREE, STATE_AT, SegmentHeader, segment_name};
use super::mapped::{Carver, Mapping};
use super::whole::SpoolOptions;

/// How long after a failure nobody asks the disk again.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// Finished segments that are kept for use, mapped.
pub const MOST_SPARES: usize = 2;

/// How much space may be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// What the bound has.
    Bound,
    /// What the disk has.
    Disk,
}

/// What bounds the space of a spool.
pub trait Bound: Send + Sync {
    /// Takes bytes, if there are so many.
    fn take(&self, bytes: usize) -> bool;
    /// Gives bytes back.
    fn give(&self, bytes: usize);
    /// Gives back what was just taken and is of no use: nobody has made room.
    fn put_back(&self, bytes: usize);
}

/// A segment that is ready for use: allocated, mapped, touched, and free.
pub struct Prepared {
    pub number: u64,
    pub file: Arc<dyn DiskFile>,
    pub carver: Carver,
}

/// The space of the spool: segments that are ready for use, and the bound of them all.
///
/// What is in use is taken from the bound. Spares are not, but they never make the files larger, all in all, than
/// `max_bytes`.
pub struct Stock {
    disk: Arc<dyn Disk>,
    folder: Arc<Folder>,
    bound: Arc<dyn Bound>,
    max_bytes: u64,
    segment_bytes: usize,
    sinks: Vec<String>,
    /// Whether what is prepared has to survive a loss of power.
    durable: bool,
    state: Mutex<State>,
    prepared: Condvar,
}

struct State {
    spares: VecDeque<Prepared>,
    is_preparing: bool,
    next_number: u64,
    /// Bytes of all segments in use.
    used: u64,
    /// Those of them that the bound had no room for: segments that were found, or taken beyond it.
    debt: u64,
    failure: Option<(Instant, String, io::ErrorKind, Option<i32>)>,
}

impl Stock {
    /// An empty stock for this folder, within this bound.
    pub fn new(
        disk: Arc<dyn Disk>,
        folder: Arc<Folder>,
        bound: Arc<dyn Bound>,
        options: &SpoolOptions,
    ) -> Self {
        let state = State {
            spares: VecDeque::new(),
            is_preparing: false,
            next_number: 1,
            used: 0,
            debt: 0,
            failure: None,
        };
        Self {
            disk,
            folder,
            bound,
            max_bytes: options.max_bytes,
            segment_bytes: options.segment_bytes(),
            sinks: options.sinks.clone(),
            durable: options.shadow,
            state: Mutex::new(state),
            prepared: Condvar::new(),
        }
    }

    /// Bytes of a segment.
    pub fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Bytes of a segment that are not its header's.
    pub fn usable_bytes(&self) -> usize {
        self.segment_bytes - self.header(0).len
    }

    /// Counts a segment that was found.
    pub fn note_found(&self, bytes: u64) {
        let mut state = self.lock();
        state.used += bytes;
        if !usize::try_from(bytes).is_ok_and(|bytes| self.bound.take(bytes)) {
            state.debt += bytes;
        }
    }

    /// Counts a segment out.
    pub fn note_gone(&self, bytes: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
        let repaid = bytes.min(state.debt);
        state.debt -= repaid;
        if let Ok(bytes) = usize::try_from(bytes - repaid) {
            self.bound.give(bytes);
        }
    }

    /// A segment for use: a spare, or a new one.
    pub fn take(&self, limit: Limit) -> Result<Prepared, LeaseError> {
        let mut state = self.lock();
        while state.is_preparing && state.spares.is_empty() {
            state = self.prepared.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.spares.is_empty()
            && let Some((since, text, kind, code)) = &state.failure
            && since.elapsed() < TRY_AGAIN
        {
            let error =
                code.map_or_else(|| io::Error::new(*kind, text.clone()), io::Error::from_raw_os_error);
            return Err(error.into());
        }
        let is_within = self.bound.take(self.segment_bytes);
        if !is_within && limit == Limit::Bound {
            return Err(LeaseError::Full);
        }
        let prepared = match state.spares.pop_front() {
            Some(spare) => spare,
            None => {
                let number = state.take_number();
                self.create(number).inspect_err(|error| {
                    state.note_failure(error);
                    if is_within {
                        self.bound.put_back(self.segment_bytes);
                    }
                })?
            }
        };
        state.failure = None;
        state.used += self.segment_bytes as u64;
        state.debt += if is_within { 0 } else { self.segment_bytes as u64 };
        // From here on it counts, whenever the process dies.
        prepared.carver.set_first_word(STATE_AT, super::format::LIVE);
        self.folder.note_segment();
        Ok(prepared)
    }

    /// Has a spare, if the bound allows it; called beforehand, so that [`Stock::take`] finds it.
    pub fn prepare(&self) {
        let mut state = self.lock();
        let wanted = state.used + self.segment_bytes as u64;
        if !state.spares.is_empty() || wanted > self.max_bytes || state.is_preparing {
            return;
        }
        let number = state.take_number();
        state.is_preparing = true;
        drop(state);
        let created = self.create(number);
        let mut state = self.lock();
        state.is_preparing = false;
        match created {
            Ok(spare) => state.spares.push_back(spare),
            Err(error) => state.note_failure(&error),
        }
        self.prepared.notify_all();
    }

    /// Makes a spare of a segment of this stock that is finished, or says that it has to be deleted. One that is mapped
    /// stays so.
    pub fn recycle(&self, path: &Path, mapped: Option<(Arc<dyn DiskFile>, Mapping)>) -> bool {
        let number = {
            let mut state = self.lock();
            if state.spares.len() >= MOST_SPARES {
                return false;
            }
            state.take_number()
        };
        match self.renew(path, number, mapped) {
            Ok(spare) => {
                self.lock().spares.push_back(spare);
                true
            }
            Err(error) => {
                tracing::debug!("{}: not used again: {error}", path.display());
                // It may have its new name by now.
                let _ = self.disk.remove(&self.path(number));
                false
            }
        }
    }

    /// The next one who takes a segment asks the disk, whatever it said just now.
    pub fn forget_failure(&self) {
        self.lock().failure = None;
    }

    /// Deletes the spares.
    pub fn clear(&self) {
        for spare in std::mem::take(&mut self.lock().spares) {
            let path = self.path(spare.number);
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!("{}: the spare segment could not be deleted: {error}", path.display());
            }
        }
    }

    /// In this order, so that at each moment the file is either free or has nothing in it that counts.
    fn renew(
        &self,
        path: &Path,
        number: u64,
        mapped: Option<(Arc<dyn DiskFile>, Mapping)>,
    ) -> io::Result<Prepared> {
        let header_len = self.header(number).len;
        let (file, carver) = match mapped {
            Some((file, mapping)) => {
                // Whoever still reads it would see it change.
                let held = |_| io::Error::other("somebody still reads it");
                (file, Carver::again(mapping, header_len).map_err(held)?)
            }
            None => {
                let file: Arc<dyn DiskFile> = Arc::from(self.disk.open(path, Access::ReadWrite)?);
                let carver = file.map(self.segment_bytes, header_len)?;
                (file, carver)
            }
        };
        file.write_at(&FREE.to_le_bytes(), STATE_AT as u64)?;
        if self.durable {
            file.sync()?;
        }
        self.disk.rename(path, &self.path(number))?;
        self.write_header(number, &*file)?;
        Ok(Prepared { number, file, carver })
    }

    fn create(&self, number: u64) -> io::Result<Prepared> {
        let path = self.path(number);
        let file: Arc<dyn DiskFile> = Arc::from(self.disk.create(&path)?);
        let prepared = file.allocate(self.segment_bytes as u64).and_then(|()| {
            // Where single frames are synced, a large piece would be written for each.
            if !self.durable {
                file.write_zeros(self.segment_bytes)?;
            }
            self.write_header(number, &*file)?;
            file.map(self.segment_bytes, self.header(number).len)
        });
        match prepared {
            Ok(carver) => Ok(Prepared { number, file, carver }),
            Err(error) => {
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    fn write_header(&self, number: u64, file: &dyn DiskFile) -> io::Result<()> {
        file.write_at(&self.header(number).encode(FREE), 0)?;
        if self.durable {
            file.sync()?;
            self.disk.sync_folder(self.folder.path())?;
        }
        Ok(())
    }

    fn header(&self, number: u64) -> SegmentHeader {
        SegmentHeader::new(self.segment_bytes as u64, number, self.sinks.clone())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.path().join(segment_name(number))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn note_failure(&mut self, error: &io::Error) {
        self.failure = Some((Instant::now(), error.to_string(), error.kind(), error.raw_os_error()));
    }
}
