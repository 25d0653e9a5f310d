//! The spool of this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::backlog::Backlog;
use super::disk::Disk;
use super::error::{LeaseError, NotDurable, SpoolError};
use super::folder::Folder;
use super::format::{MOST_HEADER_BYTES, MOST_SINKS, SegmentHeader, chunk_header_len, round_up};
use super::group_commit::{GroupCommit, sync_all};
use super::housekeeper::{self, Jobs, Reuse};
use super::leasing::Leasing;
use super::recover::{Heirs, recover};
use super::stock::{Bound, Limit, Stock};
use super::writer::ChunkWriter;

const LARGEST_SEGMENT_BYTES: u64 = 4 << 20;

/// What a spool is opened with.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The folder that the folders of all processes are in.
    pub dir: PathBuf,
    /// Bytes that all segments together take at most.
    pub max_bytes: u64,
    /// Bytes of the largest event, as a canonical line.
    pub max_event_bytes: usize,
    /// Bytes of a region, where it is not made for a larger frame.
    pub chunk_bytes: usize,
    /// About how many bytes of segments stay mapped, spares included; the others are read from their files.
    pub mapped_bytes: usize,
    /// Whether frames are kept in memory until they are on the disk: what [`Spool::wait_durable`] needs.
    pub shadow: bool,
    /// The sinks, at most 31.
    pub sinks: Vec<String>,
    /// Whether each of them gets everything that was left, whatever sinks it was for.
    pub heirs_of_all: bool,
}

/// The spool of this process: its own folder in `spool_dir`, and those that processes left which are gone.
pub struct Spool {
    folder: Arc<Folder>,
    adopted: Vec<Arc<Folder>>,
    stock: Arc<Stock>,
    leasing: Arc<Leasing>,
    jobs: Arc<Jobs>,
    commits: Option<Arc<GroupCommit>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SpoolOptions {
    /// Bytes of a segment: a sixteenth of all, but at least what an event of `max_event_bytes` needs.
    pub fn segment_bytes(&self) -> usize {
        // A list of empty texts takes four bytes each in a frame, and three in a line.
        let frame_bytes = self.max_event_bytes.saturating_mul(4) / 3 + 256;
        let least = round_up(MOST_HEADER_BYTES + chunk_header_len(MOST_SINKS) + frame_bytes);
        least.max(round_up((self.max_bytes / 16).min(LARGEST_SEGMENT_BYTES) as usize))
    }
}

impl Spool {
    /// Opens the spool: makes a folder for this process, and takes over those whose owners are gone, with what they
    /// left. Reads all of it.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        bound: Arc<dyn Bound>,
    ) -> Result<(Arc<Self>, Backlog), SpoolError> {
        check_names(&options.sinks)?;
        let dir = &options.dir;
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| SpoolError::Io { doing, path, source }
        };
        let made_in = make_folders(&*disk, dir).map_err(failed("making the folder", dir))?;
        disk.check_folder(dir).map_err(failed("reading the folder", dir))??;
        let folder = Folder::create(&disk, dir).map_err(failed("making a folder in", dir))?;
        if options.shadow {
            for folder in made_in.iter().chain([dir]) {
                disk.sync_folder(folder).map_err(failed("syncing the folder", folder))?;
            }
        }
        let stock = Arc::new(Stock::new(disk.clone(), folder.clone(), bound, &options));
        let jobs = Arc::new(Jobs::default());
        let heirs = Heirs { sinks: &options.sinks, all: options.heirs_of_all };
        let recovered =
            recover(&disk, dir, &folder, &heirs, &jobs, &stock).map_err(failed("reading the folder", dir))?;
        let leasing = Arc::new(Leasing::new(folder.clone(), stock.clone(), jobs.clone(), &options));
        let commits = options.shadow.then(Arc::<GroupCommit>::default);
        let mut spool = Self {
            folder,
            adopted: recovered.folders,
            stock,
            leasing,
            jobs,
            commits,
            threads: Mutex::default(),
        };
        spool.start().map_err(failed("starting a thread for", dir))?;
        spool.jobs.ask_to_prepare();
        Ok((Arc::new(spool), recovered.backlog))
    }

    fn start(&mut self) -> io::Result<()> {
        let (jobs, stock, leasing) = (self.jobs.clone(), self.stock.clone(), self.leasing.clone());
        let housekeeper = thread::Builder::new()
            .name("audit-spool".to_owned())
            .spawn(move || housekeeper::run(&jobs, &stock, &leasing))?;
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        threads.push(housekeeper);
        if let Some(commits) = self.commits.clone() {
            let leasing = self.leasing.clone();
            let syncing =
                thread::Builder::new().name("audit-sync".to_owned()).spawn(move || commits.run(&leasing))?;
            threads.push(syncing);
        }
        Ok(())
    }

    /// Leases a region for one writer, with room for a frame of this length. Makes no system call in the common case;
    /// where the next segment is not ready, it is made here.
    ///
    /// # Errors
    /// `Full` if the bound has no room for another segment, `Io` if the disk does not give one: the next call tries
    /// again, but not more often than every 50 ms.
    pub fn lease(&self, frame_len: usize) -> Result<ChunkWriter, LeaseError> {
        self.lease_within(frame_len, Limit::Bound)
    }

    /// As [`Spool::lease`], but the bound is no matter.
    ///
    /// # Errors
    /// `Io` if the disk does not give a segment.
    pub fn lease_beyond(&self, frame_len: usize) -> Result<ChunkWriter, LeaseError> {
        self.lease_within(frame_len, Limit::Disk)
    }

    fn lease_within(&self, frame_len: usize, limit: Limit) -> Result<ChunkWriter, LeaseError> {
        let writer = self.leasing.lease(frame_len, limit)?;
        if let Some(commits) = &self.commits {
            commits.note_lease();
        }
        Ok(writer)
    }

    /// Waits until everything that was written before this call is on the disk; needs `shadow`.
    ///
    /// # Errors
    /// When it is not known to be there by `until`: it may get there all the same.
    pub fn wait_durable(&self, until: Instant) -> Result<(), NotDurable> {
        match &self.commits {
            Some(commits) => commits.wait(until),
            None => Err(NotDurable { reason: "the spool was not opened for that".to_owned() }),
        }
    }

    /// Stops its threads, deletes what is done, and leaves the rest for a later process; its folders go if nothing is
    /// left in them. Nothing can be leased after that. Blocks for a sync of the disk, if it was opened with `shadow`; says
    /// so if that failed.
    pub fn close(&self) -> Option<NotDurable> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return None;
        }
        self.leasing.close();
        self.jobs.stop();
        if let Some(commits) = &self.commits {
            commits.stop();
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the spool has panicked");
            }
        }
        self.stock.forget_failure();
        let synced = if self.commits.is_some() { sync_all(&self.leasing) } else { Ok(()) };
        self.leasing.release();
        for segment in self.jobs.take_finished() {
            housekeeper::give_back(&segment, &self.stock, &self.leasing, Reuse::No);
        }
        self.stock.clear();
        for segment in self.leasing.live() {
            segment.detach();
        }
        for folder in self.adopted.iter().chain([&self.folder]) {
            folder.leave();
        }
        synced.err().map(|reason| NotDurable { reason })
    }

    /// This process's own folder.
    #[cfg(test)]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(error) = self.close() {
            tracing::error!("what is left in the spool is {error}");
        }
    }
}

/// Makes a folder, with those above it, unless it is there. Returns the folders in which one was made.
fn make_folders(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(Vec::new()),
    };
    let mut made_in = Vec::new();
    let made = match disk.create_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && above != folder => {
            made_in = make_folders(disk, above)?;
            disk.create_folder(folder)
        }
        made => made,
    };
    match made {
        Ok(()) => made_in.push(above.to_owned()),
        // Another process may have made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(made_in)
}

fn check_names(sinks: &[String]) -> Result<(), SpoolError> {
    if sinks.len() > MOST_SINKS {
        return Err(SpoolError::TooManySinks(sinks.len()));
    }
    let len = SegmentHeader::new(0, 0, sinks.to_vec()).len;
    if len > MOST_HEADER_BYTES {
        return Err(SpoolError::NamesTooLong(len, MOST_HEADER_BYTES));
    }
    Ok(())
}
