//! The bytes of a plugin that are checked, hashed and loaded: one and the same, and out of reach of whoever writes the file.
//!
//! They are a copy in a sealed memory file, named after the plugin, so that backtraces and `/proc/PID/maps` show the name.
//! Where the system does not allow to run code from memory files (`vm.memfd_noexec`, a security module), the
//! file's own descriptor stands in: then nobody can put *another* file in its place, but somebody who may write the file can
//! still change it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use super::file::PluginFile;
use super::sha256::Hasher;
use super::{Reason, Sha256, native};

/// How much is copied at a time, so that it is still in the cache when it is hashed.
const PIECE_BYTES: usize = 128 << 10;
/// From this size on another thread hashes what this one copies: each takes about half a millisecond a MB.
const LARGE_BYTES: u64 = 4 << 20;
/// So many pieces the copying may be ahead of the hashing.
const PIECES_AHEAD: usize = 8;
/// The longest name that the kernel gives a memory file.
const MAX_NAME_BYTES: usize = 249;

/// The bytes of a plugin.
#[derive(Debug)]
pub(super) struct Image {
    file: File,
    sha256: Sha256,
    protection: Protection,
}

/// What keeps the bytes as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// They are sealed.
    Sealed,
    /// Nothing but the rule for owner and mode: they are in the file with this device and inode.
    Unsealed(Inode),
}

/// Device and inode of a file.
pub(super) type Inode = (u64, u64);

impl Image {
    /// Copies the file into memory, hashes what it copies, and seals the copy.
    pub fn copy(plugin: &PluginFile) -> Result<Self, Reason> {
        match seal(plugin.file(), plugin.path()) {
            Ok(Some((file, sha256))) => Ok(Self { sha256, file, protection: Protection::Sealed }),
            Ok(None) => Self::of_file(plugin),
            Err(error) => Err(Reason::io("copied into memory", error)),
        }
    }

    /// The file itself, where memory files cannot be run.
    pub fn of_file(plugin: &PluginFile) -> Result<Self, Reason> {
        let file = plugin.file().try_clone().map_err(|error| Reason::io("opened", error))?;
        let inode = (plugin.metadata().dev(), plugin.metadata().ino());
        Ok(Self { sha256: hash(&file)?, file, protection: Protection::Unsealed(inode) })
    }

    /// The open bytes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Their hash.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// What keeps them as they are.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// The open bytes, to be loaded.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// The hash of all bytes of a file.
pub(super) fn hash(mut file: &File) -> Result<Sha256, Reason> {
    file.seek(SeekFrom::Start(0)).and_then(|_| Sha256::of(file)).map_err(|error| Reason::io("read", error))
}

/// A sealed copy in memory, and its hash; `None` where such a file cannot be made, or not be run.
fn seal(plugin: &File, path: &Path) -> io::Result<Option<(File, Sha256)>> {
    let Some(memory) = create_memory_file(path)? else { return Ok(None) };
    let sha256 = copy_and_hash(plugin, &memory)?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(native::can_be_run(&memory).then_some((memory, sha256)))
}

/// Copies all of the plugin, and returns the hash of what was written. Until the copy is sealed, a moment later, only who may
/// trace this process could change it.
fn copy_and_hash(mut plugin: &File, memory: &File) -> io::Result<Sha256> {
    plugin.seek(SeekFrom::Start(0))?;
    if plugin.metadata()?.len() >= LARGE_BYTES {
        return copy_while_another_hashes(plugin, memory);
    }
    let mut hasher = Hasher::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match copy_piece(plugin, memory, &mut piece)? {
            0 => return Ok(hasher.finish()),
            len => hasher.update(&piece[..len]),
        }
    }
}

fn copy_while_another_hashes(plugin: &File, memory: &File) -> io::Result<Sha256> {
    thread::scope(|scope| {
        let (copied, pieces) = mpsc::sync_channel::<Vec<u8>>(PIECES_AHEAD);
        let (hashed, used) = mpsc::channel();
        let hashing = thread::Builder::new().name("audit-hash".into()).spawn_scoped(scope, move || {
            let mut hasher = Hasher::default();
            for piece in pieces {
                hasher.update(&piece);
                // Nobody wants it after the last one.
                let _ = hashed.send(piece);
            }
            hasher.finish()
        })?;
        loop {
            let mut piece = used.try_recv().unwrap_or_default();
            piece.resize(PIECE_BYTES, 0);
            let len = copy_piece(plugin, memory, &mut piece)?;
            piece.truncate(len);
            if len == 0 || copied.send(piece).is_err() {
                break;
            }
        }
        drop(copied);
        hashing.join().map_err(|_| io::Error::other("the thread that hashes it has panicked"))
    })
}

/// Copies what one read brings; how much that is, 0 at the end.
fn copy_piece(mut plugin: &File, mut memory: &File, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match plugin.read(piece) {
            Ok(len) => return memory.write_all(&piece[..len]).map(|()| len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn create_memory_file(path: &Path) -> io::Result<Option<File>> {
    let mut name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    name.truncate(MAX_NAME_BYTES);
    let name = CString::new(name)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know EXEC, and do not need it.
    let made = memfd_create(&name, flags | MemfdFlags::EXEC)
        .or_else(|error| if error == Errno::INVAL { memfd_create(&name, flags) } else { Err(error) });
    match made {
        Ok(descriptor) => Ok(Some(descriptor.into())),
        Err(Errno::ACCESS | Errno::PERM | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::descriptor_path;
    use super::*;

    fn plugin_of(bytes: &[u8]) -> (tempfile::NamedTempFile, PluginFile) {
        let mut file = tempfile::Builder::new().suffix(".so").tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let plugin = PluginFile::open(file.path()).unwrap();
        (file, plugin)
    }

    #[test]
    fn a_sealed_image_keeps_its_bytes_when_the_file_is_overwritten() {
        let (file, plugin) = plugin_of(b"these bytes");
        let image = Image::copy(&plugin).unwrap();
        std::fs::write(file.path(), "other").unwrap();
        assert_eq!(image.protection(), Protection::Sealed);
        assert_eq!(std::fs::read(descriptor_path(image.file())).unwrap(), b"these bytes");
        assert_eq!(image.sha256(), Sha256::of(&b"these bytes"[..]).unwrap());
    }

    #[test]
    fn a_sealed_image_cannot_be_changed_by_anyone() {
        let (_file, plugin) = plugin_of(b"these bytes");
        let image = Image::copy(&plugin).unwrap();
        assert!(
            std::fs::OpenOptions::new()
                .write(true)
                .open(descriptor_path(image.file()))
                .unwrap()
                .write_all(b"x")
                .is_err()
        );
        assert!(image.file().set_len(0).is_err());
        assert!(image.file().set_len(100).is_err());
        assert!(fcntl_add_seals(image.file(), SealFlags::FUTURE_WRITE).is_err());
    }

    #[test]
    fn a_memory_file_has_the_name_of_the_plugin() {
        let (file, plugin) = plugin_of(b"x");
        let image = Image::copy(&plugin).unwrap();
        let target = std::fs::read_link(descriptor_path(image.file())).unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(target.to_str().unwrap().contains(name), "{target:?}");
    }

    #[test]
    fn a_plugin_of_many_pieces_is_copied_whole_and_its_hash_is_that_of_the_copy() {
        let large = LARGE_BYTES as usize;
        for len in [0, PIECE_BYTES - 1, PIECE_BYTES, 5 * PIECE_BYTES + 3, large, 2 * large + 3] {
            let bytes: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
            let (_file, plugin) = plugin_of(&bytes);
            let image = Image::copy(&plugin).unwrap();
            assert!(std::fs::read(descriptor_path(image.file())).unwrap() == bytes, "{len} bytes");
            assert_eq!(image.sha256(), hash(image.file()).unwrap(), "{len} bytes");
        }
    }

    #[test]
    fn a_name_of_any_length_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{}.so", "ä".repeat(126)));
        std::fs::write(&path, "x").unwrap();
        assert!(Image::copy(&PluginFile::open(&path).unwrap()).is_ok());
    }

    #[test]
    fn the_file_itself_stands_in_where_memory_cannot_be_run() {
        let (file, plugin) = plugin_of(b"these bytes");
        let image = Image::of_file(&plugin).unwrap();
        std::fs::rename(file.path(), file.path().with_extension("old")).unwrap();
        std::fs::write(file.path(), "other").unwrap();
        assert_eq!(std::fs::read(descriptor_path(image.file())).unwrap(), b"these bytes");
        assert_eq!(image.sha256(), Sha256::of(&b"these bytes"[..]).unwrap());
        assert!(matches!(image.protection(), Protection::Unsealed(_)));
        std::fs::remove_file(file.path().with_extension("old")).unwrap();
    }
}
