//! Waits for the disk, in time.
//!
//! With an interval a thread of its own does it, so that a batch never waits for the disk, and what was written last is
//! synced also when no further batch comes. After a sync has failed the descriptor is of no more use (the kernel may
//! have forgotten the pages): the failure is kept until it is fetched, and the file has to be opened anew.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use audit_plugin_api::Deadline;
use rustix::io::Errno;

use crate::Fsync;

/// Waits for the disk, in time.
pub struct Syncer {
    policy: Fsync,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Held during a sync: a failure is told to one caller only, so that nobody may sync a second time beside.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// What the thread has to sync, and when.
    due: Option<(Deadline, Arc<File>)>,
    failure: Option<io::Error>,
    last: Option<SystemTime>,
    stopped: bool,
}

impl Syncer {
    /// A syncer of this policy.
    pub fn start(policy: Fsync) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = match policy {
            Fsync::Within(_) => {
                let shared = Arc::clone(&shared);
                let name = "audit-file-sync".to_owned();
                Some(thread::Builder::new().name(name).spawn(move || shared.sync_in_time())?)
            }
            Fsync::Batch | Fsync::Never => None,
        };
        Ok(Self { policy, shared, thread })
    }

    /// Says that `file` was written to.
    pub fn written(&self, file: &Arc<File>) -> io::Result<()> {
        match self.policy {
            Fsync::Batch => self.sync(file),
            Fsync::Within(interval) => {
                self.shared.schedule(file, interval);
                Ok(())
            }
            Fsync::Never => Ok(()),
        }
    }

    /// Syncs `file` now, unless the policy is never to sync; also fails with a failure that was not fetched.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        if self.policy == Fsync::Never {
            return Ok(());
        }
        self.shared.state().due = None;
        self.shared.sync(file);
        self.failure()
    }

    /// Fetches the failure of the thread, if there is one.
    pub fn failure(&self) -> io::Result<()> {
        self.shared.state().failure.take().map_or(Ok(()), Err)
    }

    /// Forgets what is due and what has failed: the file is given up.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.due = None;
        state.failure = None;
    }

    /// When the last sync ended well.
    pub fn last(&self) -> Option<SystemTime> {
        self.shared.state().last
    }

    /// Whether something waits for the thread.
    pub fn is_due(&self) -> bool {
        self.shared.state().due.is_some()
    }
}

#[cfg(test)]
impl Syncer {
    /// What the thread does when `file` is due, here and now.
    pub fn sync_in_background(&self, file: &File) {
        self.shared.sync(file);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn schedule(&self, file: &Arc<File>, interval: Duration) {
        let mut state = self.state();
        if state.due.is_none() {
            state.due = Some((Deadline::after(interval), Arc::clone(file)));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// What the thread does; it ends with a last sync of what is due.
    fn sync_in_time(&self) {
        let mut state = self.state();
        loop {
            let wait = match &state.due {
                Some(_) if state.stopped => Duration::ZERO,
                Some((deadline, _)) => deadline.remaining(),
                None if state.stopped => return,
                None => Duration::MAX,
            };
            if wait.is_zero() {
                let due = state.due.take();
                drop(state);
                if let Some((_, file)) = due {
                    self.sync(&file);
                }
                state = self.state();
            } else {
                state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Syncs `file`, unless that failed before.
    fn sync(&self, file: &File) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state().failure.is_some() {
            return;
        }
        let result = file.sync_data();
        let mut state = self.state();
        match result {
            Ok(()) => state.last = Some(SystemTime::now()),
            // A device, not a file: there is nothing to wait for.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
            Err(error) => state.failure = Some(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
