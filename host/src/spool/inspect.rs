//! Looking at a process's folder without changing anything, also while it is in use.

use std::io;
use std::path::{Path, PathBuf};

use super::read_folder::{Counting, read_segments};
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

/// Something that does not validate.
#[derive(Debug)]
pub struct FolderDamage {
    /// The file.
    pub path: PathBuf,
    /// How many events are lost by it, at least.
    pub lost: u64,
    /// What is wrong.
    pub reason: String,
}

/// Reads a process's folder, and checks every checksum.
///
/// # Errors
/// When the folder or a segment cannot be read, or was written by a later version.
pub fn inspect_folder(folder: &Path) -> io::Result<FolderContents> {
    let mut contents = FolderContents::default();
    let segments = read_segments(&RealDisk, folder, |_, _| false)?;
    let counting = Counting::among(&segments);
    for (index, segment) in segments.into_iter().enumerate() {
        contents.segments += 1;
        contents.bytes += segment.bytes;
        let Some(Scanned { sinks, chunks, damage, .. }) = segment.scanned else { continue };
        let path = folder.join(&segment.name);
        contents.note_damage(&path, damage);
        for chunk in chunks.into_iter().filter(|chunk| counting.counts(index, chunk)) {
            contents.note_chunk(&path, &sinks, chunk);
        }
    }
    Ok(contents)
}

impl FolderContents {
    fn note_damage(&mut self, path: &Path, damage: impl IntoIterator<Item = Damage>) {
        self.damage.extend(damage.into_iter().map(|damage| FolderDamage {
            path: path.to_owned(),
            lost: damage.count,
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
