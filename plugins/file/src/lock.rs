//! One instance for each file.
//!
//! Between processes it is an `fcntl` lock on the file itself: it leaves nothing beside the file, the kernel knows its
//! holder, it ends with the holding process, and a forked child does not keep it alive (as it would a `flock`). Such a
//! lock does not tell two instances of one process apart, and closing any descriptor of the file ends it. So a table
//! says who holds what within the process, and each batch takes the lock again, which costs one system call and
//! changes nothing while it is held.
//!
//! An instance that hangs in a call past its deadline was abandoned by the host. It loses its files to whoever asks
//! next: it is *deposed*, and must not touch them again, should it ever wake.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit_plugin_api::Deadline;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::place::id_of;

/// Which file: device and inode.
pub type FileId = (u64, u64);

/// Who holds which file in this process. A forked child finds its parent's entries here, and passes over them.
static HOLDERS: Mutex<BTreeMap<FileId, Holder>> = Mutex::new(BTreeMap::new());

struct Holder {
    pid: u32,
    owner: Arc<Owner>,
}

/// An instance, as the holder of files.
#[derive(Debug)]
pub struct Owner {
    name: String,
    busy_until: Mutex<Option<Deadline>>,
    deposed: AtomicBool,
}

/// Says that the instance is in a call; ends with the call.
pub struct Busy<'a>(&'a Owner);

/// The right to write to a file, until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    id: FileId,
    owner: Arc<Owner>,
}

/// Why a file could not be locked.
#[derive(Debug)]
pub enum Refused {
    /// Another instance of this process has it.
    BySink(String),
    /// Another process has it; its pid is unknown where the kernel cannot name it.
    ByProcess(Option<i32>),
    /// The file system cannot lock.
    Unable(io::Error),
}

impl Owner {
    /// An owner of this name, which stands in the errors of others.
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            busy_until: Mutex::new(None),
            deposed: AtomicBool::new(false),
        })
    }

    /// Enters a call that must have returned by `deadline`.
    pub fn enter(&self, deadline: Deadline) -> Busy<'_> {
        *unpoisoned(&self.busy_until) = Some(deadline);
        Busy(self)
    }

    /// Whether its files have gone to another instance.
    pub fn is_deposed(&self) -> bool {
        self.deposed.load(Ordering::Acquire)
    }

    fn is_abandoned(&self) -> bool {
        unpoisoned(&self.busy_until).is_some_and(Deadline::has_passed)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *unpoisoned(&self.0.busy_until) = None;
    }
}

impl FileLock {
    /// Locks an open file for its owner.
    pub fn take(file: &File, owner: &Arc<Owner>) -> Result<Self, Refused> {
        let metadata = file.metadata().map_err(Refused::Unable)?;
        let id = id_of(&metadata);
        let pid = process::id();
        {
            let mut holders = unpoisoned(&HOLDERS);
            if let Some(holder) = holders.get(&id).filter(|holder| holder.pid == pid)
                && !Arc::ptr_eq(&holder.owner, owner)
            {
                if !holder.owner.is_abandoned() {
                    return Err(Refused::BySink(holder.owner.name.clone()));
                }
                holder.owner.deposed.store(true, Ordering::Release);
            }
            holders.insert(id, Holder { pid, owner: Arc::clone(owner) });
        }
        let lock = Self { id, owner: Arc::clone(owner) };
        lock.renew(file)?;
        Ok(lock)
    }

    /// Takes the lock again, in case it was lost.
    pub fn renew(&self, file: &File) -> Result<(), Refused> {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN | Errno::ACCESS) => Err(Refused::ByProcess(holder_of(file))),
            Err(error) => Err(Refused::Unable(error.into())),
        }
    }

    /// The right to write to what anybody may write to.
    pub fn none(metadata: &Metadata, owner: &Arc<Owner>) -> Self {
        Self { id: id_of(metadata), owner: Arc::clone(owner) }
    }

    /// Who has it.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Which file it is for.
    pub fn id(&self) -> FileId {
        self.id
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut holders = unpoisoned(&HOLDERS);
        if holders.get(&self.id).is_some_and(|holder| Arc::ptr_eq(&holder.owner, &self.owner)) {
            holders.remove(&self.id);
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BySink(name) => {
                let pid = process::id();
                write!(
                    f,
                    "is in use by this process itself (pid {pid}, sink {name:?}); give each sink its own file"
                )
            }
            Self::ByProcess(Some(pid)) if *pid > 0 => {
                write!(f, "is in use by another process (pid {pid}); stop that one, or name another file")
            }
            Self::ByProcess(_) => f.write_str("is in use by another process that cannot be seen from here"),
            Self::Unable(error) => write!(f, "cannot be locked: {error}"),
        }
    }
}

fn holder_of(file: &File) -> Option<i32> {
    let holder = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    holder.pid.map(|pid| pid.as_raw_nonzero().get())
}

/// The value, also after a panic elsewhere: nothing here is left half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
