//! Looking at a process's folder without changing anything, also while it is in use.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::format::segment_number;
use super::read_folder::{Counting, SegmentContents, read_segments};
use super::real_disk::RealDisk;
use super::scan::{Damage, Scanned};
use super::scan_chunk::ScannedChunk;

/// What is in a process's folder.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// Its segment files.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Events that some sink is still to get, each once.
    pub events: u64,
    /// When the oldest of them was recorded, in microseconds since 1970.
    pub oldest: Option<i64>,
    /// What each sink is still to get.
    pub sinks: Vec<SinkContents>,
    /// What is damaged.
    pub damage: Vec<FolderDamage>,
}

/// What a sink is still to get.
#[derive(Debug)]
pub struct SinkContents {
    /// Its name when the events were recorded; empty where that is lost.
    pub name: String,
    /// How many events.
    pub events: u64,
    /// When the oldest of them was recorded, in microseconds since 1970.
    pub oldest: Option<i64>,
}

/// Something that does not validate, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderDamage {
    /// The file.
    pub path: PathBuf,
    /// How many events are lost by it, at least; `None` where the file cannot be read.
    pub lost: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// Whether somebody writes to a folder while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderUse {
    /// Nobody does: its process is gone.
    Left,
    /// Its process may be alive.
    InUse,
}

/// How often a folder in use is read, at most.
const MOST_READS: usize = 8;

/// Reads a process's folder, and checks every checksum. A segment that cannot be read counts as damaged, and the others
/// are read. What is in use may look damaged while it is written: it is read until the same damage is found twice
/// running, and only that counts. `on_read` gets the bytes of each file that was read.
///
/// # Errors
/// When the folder cannot be read.
pub fn inspect_folder(
    folder: &Path,
    in_use: FolderUse,
    on_read: &mut dyn FnMut(u64),
) -> io::Result<FolderContents> {
    inspect(&RealDisk, folder, in_use, on_read)
}

/// Bytes of the segments in a folder, as their files say; what cannot be read has none.
pub fn segment_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.file_name().to_str().and_then(segment_number).is_some());
    segments.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

pub(super) fn inspect(
    disk: &dyn Disk,
    folder: &Path,
    in_use: FolderUse,
    on_read: &mut dyn FnMut(u64),
) -> io::Result<FolderContents> {
    let mut contents = read(disk, folder, on_read)?;
    if in_use == FolderUse::Left {
        return Ok(contents);
    }
    let mut before = contents.damage.clone();
    for _ in 1..MOST_READS {
        if before.is_empty() {
            break;
        }
        contents = read(disk, folder, on_read)?;
        let found = contents.damage.clone();
        contents.damage.retain(|damage| before.contains(damage));
        if contents.damage.len() == found.len() {
            break;
        }
        before = found;
    }
    Ok(contents)
}

fn read(disk: &dyn Disk, folder: &Path, on_read: &mut dyn FnMut(u64)) -> io::Result<FolderContents> {
    let mut contents = FolderContents::default();
    let segments = read_segments(disk, folder, |_, _| false, on_read)?;
    let counting = Counting::among(&segments);
    for (index, segment) in segments.into_iter().enumerate() {
        contents.segments += 1;
        contents.bytes += segment.bytes;
        let path = folder.join(&segment.name);
        match segment.contents {
            SegmentContents::Nothing => {}
            SegmentContents::Unreadable(reason) => {
                contents.damage.push(FolderDamage { path, lost: None, reason });
            }
            SegmentContents::Scanned(Scanned { sinks, chunks, damage, .. }) => {
                contents.note_damage(&path, damage);
                for chunk in chunks.into_iter().filter(|chunk| counting.counts(index, chunk)) {
                    contents.note_chunk(&path, &sinks, chunk);
                }
            }
        }
    }
    Ok(contents)
}

impl FolderContents {
    fn note_damage(&mut self, path: &Path, damage: impl IntoIterator<Item = Damage>) {
        self.damage.extend(damage.into_iter().map(|damage| FolderDamage {
            path: path.to_owned(),
            lost: Some(damage.count),
            reason: damage.reason,
        }));
    }

    fn note_chunk(&mut self, path: &Path, sinks: &[String], mut chunk: ScannedChunk) {
        let least = chunk.forget_what_all_had();
        self.note_damage(path, std::mem::take(&mut chunk.damage));
        for event in chunk.events.iter().filter(|event| event.from >= least) {
            self.events += 1;
            self.oldest = earliest(self.oldest, event.timestamp);
        }
        for (name, (_, done)) in sinks.iter().zip(&chunk.marks) {
            let sink = self.sink(name);
            for event in chunk.events.iter().filter(|event| event.from >= *done) {
                sink.events += 1;
                sink.oldest = earliest(sink.oldest, event.timestamp);
            }
        }
    }

    fn sink(&mut self, name: &str) -> &mut SinkContents {
        let index = self.sinks.iter().position(|sink| sink.name == name).unwrap_or_else(|| {
            self.sinks.push(SinkContents { name: name.to_owned(), events: 0, oldest: None });
            self.sinks.len() - 1
        });
        &mut self.sinks[index]
    }
}

fn earliest(oldest: Option<i64>, timestamp: i64) -> Option<i64> {
    Some(oldest.map_or(timestamp, |oldest| oldest.min(timestamp)))
}
