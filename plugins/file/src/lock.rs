//! One sink for each file.
//!
//! Between processes it is a lock on the file itself: it leaves nothing beside the file, and a forked child does not keep
//! it alive when its parent is gone (as it would a `flock`). Within the process a table says which sink has which file.
//! Closing any descriptor of the file ends the lock, so each batch takes it again, which costs one system call and
//! changes nothing while it is held.
//!
//! Kin may share a file: a forked child opens its parent's sinks anew, and a new configuration opens the sink of the same
//! name before the old one is drained. They take turns: whoever writes, repairs or rotates has the file for itself.
//!
//! An instance that hangs in a call past its deadline was abandoned by the host. It loses file and turn to whoever asks
//! next: it is *deposed*, and must not touch the file again, should it ever wake.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use audit_plugin_api::Deadline;

use crate::kin::is_kin;
use crate::place::id_of;
use crate::range_lock::{Range, holder, try_lock, unlock, wait_and_lock};

/// How often a waiting instance looks whether the one before it was abandoned.
const LOOK: Duration = Duration::from_millis(100);

/// Which file: device and inode.
pub type FileId = (u64, u64);

/// Who has which file in this process. A forked child finds its ancestors' entries here, and passes over them.
static HOLDERS: Mutex<BTreeMap<FileId, Vec<Holder>>> = Mutex::new(BTreeMap::new());

struct Holder {
    pid: i32,
    owner: Arc<Owner>,
    turns: Arc<Turns>,
}

/// An instance, as the holder of files.
#[derive(Debug)]
pub struct Owner {
    config_dir: PathBuf,
    name: String,
    busy_until: Mutex<Option<Deadline>>,
    deposed: AtomicBool,
}

/// Says that the instance is in a call; ends with the call.
pub struct Busy<'a>(&'a Owner);

/// The right to write to a file, in turns, until it is dropped.
pub struct FileLock {
    id: FileId,
    owner: Arc<Owner>,
    turns: Arc<Turns>,
}

/// Who of this process changes a file just now.
#[derive(Debug, Default)]
struct Turns {
    now: Mutex<Option<Arc<Owner>>>,
    ended: Condvar,
}

/// A turn: no kin touches the file until it is dropped.
pub struct Turn {
    file: Arc<File>,
    owner: Arc<Owner>,
    turns: Arc<Turns>,
}

/// Why a file could not be locked.
#[derive(Debug)]
pub enum Refused {
    /// Another sink of this process has it.
    BySink(String),
    /// Another process has it; its pid is 0 or less where it cannot be seen from here.
    ByProcess(i32),
    /// The file system cannot lock.
    Unable(io::Error),
}

impl Owner {
    /// An instance of the sink of this name, configured in this folder.
    pub fn new(config_dir: &Path, name: &str) -> Arc<Self> {
        Arc::new(Self {
            config_dir: config_dir.to_owned(),
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

    /// Deposes it if it was abandoned; whether it was.
    fn depose_if_abandoned(&self) -> bool {
        let abandoned = unpoisoned(&self.busy_until).is_some_and(Deadline::has_passed);
        if abandoned {
            self.deposed.store(true, Ordering::Release);
        }
        abandoned
    }

    fn is_same_sink(&self, other: &Self) -> bool {
        (&self.config_dir, &self.name) == (&other.config_dir, &other.name)
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
        let id = id_of(&file.metadata().map_err(Refused::Unable)?);
        let pid = process::id() as i32;
        let turns = {
            let mut holders = unpoisoned(&HOLDERS);
            let holders = holders.entry(id).or_default();
            let mut turns = Arc::default();
            for holder in holders.iter().filter(|holder| holder.pid == pid) {
                if !holder.owner.depose_if_abandoned() && !holder.owner.is_same_sink(owner) {
                    return Err(Refused::BySink(holder.owner.name.clone()));
                }
                turns = Arc::clone(&holder.turns);
            }
            holders.push(Holder { pid, owner: Arc::clone(owner), turns: Arc::clone(&turns) });
            turns
        };
        let lock = Self { id, owner: Arc::clone(owner), turns };
        lock.renew(file)?;
        Ok(lock)
    }

    /// The right to write to what anybody may write to.
    pub fn none(metadata: &Metadata, owner: &Arc<Owner>) -> Self {
        Self { id: id_of(metadata), owner: Arc::clone(owner), turns: Arc::default() }
    }

    /// Takes the lock again, in case it was lost.
    pub fn renew(&self, file: &File) -> Result<(), Refused> {
        if try_lock(file, Range::Use).map_err(Refused::Unable)? {
            return Ok(());
        }
        match holder(file, Range::Use) {
            Some(pid) if is_kin(pid) => Ok(()),
            Some(pid) => Err(Refused::ByProcess(pid)),
            None => Err(Refused::ByProcess(0)),
        }
    }

    /// Waits until no kin changes the file.
    pub fn wait_for_turn(&self, file: &Arc<File>) -> io::Result<Turn> {
        let mut now = unpoisoned(&self.turns.now);
        while now.as_ref().is_some_and(|other| !other.depose_if_abandoned()) {
            now = self.turns.ended.wait_timeout(now, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *now = Some(Arc::clone(&self.owner));
        drop(now);
        let turn =
            Turn { file: Arc::clone(file), owner: Arc::clone(&self.owner), turns: Arc::clone(&self.turns) };
        wait_and_lock(file, Range::Turn)?;
        Ok(turn)
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
        if let Some(of_file) = holders.get_mut(&self.id) {
            of_file.retain(|holder| !Arc::ptr_eq(&holder.owner, &self.owner));
            if of_file.is_empty() {
                holders.remove(&self.id);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut now = unpoisoned(&self.turns.now);
        if now.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, &self.owner)) {
            unlock(&self.file, Range::Turn);
            *now = None;
            self.turns.ended.notify_one();
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
            Self::ByProcess(pid) if *pid > 0 => {
                write!(f, "is in use by another process (pid {pid}); stop that one, or name another file")
            }
            Self::ByProcess(_) => f.write_str("is in use by another process that cannot be seen from here"),
            Self::Unable(error) => write!(f, "cannot be locked: {error}"),
        }
    }
}

/// The value, also after a panic elsewhere: nothing here is left half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
