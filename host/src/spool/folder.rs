//! A process's folder in `spool_dir`, and who owns it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Access, Disk, DiskFile, Lock, Locked};
use super::open_files::OpenFiles;
use super::read_folder::read_file;

/// The name of the file in it that its owner has locked.
pub const LOCK_NAME: &str = "lock";
/// What a folder's name begins with until its owner has locked it.
const UNFINISHED: &str = ".new-";
/// How often a folder is made, at most, until nobody has taken it away.
const ATTEMPTS: u32 = 10;

/// A process's folder in `spool_dir`; its owner has it locked.
pub struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    lock: Mutex<Option<Lock>>,
    segments: AtomicUsize,
    open_files: OpenFiles,
}

impl Folder {
    /// Makes a folder of this process's own.
    pub fn create(disk: &Arc<dyn Disk>, spool_dir: &Path) -> io::Result<Arc<Self>> {
        // Another process that starts may take one that is not locked yet for one that was left.
        for _ in 1..ATTEMPTS {
            match Self::try_create(disk, spool_dir) {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => {
                }
                made => return made,
            }
        }
        Self::try_create(disk, spool_dir)
    }

    fn try_create(disk: &Arc<dyn Disk>, spool_dir: &Path) -> io::Result<Arc<Self>> {
        let name = uuid::Uuid::now_v7().to_string();
        // Others may find it only once it is locked.
        let unfinished = spool_dir.join(format!("{UNFINISHED}{name}"));
        disk.create_folder(&unfinished)?;
        let made = Self::lock_new(disk, &unfinished).and_then(|lock| {
            disk.rename(&unfinished, &spool_dir.join(&name))?;
            Ok(lock)
        });
        match made {
            Ok(lock) => Ok(Self::locked(disk, spool_dir.join(name), lock)),
            Err(error) => {
                let _ = disk.remove(&unfinished.join(LOCK_NAME));
                let _ = disk.remove_folder(&unfinished);
                Err(error)
            }
        }
    }

    fn lock_new(disk: &Arc<dyn Disk>, folder: &Path) -> io::Result<Lock> {
        match disk.lock(&folder.join(LOCK_NAME), &owner_text())? {
            Locked::Held(lock) => Ok(lock),
            Locked::Busy => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes over a folder whose owner is gone; `None` while it is not.
    pub fn adopt(disk: &Arc<dyn Disk>, path: &Path) -> io::Result<Option<Arc<Self>>> {
        match disk.lock(&path.join(LOCK_NAME), &owner_text())? {
            Locked::Held(lock) => Ok(Some(Self::locked(disk, path.to_owned(), lock))),
            Locked::Busy => Ok(None),
        }
    }

    fn locked(disk: &Arc<dyn Disk>, path: PathBuf, lock: Lock) -> Arc<Self> {
        let lock = Mutex::new(Some(lock));
        Arc::new(Self {
            disk: disk.clone(),
            path,
            lock,
            segments: AtomicUsize::new(0),
            open_files: OpenFiles::default(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.disk.list(&self.path).is_ok()
    }

    /// The disk it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Opens a file in it; it stays open for a while.
    pub fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.open_files.get(name, access, || self.disk.open(&self.path.join(name), access))
    }

    /// Closes a file that was opened here.
    pub fn close(&self, name: &str) {
        self.open_files.close(name);
    }

    /// Keeps a copy of a damaged segment beside it, unless there is one already. Whether there is one now.
    pub fn keep_copy(&self, name: &str, bytes: &[u8]) -> bool {
        let disk = &self.disk;
        for number in 1..100 {
            let path = self.path.join(format!("{name}.damaged-{number}"));
            let written = disk.create(&path).and_then(|file| {
                file.write_at(bytes, 0)?;
                file.sync()
            });
            match written {
                Ok(()) => {
                    tracing::error!("a copy of the damaged segment is kept: {}", path.display());
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if read_file(&**disk, &path).is_ok_and(|kept| kept == bytes) {
                        return true;
                    }
                }
                Err(error) => {
                    let _ = disk.remove(&path);
                    tracing::error!(
                        "{}: the damaged segment cannot be copied, and is not repaired: {error}",
                        path.display()
                    );
                    return false;
                }
            }
        }
        false
    }

    /// Counts a segment in it.
    pub fn note_segment(&self) {
        self.segments.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a segment out of it. Whether it was the last.
    pub fn note_removed(&self) -> bool {
        self.segments.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Whether no segment is in it.
    pub fn is_empty(&self) -> bool {
        self.segments.load(Ordering::SeqCst) == 0
    }

    /// Deletes it if nothing is in it, and lets go of it in any case.
    pub fn leave(&self) {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_some() && self.is_empty() {
            let is_kept = |names: Vec<String>| names.iter().any(|name| name != LOCK_NAME);
            // Copies of damaged segments stay for whoever wants to look at them.
            if !self.disk.list(&self.path).is_ok_and(is_kept) {
                let removed = self
                    .disk
                    .remove(&self.path.join(LOCK_NAME))
                    .and_then(|()| self.disk.remove_folder(&self.path));
                if let Err(error) = removed {
                    tracing::warn!("{}: the empty folder could not be deleted: {error}", self.path.display());
                }
            }
        }
        drop(lock);
    }
}

/// Folders in `spool_dir` that processes made, the oldest first.
pub fn folders_in(disk: &dyn Disk, spool_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = disk.list(spool_dir)?;
    names.retain(|name| uuid::Uuid::try_parse(name).is_ok());
    Ok(names.into_iter().map(|name| spool_dir.join(name)).collect())
}

/// Deletes folders whose owner died before they were finished.
pub fn remove_unfinished(disk: &Arc<dyn Disk>, spool_dir: &Path) -> io::Result<()> {
    for name in disk.list(spool_dir)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
        let path = spool_dir.join(name);
        let lock = path.join(LOCK_NAME);
        let Ok(names) = disk.list(&path) else { continue };
        if names.is_empty() {
            // If it is just being made, its owner makes another one.
            let _ = disk.remove_folder(&path);
        } else if names.iter().any(|name| name == LOCK_NAME)
            && let Ok(Locked::Held(held)) = disk.lock(&lock, "")
        {
            let _ = disk.remove(&lock).and_then(|()| disk.remove_folder(&path));
            drop(held);
        }
    }
    Ok(())
}

fn owner_text() -> String {
    format!("{}\n", std::process::id())
}
