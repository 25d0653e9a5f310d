//! Standard output and standard error that were closed when the program was started (`audit-host run >&-`).
//!
//! Rust's runtime opens `/dev/null` in their place before `main`, and a sink that prints there would deliver every event
//! to nobody. So it is noted before that which of them were closed, and those become pipes without a reader: whoever writes
//! to one is told.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::failure::Failure;

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
static STDERR_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: the C library calls each function of this section once, before `main`; this one has the signature it expects, and
// needs nothing that Rust's runtime sets up.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed_streams;

extern "C" fn note_closed_streams() {
    for (descriptor, was_closed) in
        [(libc::STDOUT_FILENO, &STDOUT_WAS_CLOSED), (libc::STDERR_FILENO, &STDERR_WAS_CLOSED)]
    {
        // SAFETY: F_GETFD takes any number, and changes nothing.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        was_closed.store(flags == -1, Ordering::Relaxed);
    }
}

/// Makes the streams that were closed fail when they are written to.
pub fn break_closed_streams() -> Result<(), Failure> {
    let break_closed = || -> io::Result<()> {
        if STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
            dup2_stdout(io::pipe()?.1)?;
        }
        if STDERR_WAS_CLOSED.load(Ordering::Relaxed) {
            dup2_stderr(io::pipe()?.1)?;
        }
        Ok(())
    };
    break_closed().map_err(|error| Failure::new(format!("a closed stream cannot be replaced: {error}")))
}
