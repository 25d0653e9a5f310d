//! An open file and its end.
//!
//! As long as it is in use, whole lines are all that it holds: a write that fails in the middle of a line is cut back
//! to the end of the line before. Where that fails too, the file has another length than it was left with, so that it
//! is repaired before the next line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use audit_plugin_api::{Host, Level};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::lock::{FileLock, Owner, Refused, Turn};
use crate::place::{self, Place, id_of, kind_of};
use crate::settings::Settings;
use crate::tail::{self, Tail};
use crate::{Fsync, Mode};

/// How much one system call writes: more is slower.
const PIECE_BYTES: usize = 256 * 1024;
/// Most slices that one system call takes.
const SLICES: usize = 1024;
/// How often a file may be replaced while it is opened.
const ATTEMPTS: usize = 8;

/// An open file and its end.
pub struct LogFile {
    turn: Option<Turn>,
    // Dropped before the descriptor is closed: from then on another file may have the same inode.
    lock: FileLock,
    file: Arc<File>,
    kind: Kind,
    len: u64,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file, with an end that can be moved.
    Regular,
    /// A character device, such as `/dev/null`: it has no end, and anybody may write to it.
    Device,
}

/// A write that failed.
#[derive(Debug)]
pub struct Failed {
    /// Lines that stand in the file whole.
    pub lines: usize,
    /// Their length in bytes.
    pub bytes: u64,
    /// What happened.
    pub error: io::Error,
}

impl LogFile {
    /// Opens the file, and makes it and its folder where they are missing. It is its [turn](LogFile::begin_turn). The
    /// error is a sentence.
    pub fn open(settings: &Settings, owner: &Arc<Owner>, host: &Host) -> Result<Self, String> {
        let path = &settings.path;
        let shown = path.display();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
        for _ in 0..ATTEMPTS {
            let (file, made) = match open_or_make(path, settings.mode) {
                Ok(opened) => opened,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(refusal(path, &error)),
            };
            let metadata = file.metadata().map_err(|error| format!("{shown}: {error}"))?;
            let kind = match metadata.file_type() {
                kind if kind.is_file() => Kind::Regular,
                kind if kind.is_char_device() => Kind::Device,
                _ => return Err(format!("{shown} is a {}; name a file to append to", kind_of(&metadata))),
            };
            let lock = match kind {
                Kind::Regular => {
                    FileLock::take(&file, owner).map_err(|refused| format!("{shown} {refused}"))?
                }
                Kind::Device => FileLock::none(&metadata, owner),
            };
            let mut opened = Self { turn: None, lock, file: Arc::new(file), kind, len: 0 };
            opened.begin_turn().map_err(|error| format!("{shown} cannot be locked: {error}"))?;
            if !fs::symlink_metadata(path).is_ok_and(|now| id_of(&now) == opened.lock.id()) {
                continue;
            }
            if made == Made::New && settings.fsync != Fsync::Never {
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| format!("the folder {} cannot be synced: {error}", folder.display()))?;
            }
            opened
                .find_end(settings, host)
                .map_err(|error| format!("repairing the end of {shown}: {error}"))?;
            return Ok(opened);
        }
        Err(format!("{shown} was replaced {ATTEMPTS} times while it was opened"))
    }

    /// Waits until no kin changes the file, and has it until [`LogFile::end_turn`].
    pub fn begin_turn(&mut self) -> io::Result<()> {
        if self.kind == Kind::Regular && self.turn.is_none() {
            self.turn = Some(self.lock.wait_for_turn(&self.file)?);
        }
        Ok(())
    }

    /// Lets kin change the file.
    pub fn end_turn(&mut self) {
        self.turn = None;
    }

    /// Where the file is now.
    pub fn place(&self, path: &Path) -> Place {
        match self.kind {
            Kind::Regular => place::find(path, &self.file, self.lock.id(), self.len),
            Kind::Device => Place::Kept,
        }
    }

    /// Takes the lock again, in case it was lost.
    pub fn renew_lock(&self) -> Result<(), Refused> {
        match self.kind {
            Kind::Regular => self.lock.renew(&self.file),
            Kind::Device => Ok(()),
        }
    }

    /// Its length in bytes; 0 for a device.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The descriptor.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Appends whole lines, and returns their length in bytes. `ends` says where each ends behind its newline, counted
    /// from the first one's start; it is asked only after an error.
    pub fn append(&mut self, lines: &[&[u8]], ends: impl Iterator<Item = u64>) -> Result<u64, Failed> {
        let mut written = 0;
        match write_pieces(&self.file, lines, &mut written) {
            Ok(()) => {
                self.advance(written);
                Ok(written)
            }
            Err(error) => {
                let whole: Vec<u64> = ends.take_while(|&end| end <= written).collect();
                let bytes = whole.last().copied().unwrap_or(0);
                self.cut_back(bytes, written);
                self.advance(bytes);
                Err(Failed { lines: whole.len(), bytes, error })
            }
        }
    }

    fn advance(&mut self, bytes: u64) {
        if self.kind == Kind::Regular {
            self.len += bytes;
        }
    }

    /// Takes back what stands behind the first `whole` of the last `written` bytes. Where that fails, the file is longer
    /// than it was left, which is noticed before the next line.
    fn cut_back(&self, whole: u64, written: u64) {
        let end = self.len + written;
        let ours =
            || !self.lock.owner().is_deposed() && self.file.metadata().is_ok_and(|now| now.len() == end);
        if whole < written && ours() {
            let _ = self.file.set_len(self.len + whole);
        }
    }

    /// Finds the end, and moves a torn last line away.
    pub fn find_end(&mut self, settings: &Settings, host: &Host) -> io::Result<()> {
        if self.kind == Kind::Device {
            return Ok(());
        }
        let len = self.file.metadata()?.len();
        let torn_path = settings.beside(".torn");
        let shown = settings.path.display();
        self.len = match tail::repair(&self.file, len, &torn_path, settings.mode)? {
            Tail::Whole => len,
            Tail::Moved(bytes) => {
                let text = format!(
                    "the last line of {shown} was torn; its {bytes} bytes were moved to {}",
                    torn_path.display()
                );
                host.log(Level::Warn, "file", &text);
                len - bytes
            }
            Tail::Ended(bytes) => {
                let text = format!(
                    "the last line of {shown} was torn; its {bytes} bytes cannot be cut off, so they were ended with a newline and copied to {}",
                    torn_path.display()
                );
                host.log(Level::Warn, "file", &text);
                len + 1
            }
        };
        Ok(())
    }
}

/// Whether a file was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It was.
    Before,
    /// It was made just now.
    New,
}

fn open_or_make(path: &Path, Mode(mode): Mode) -> io::Result<(File, Made)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    match options.clone().create_new(true).mode(mode).open(path) {
        Ok(file) => {
            // The umask has taken its part of `mode`.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            Ok((file, Made::New))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok((options.open(path)?, Made::Before)),
        Err(error) => Err(error),
    }
}

fn refusal(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        let target =
            fs::read_link(path).map(|target| format!(" to {}", target.display())).unwrap_or_default();
        return format!("{shown} is a symbolic link{target}, which is not followed; name the file itself");
    }
    if error.kind() == ErrorKind::IsADirectory {
        return format!("{shown} is a folder; name a file to append to");
    }
    format!("{shown} cannot be opened: {error}")
}

/// Writes all of `lines` in pieces; `written` counts along.
fn write_pieces(mut file: &File, lines: &[&[u8]], written: &mut u64) -> io::Result<()> {
    let mut lines = lines.iter().copied().filter(|line| !line.is_empty());
    let mut rest: &[u8] = &[];
    let mut piece: Vec<IoSlice<'_>> = Vec::new();
    loop {
        piece.clear();
        let mut room = PIECE_BYTES;
        while room > 0 && piece.len() < SLICES {
            if rest.is_empty() {
                match lines.next() {
                    Some(line) => rest = line,
                    None => break,
                }
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            piece.push(IoSlice::new(now));
            room -= now.len();
            rest = later;
        }
        let mut left = piece.as_mut_slice();
        if left.is_empty() {
            return Ok(());
        }
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *written += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
