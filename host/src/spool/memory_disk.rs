//! A file system in memory that forgets what was not synced, tears at 512 bytes, and fails when told to.
//!
//! Files are anonymous files of the kernel, so that they can be mapped like real ones. A sync that fails loses for good
//! what it should have brought to the disk: a second sync of the same file succeeds and brings nothing, as on Linux.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::io::Errno;

use super::disk::{Access, Disk, DiskFile, Lock, Locked};
use super::mapped::Carver;
use super::real_disk::read_all;
use crate::trust::Untrusted;

const SECTOR: usize = 512;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    CreateFolder,
    List,
    Create,
    Open,
    Rename,
    Remove,
    RemoveFolder,
    SyncFolder,
    Lock,
    Allocate,
    Read,
    Write,
    /// As `Write`, but half of it is written.
    ShortWrite,
    Sync,
    Map,
}

/// A file system in memory; clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    tree: Arc<Mutex<Tree>>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Tree {
    now: Names,
    durable: Names,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
struct Names {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<Content>>,
}

struct Content {
    now: File,
    kept: Mutex<Kept>,
}

/// What would be there after a loss of power, and what the kernel takes to be on the disk.
#[derive(Clone, Default)]
struct Kept {
    durable: Vec<u8>,
    clean: Vec<u8>,
}

#[derive(Default)]
struct Faults(Mutex<FaultState>);

#[derive(Default)]
struct FaultState {
    failing: BTreeMap<Operation, Errno>,
    failing_once: BTreeMap<Operation, Errno>,
    /// Operations until all fail.
    left: Option<usize>,
    /// Operations until those fail that take space.
    space_left: Option<usize>,
    /// How many have failed.
    refused: usize,
    log: Vec<(Operation, PathBuf)>,
}

impl Faults {
    fn meet(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if let Some(left) = &mut state.left {
            if *left == 0 {
                return Err(Errno::IO.into());
            }
            *left -= 1;
        }
        state.log.push((operation, path.to_owned()));
        let takes_space = matches!(operation, Operation::Create | Operation::Allocate | Operation::Write);
        let is_full = match &mut state.space_left {
            Some(0) => takes_space,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let errno = state.failing_once.remove(&operation).or(state.failing.get(&operation).copied());
        match errno.or(is_full.then_some(Errno::NOSPC)) {
            Some(errno) => {
                state.refused += 1;
                Err(errno.into())
            }
            None => Ok(()),
        }
    }

    fn short_write(&self) -> Option<Errno> {
        self.0.lock().unwrap().failing.get(&Operation::ShortWrite).copied()
    }
}

impl MemoryDisk {
    /// Has an operation fail from now on.
    pub fn fail(&self, operation: Operation, errno: Errno) {
        self.faults.0.lock().unwrap().failing.insert(operation, errno);
    }

    /// Has the next operation of this kind fail.
    pub fn fail_once(&self, operation: Operation, errno: Errno) {
        self.faults.0.lock().unwrap().failing_once.insert(operation, errno);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut state = self.faults.0.lock().unwrap();
        (state.failing, state.failing_once) = (BTreeMap::new(), BTreeMap::new());
        (state.left, state.space_left) = (None, None);
    }

    /// After so many operations more the disk is full: what takes space fails until [`MemoryDisk::heal`].
    pub fn fill_up_after(&self, operations: usize) {
        self.faults.0.lock().unwrap().space_left = Some(operations);
    }

    /// How many operations have failed.
    pub fn refused(&self) -> usize {
        self.faults.0.lock().unwrap().refused
    }

    /// After so many operations more nothing happens any more, as if the process had died.
    pub fn die_after(&self, operations: usize) {
        self.faults.0.lock().unwrap().left = Some(operations);
    }

    /// What was done so far.
    pub fn log(&self) -> Vec<(Operation, PathBuf)> {
        self.faults.0.lock().unwrap().log.clone()
    }

    /// What the disk holds after the process was killed.
    pub fn after_kill(&self) -> Self {
        self.crashed(|tree| &tree.now, |content, _| content.bytes())
    }

    /// What the disk holds after a loss of power: of each sector that was not synced, `choose` says whether it got to
    /// the disk by itself.
    pub fn after_power_loss(&self, mut choose: impl FnMut() -> bool) -> Self {
        self.after_power_loss_with(|_, _| choose())
    }

    /// As [`MemoryDisk::after_power_loss`]; `choose` is told the file, and where in it the sector begins.
    pub fn after_power_loss_with(&self, mut choose: impl FnMut(&Path, usize) -> bool) -> Self {
        self.crashed(
            |tree| &tree.durable,
            |content, path| {
                let mut bytes = content.kept.lock().unwrap().durable.clone();
                let now = content.bytes();
                bytes.resize(now.len(), 0);
                for (number, (old, new)) in bytes.chunks_mut(SECTOR).zip(now.chunks(SECTOR)).enumerate() {
                    if old != new && choose(path, number * SECTOR) {
                        old.copy_from_slice(new);
                    }
                }
                bytes
            },
        )
    }

    fn crashed(
        &self,
        names: impl Fn(&Tree) -> &Names,
        mut bytes: impl FnMut(&Content, &Path) -> Vec<u8>,
    ) -> Self {
        let tree = self.lock();
        let names = names(&tree);
        // What is in a folder is gone with it.
        let is_there = |path: &&PathBuf| path.ancestors().skip(1).all(|folder| names.has_folder(folder));
        let files = names.files.iter().filter(|(path, _)| is_there(path));
        let files = files.map(|(path, content)| (path.clone(), Arc::new(Content::of(&bytes(content, path)))));
        let folders = names.folders.iter().filter(is_there).cloned();
        let now = Names { folders: folders.collect(), files: files.collect() };
        let tree = Tree { durable: now.clone(), now, locked: BTreeSet::new() };
        Self { tree: Arc::new(Mutex::new(tree)), faults: Arc::default() }
    }

    /// All files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().now.files.keys().cloned().collect()
    }

    /// All segments, in order.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut files = self.files();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
        files
    }

    /// All bytes of a file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.lock().now.files[path].bytes()
    }

    /// Puts a file there as if it had always been there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let content = Arc::new(Content::of(bytes));
        let mut tree = self.lock();
        tree.now.files.insert(path.to_owned(), content.clone());
        tree.durable.files.insert(path.to_owned(), content);
    }

    /// Changes a byte of a file, also for those who have it mapped.
    pub fn flip(&self, path: &Path, at: usize, bits: u8) {
        let content = self.find(path).unwrap();
        let mut byte = [0];
        content.now.read_exact_at(&mut byte, at as u64).unwrap();
        content.now.write_all_at(&[byte[0] ^ bits], at as u64).unwrap();
    }

    /// Puts a folder there, with those above it, as if it had always been there.
    pub fn put_folder(&self, path: &Path) {
        let mut tree = self.lock();
        for folder in path.ancestors() {
            tree.now.folders.insert(folder.to_owned());
            tree.durable.folders.insert(folder.to_owned());
        }
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.lock().now.files.values().map(|content| content.now.metadata().unwrap().len()).sum()
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Content>> {
        Ok(self.lock().now.files.get(path).ok_or(Errno::NOENT)?.clone())
    }

    fn file(&self, path: &Path, content: Arc<Content>) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { content, path: path.to_owned(), faults: self.faults.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }
}

impl Names {
    fn has_folder(&self, folder: &Path) -> bool {
        folder.parent().is_none() || self.folders.contains(folder)
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        let file = File::from(memfd_create("memory-disk", MemfdFlags::CLOEXEC).unwrap());
        file.write_all_at(bytes, 0).unwrap();
        Self { now: file, kept: Mutex::new(Kept { durable: bytes.to_vec(), clean: bytes.to_vec() }) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.now.metadata().unwrap().len() as usize];
        self.now.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn sync(&self, succeeds: bool) {
        let now = self.bytes();
        let mut kept = self.kept.lock().unwrap();
        let Kept { durable, clean } = &mut *kept;
        durable.resize(now.len(), 0);
        clean.resize(now.len(), 0);
        for ((durable, clean), now) in
            durable.chunks_mut(SECTOR).zip(clean.chunks_mut(SECTOR)).zip(now.chunks(SECTOR))
        {
            if clean != now && succeeds {
                durable.copy_from_slice(now);
            }
            clean.copy_from_slice(now);
        }
    }
}

impl Disk for MemoryDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.faults.meet(Operation::CreateFolder, folder)?;
        let now = &mut self.lock().now;
        if !folder.parent().is_some_and(|parent| now.has_folder(parent)) {
            return Err(Errno::NOENT.into());
        }
        if now.folders.insert(folder.to_owned()) { Ok(()) } else { Err(Errno::EXIST.into()) }
    }

    fn check_folder(&self, _: &Path) -> io::Result<Result<(), Untrusted>> {
        Ok(Ok(()))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.faults.meet(Operation::List, folder)?;
        let tree = self.lock();
        if !tree.now.has_folder(folder) {
            return Err(Errno::NOENT.into());
        }
        let paths = tree.now.folders.iter().chain(tree.now.files.keys());
        let mut names: Vec<_> = paths
            .filter(|path| path.parent() == Some(folder))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.faults.meet(Operation::Create, path)?;
        let mut tree = self.lock();
        if tree.now.files.contains_key(path) {
            return Err(Errno::EXIST.into());
        }
        let content = Arc::new(Content::of(&[]));
        tree.now.files.insert(path.to_owned(), content.clone());
        Ok(self.file(path, content))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn DiskFile>> {
        self.faults.meet(Operation::Open, path)?;
        Ok(self.file(path, self.find(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.meet(Operation::Rename, from)?;
        let mut tree = self.lock();
        let now = &mut tree.now;
        if let Some(content) = now.files.remove(from) {
            now.files.insert(to.to_owned(), content);
            return Ok(());
        }
        if !now.folders.remove(from) {
            return Err(Errno::NOENT.into());
        }
        now.folders.insert(to.to_owned());
        for path in now.files.keys().filter(|path| path.starts_with(from)).cloned().collect::<Vec<_>>() {
            let content = now.files.remove(&path).unwrap();
            now.files.insert(to.join(path.strip_prefix(from).unwrap()), content);
        }
        for path in tree.locked.iter().filter(|path| path.starts_with(from)).cloned().collect::<Vec<_>>() {
            tree.locked.remove(&path);
            tree.locked.insert(to.join(path.strip_prefix(from).unwrap()));
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.meet(Operation::Remove, path)?;
        self.lock().now.files.remove(path).map(drop).ok_or(Errno::NOENT.into())
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.faults.meet(Operation::RemoveFolder, folder)?;
        let mut tree = self.lock();
        if tree.now.files.keys().any(|path| path.parent() == Some(folder)) {
            return Err(Errno::NOTEMPTY.into());
        }
        if tree.now.folders.remove(folder) { Ok(()) } else { Err(Errno::NOENT.into()) }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.faults.meet(Operation::SyncFolder, folder)?;
        let mut tree = self.lock();
        let Tree { now, durable, .. } = &mut *tree;
        durable.files.retain(|path, _| path.parent() != Some(folder));
        durable.folders.retain(|path| path.parent() != Some(folder));
        let files = now.files.iter().filter(|(path, _)| path.parent() == Some(folder));
        durable.files.extend(files.map(|(path, content)| (path.clone(), content.clone())));
        durable.folders.extend(now.folders.iter().filter(|path| path.parent() == Some(folder)).cloned());
        Ok(())
    }

    fn lock(&self, path: &Path, _: &str) -> io::Result<Locked> {
        self.faults.meet(Operation::Lock, path)?;
        let mut tree = self.lock();
        if !tree.now.folders.contains(path.parent().unwrap()) {
            return Err(Errno::NOENT.into());
        }
        if tree.locked.contains(path) {
            return Ok(Locked::Busy);
        }
        let content =
            tree.now.files.entry(path.to_owned()).or_insert_with(|| Arc::new(Content::of(&[]))).clone();
        tree.locked.insert(path.to_owned());
        Ok(Locked::Held(Lock::new(MemoryLock { tree: self.tree.clone(), content })))
    }
}

/// Knows its file, and not its path, since folders are renamed.
struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    content: Arc<Content>,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut tree = self.tree.lock().unwrap();
        let Tree { now, locked, .. } = &mut *tree;
        // A lock whose file is gone is gone with it.
        locked.retain(|path| now.files.get(path).is_some_and(|content| !Arc::ptr_eq(content, &self.content)));
    }
}

struct MemoryFile {
    content: Arc<Content>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.now.metadata()?.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.faults.meet(Operation::Allocate, &self.path)?;
        Ok(fallocate(&self.content.now, FallocateFlags::empty(), 0, bytes)?)
    }

    fn write_zeros(&self, bytes: usize) -> io::Result<()> {
        self.write_at(&vec![0; bytes], 0)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.faults.meet(Operation::Read, &self.path)?;
        read_all(bytes, |rest, done| self.content.now.read_at(rest, at + done as u64))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.faults.meet(Operation::Write, &self.path)?;
        if let Some(errno) = self.faults.short_write() {
            self.content.now.write_all_at(&bytes[..bytes.len() / 2], at)?;
            return Err(errno.into());
        }
        self.content.now.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        let met = self.faults.meet(Operation::Sync, &self.path);
        self.content.sync(met.is_ok());
        met
    }

    fn map(&self, bytes: usize, first: usize) -> io::Result<Carver> {
        self.faults.meet(Operation::Map, &self.path)?;
        Carver::new(&self.content.now, bytes, first)
    }
}
