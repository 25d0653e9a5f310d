//! What waits for others, and not for ever: a hang is a test that fails and says so.

use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Longer than anything takes that a test waits for, also on a busy machine.
const LONGEST: Duration = Duration::from_secs(300);

/// Kills a process that lives longer than anything takes, unless this is dropped before.
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "its end is heard when it is dropped")] Sender<()>);

impl Guard {
    /// Guards this child.
    ///
    /// # Panics
    /// If the system has no descriptor of the process, or no thread.
    pub fn of(child: &Child) -> Self {
        Self::within(child, LONGEST)
    }

    /// Guards this child, which may live for so long.
    ///
    /// # Panics
    /// As [`Guard::of`].
    pub fn within(child: &Child, longest: Duration) -> Self {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // Not a number, which may be another process's by then.
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("the child is not waited for yet");
        let (sender, ended) = channel();
        thread::spawn(move || {
            if ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
                eprintln!("process {pid} had not ended within {longest:?}, and was killed");
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        });
        Self(sender)
    }
}

/// Looks again and again, until there is something.
///
/// # Panics
/// If there is nothing for longer than anything takes.
#[track_caller]
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not come to that");
        thread::yield_now();
    }
}
