//! What stops a command early: SIGTERM and SIGINT, or a sink that has failed for good.
//!
//! The first signal is noted, and ends every wait of this module's [`Stop`]; a second one ends the process at once with
//! 128 + its number, whatever the process is doing. Nothing is lost in between: a signal is either seen by
//! [`Stop::is_set`] or makes [`Stop::wait_readable`] return.
//!
//! `timeout` and process managers send a signal to the process and again to its group: what comes with the first signal,
//! as its echo, is no second one.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::{flag, low_level};

use super::failure::Failure;

/// How long after the first signal another one is its echo.
const ECHO: Duration = Duration::from_millis(50);

/// Whether to stop, for every thread that has to know.
#[derive(Debug)]
pub struct Stop {
    set: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
    /// Ends when the echo of the first signal is over, and the next one ends the process.
    echo: Mutex<Option<JoinHandle<()>>>,
    /// Readable once `set`.
    awaken: UnixStream,
    waker: UnixStream,
}

impl Stop {
    /// Takes SIGTERM and SIGINT over; and SIGXFSZ, so that a file at the process's limit (`ulimit -f`, `LimitFSIZE=`) is a
    /// write that fails, as on a full disk.
    pub fn on_signals() -> Result<Arc<Self>, Failure> {
        let install = || -> io::Result<Self> {
            let (awaken, waker) = pipe()?;
            let set = Arc::new(AtomicBool::new(false));
            let signal = Arc::new(AtomicUsize::new(0));
            let armed = Arc::new(AtomicBool::new(false));
            let (mut first, signalled) = UnixStream::pair()?;
            for number in [SIGTERM, SIGINT] {
                flag::register_conditional_shutdown(number, 128 + number, armed.clone())?;
                flag::register_usize(number, signal.clone(), number as usize)?;
                flag::register(number, set.clone())?;
                low_level::pipe::register(number, waker.try_clone()?)?;
                low_level::pipe::register(number, signalled.try_clone()?)?;
            }
            flag::register(SIGXFSZ, Arc::default())?;
            let echo = Builder::new().name("audit-signals".into()).spawn(move || {
                if first.read_exact(&mut [0]).is_ok() {
                    // The echo is told from a second signal by nothing but the time: in a thread that does nothing else.
                    thread::sleep(ECHO);
                }
                armed.store(true, Ordering::SeqCst);
            })?;
            Ok(Self { set, signal, echo: Mutex::new(Some(echo)), awaken, waker })
        };
        install().map(Arc::new).map_err(|error| cannot_install(&error))
    }

    /// Stops without a signal.
    pub fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        wake(&self.waker);
    }

    /// Waits until the next signal ends the process: for who is about to say so. Without a first one, it does not wait.
    pub fn wait_for_echo(&self) {
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        if self.signal().is_some()
            && let Some(echo) = echo.take()
        {
            let _ = echo.join();
        }
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// For those who wait elsewhere.
    pub fn flag(&self) -> &AtomicBool {
        &self.set
    }

    /// The name of the signal that came, if one did.
    pub fn signal(&self) -> Option<&'static str> {
        match self.signal.load(Ordering::SeqCst) as i32 {
            SIGTERM => Some("SIGTERM"),
            SIGINT => Some("SIGINT"),
            _ => None,
        }
    }

    /// Waits until this can be read, or it is time to stop.
    pub fn wait_readable(&self, input: impl AsFd) -> io::Result<()> {
        let mut fds = [PollFd::new(&input, PollFlags::IN), PollFd::new(&self.awaken, PollFlags::IN)];
        loop {
            match poll(&mut fds, None) {
                // A signal that stops nothing makes nothing readable.
                Err(Errno::INTR) => {}
                polled => return polled.map(drop).map_err(io::Error::from),
            }
        }
    }
}

/// The signals that ask for something and end nothing.
#[derive(Debug)]
pub struct Requests {
    reopen: Arc<AtomicBool>,
    summary: Arc<AtomicBool>,
    awaken: UnixStream,
    waker: UnixStream,
}

impl Requests {
    /// Takes SIGHUP and SIGUSR1 over, for as long as the process lives.
    pub fn on_signals() -> Result<Arc<Self>, Failure> {
        let install = || -> io::Result<Self> {
            let (awaken, waker) = pipe()?;
            let requests = Self { reopen: Arc::default(), summary: Arc::default(), awaken, waker };
            for (number, flag) in [(SIGHUP, &requests.reopen), (SIGUSR1, &requests.summary)] {
                flag::register(number, flag.clone())?;
                low_level::pipe::register(number, requests.waker.try_clone()?)?;
            }
            Ok(requests)
        };
        install().map(Arc::new).map_err(|error| cannot_install(&error))
    }

    /// Waits for a signal, for [`Requests::wake`], or for this long.
    pub fn wait(&self, patience: Duration) {
        // A patience that fits no timespec, and an interrupted wait, end early: the caller looks again.
        let patience = Timespec::try_from(patience).ok();
        let mut fds = [PollFd::new(&self.awaken, PollFlags::IN)];
        if poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0) {
            let mut bytes = [0; 64];
            while rustix::io::read(&self.awaken, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
        }
    }

    /// Ends a wait.
    pub fn wake(&self) {
        wake(&self.waker);
    }

    /// Whether SIGHUP came since the last time this was asked.
    pub fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::SeqCst)
    }

    /// Whether SIGUSR1 came since the last time this was asked.
    pub fn take_summary(&self) -> bool {
        self.summary.swap(false, Ordering::SeqCst)
    }
}

fn pipe() -> io::Result<(UnixStream, UnixStream)> {
    let (awaken, waker) = UnixStream::pair()?;
    awaken.set_nonblocking(true)?;
    waker.set_nonblocking(true)?;
    Ok((awaken, waker))
}

/// A pipe that is full wakes as well.
fn wake(waker: &UnixStream) {
    let _ = rustix::io::write(waker, &[0]);
}

fn cannot_install(error: &io::Error) -> Failure {
    Failure::new(format!("signals cannot be handled: {error}"))
}
