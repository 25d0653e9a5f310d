//! Looking at a process's folder without changing anything, also while it is in use.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format::segment_number;
use super::scan::{Damage, Scanned, SegmentRead, scan_segment};
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

/// Reads a process's folder, one segment at a time; checks every checksum. A segment that goes away meanwhile is passed
/// over.
///
/// # Errors
/// When the folder or a segment cannot be read, or was written by a later version.
pub fn inspect_folder(folder: &Path) -> io::Result<FolderContents> {
    let mut contents = FolderContents::default();
    // A chunk that was moved may be there twice: the copy with more events counts.
    let mut latest: HashMap<u64, (usize, Inspected)> = HashMap::new();
    let mut unnumbered = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(segment_number) else { continue };
        let path = entry.path();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        contents.segments += 1;
        contents.bytes += bytes.len() as u64;
        let Scanned { sinks, chunks, damage, .. } = match scan_segment(&bytes, number) {
            SegmentRead::Free => continue,
            SegmentRead::Holds(scanned) => scanned,
            SegmentRead::Newer(version) => {
                let text = format!("{} has format {version}, which a later version wrote", path.display());
                return Err(io::Error::other(text));
            }
        };
        contents.note_damage(&path, damage);
        for chunk in chunks {
            let (number, events) = (chunk.number, chunk.events.len());
            let inspected = Inspected { path: path.clone(), sinks: sinks.clone(), chunk };
            if number == 0 {
                unnumbered.push(inspected);
            } else if latest.get(&number).is_none_or(|(known, _)| events >= *known) {
                latest.insert(number, (events, inspected));
            }
        }
    }
    for inspected in latest.into_values().map(|(_, inspected)| inspected).chain(unnumbered) {
        contents.note_chunk(inspected);
    }
    contents.damage.sort_by(|one, other| (&one.path, &one.reason).cmp(&(&other.path, &other.reason)));
    Ok(contents)
}

struct Inspected {
    path: PathBuf,
    sinks: Vec<String>,
    chunk: ScannedChunk,
}

impl FolderContents {
    fn note_damage(&mut self, path: &Path, damage: impl IntoIterator<Item = Damage>) {
        self.damage.extend(damage.into_iter().map(|damage| FolderDamage {
            path: path.to_owned(),
            lost: damage.count,
            reason: damage.reason,
        }));
    }

    fn note_chunk(&mut self, Inspected { path, sinks, chunk }: Inspected) {
        let least = chunk.marks.iter().map(|(_, done)| *done).min().unwrap_or(0);
        // What every sink had before is not lost.
        self.note_damage(
            &path,
            chunk.damage.into_iter().filter(|damage| damage.to.is_none_or(|to| to > least)),
        );
        for event in chunk.events.iter().filter(|event| event.from >= least) {
            self.events += 1;
            self.oldest = earliest(self.oldest, event.timestamp);
        }
        for (name, (_, done)) in sinks.iter().zip(&chunk.marks) {
            let waiting = chunk.events.iter().filter(|event| event.from >= *done);
            let sink = self.sink(name);
            for event in waiting {
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
