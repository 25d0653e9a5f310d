//! A terminal that a test looks at.

use std::fs::File;
use std::io::Read;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal that a test looks at; what is written to its [`path`](Self::path) is shown.
#[derive(Debug)]
pub struct Terminal(File);

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// A terminal with nothing on it.
    pub fn new() -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it may be opened");
        Self(terminal.into())
    }

    /// The file to write to.
    pub fn path(&self) -> String {
        let path = ptsname(&self.0, Vec::new()).expect("its path");
        path.into_string().expect("UTF-8")
    }

    /// What was written, once all who had it open have ended; a few KiB at most.
    pub fn shown(&mut self) -> String {
        let mut shown = Vec::new();
        // When nobody has it open any more, there is an error instead of an end.
        let end = self.0.read_to_end(&mut shown).map_err(|error| error.raw_os_error());
        assert!(end.is_ok() || end == Err(Some(libc::EIO)), "{end:?}");
        String::from_utf8_lossy(&shown).into_owned()
    }
}
