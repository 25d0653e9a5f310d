//! A plugin file, opened once: all that is asked about it afterwards is asked of this descriptor, so that nobody can
//! put another file under its name in between.

use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::{Reason, Sha256};
use crate::trust::check_owner_and_mode;

/// Larger files are not plugins: a debug build of the Kafka sink has 0.1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// An open regular file.
#[derive(Debug)]
pub(super) struct PluginFile {
    file: File,
    path: PathBuf,
    metadata: Metadata,
}

impl PluginFile {
    /// Opens it. A FIFO does not block, and nothing but a regular file passes.
    pub fn open(path: &Path) -> Result<Self, Reason> {
        let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags as i32)
            .open(path)
            .map_err(|error| Reason::io("opened", error))?;
        let metadata = file.metadata().map_err(|error| Reason::io("examined", error))?;
        if !metadata.is_file() {
            return Err(Reason::NotAFile(kind_name(&metadata)));
        }
        Ok(Self { file, path: path.into(), metadata })
    }

    /// Owner and mode of the file, and of the folder that it is really in.
    pub fn check_trust(&self) -> Result<(), Reason> {
        check_owner_and_mode(&self.metadata, &self.path).map_err(Reason::Untrusted)?;
        for folder in self.folders()? {
            check_folder(&folder)?;
        }
        Ok(())
    }

    /// Whether the file system allows to run what is on it: a loaded copy would get around that.
    pub fn check_mount(&self) -> Result<(), Reason> {
        let mount = fstatvfs(&self.file).map_err(|error| Reason::io("examined", error))?;
        check_mount_flags(mount.f_flag)
    }

    /// Whether it may be read into memory.
    pub fn check_size(&self) -> Result<(), Reason> {
        match self.metadata.len() {
            bytes if bytes > MAX_BYTES => Err(Reason::TooLarge { bytes, max: MAX_BYTES }),
            _ => Ok(()),
        }
    }

    /// The hash of all of its bytes.
    pub fn sha256(&self) -> Result<Sha256, Reason> {
        super::image::hash(&self.file)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its metadata as of the opening.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The folder of its path, and the one that the open file is really in, where symbolic links led elsewhere.
    fn folders(&self) -> Result<Vec<PathBuf>, Reason> {
        let real =
            std::fs::read_link(descriptor_path(&self.file)).map_err(|error| Reason::io("examined", error))?;
        let mut folders = vec![folder_of(&self.path), folder_of(&real)];
        folders.dedup();
        Ok(folders)
    }
}

/// A path that opens this very descriptor, whatever its name leads to by now.
pub(super) fn descriptor_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Checks owner and mode of a plugin folder.
pub(super) fn check_folder(folder: &Path) -> Result<(), Reason> {
    let metadata =
        File::open(folder).and_then(|open| open.metadata()).map_err(|error| Reason::io("examined", error))?;
    check_owner_and_mode(&metadata, folder).map_err(Reason::UntrustedFolder)
}

fn check_mount_flags(flags: StatVfsMountFlags) -> Result<(), Reason> {
    if flags.contains(StatVfsMountFlags::NOEXEC) { Err(Reason::NoExec) } else { Ok(()) }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

fn kind_name(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noexec_file_system_is_refused() {
        let flags = StatVfsMountFlags::NOSUID | StatVfsMountFlags::RELATIME;
        assert_eq!(check_mount_flags(flags), Ok(()));
        assert_eq!(check_mount_flags(flags | StatVfsMountFlags::NOEXEC), Err(Reason::NoExec));
    }
}
