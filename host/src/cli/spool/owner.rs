//! The folders of processes in a spool, and whether their owners live.
//!
//! An owner keeps the file `lock` in its folder locked as long as it lives. Asking takes a shared lock for a moment, and
//! changes nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

/// A lock file holds a number; anything longer is none.
const MAX_LOCK_BYTES: u64 = 64;

/// The folder of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: Owner,
}

/// Whose folder it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process that is alive, with its number where it can be read.
    Alive(Option<u32>),
    /// Nobody's: its process is gone.
    Gone,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// All folders of processes, the oldest first; none where there is no spool.
pub fn process_folders(spool_dir: &Path) -> io::Result<Vec<ProcessFolder>> {
    let entries = match std::fs::read_dir(spool_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| Uuid::try_parse(name).is_ok()) {
            let path = entry.path();
            folders.push(ProcessFolder { owner: owner_of(&path), path });
        }
    }
    folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(folders)
}

fn owner_of(folder: &Path) -> Owner {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(folder.join("lock"));
    let lock = match opened {
        Ok(lock) => lock,
        // Its process died before it was made, or has just left.
        Err(error) if error.kind() == ErrorKind::NotFound => return Owner::Gone,
        Err(error) => return Owner::Unknown(format!("its lock cannot be opened: {error}")),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Owner::Gone,
        Err(rustix::io::Errno::WOULDBLOCK) => Owner::Alive(pid_in(&lock)),
        Err(error) => Owner::Unknown(format!("its lock cannot be asked: {error}")),
    }
}

fn pid_in(lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.take(MAX_LOCK_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_in(spool: &Path, name: &str, lock: Option<&str>) -> PathBuf {
        let folder = spool.join(name);
        std::fs::create_dir(&folder).expect("a folder");
        if let Some(text) = lock {
            std::fs::write(folder.join("lock"), text).expect("written");
        }
        folder
    }

    #[test]
    fn a_folder_whose_lock_is_held_belongs_to_the_process_that_it_names() {
        let spool = tempfile::tempdir().expect("a folder");
        let second = folder_in(spool.path(), "0193f000-0000-7000-8000-000000000002", Some("4711\n"));
        let first = folder_in(spool.path(), "0193f000-0000-7000-8000-000000000001", Some("815\n"));
        let third = folder_in(spool.path(), "0193f000-0000-7000-8000-000000000003", None);
        folder_in(spool.path(), "lost+found", Some("1\n"));
        let held = File::open(second.join("lock")).expect("there");
        flock(&held, FlockOperation::LockExclusive).expect("locked");
        let owners = [(first, Owner::Gone), (second, Owner::Alive(Some(4711))), (third, Owner::Gone)];
        let expected = owners.map(|(path, owner)| ProcessFolder { path, owner });
        assert_eq!(process_folders(spool.path()).expect("read"), expected);
    }

    #[test]
    fn a_living_owner_without_a_readable_number_is_alive_all_the_same() {
        let spool = tempfile::tempdir().expect("a folder");
        let folder = folder_in(spool.path(), "0193f000-0000-7000-8000-000000000001", Some("who knows"));
        let held = File::open(folder.join("lock")).expect("there");
        flock(&held, FlockOperation::LockExclusive).expect("locked");
        assert_eq!(process_folders(spool.path()).expect("read")[0].owner, Owner::Alive(None));
    }

    #[test]
    fn a_lock_that_cannot_be_opened_is_said_of_its_folder_alone() {
        let spool = tempfile::tempdir().expect("a folder");
        let first = folder_in(spool.path(), "0193f000-0000-7000-8000-000000000001", None);
        std::os::unix::fs::symlink("elsewhere", first.join("lock")).expect("a link");
        folder_in(spool.path(), "0193f000-0000-7000-8000-000000000002", Some("1\n"));
        let folders = process_folders(spool.path()).expect("read");
        let Owner::Unknown(reason) = &folders[0].owner else { panic!("{folders:?}") };
        assert!(reason.starts_with("its lock cannot be opened: "), "{reason}");
        assert_eq!(folders[1].owner, Owner::Gone);
    }

    #[test]
    fn where_there_is_no_spool_there_are_no_folders() {
        assert_eq!(process_folders(Path::new("/nowhere/at/all")).expect("read"), []);
    }
}
