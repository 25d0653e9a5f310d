//! Reading all segments of a process's folder.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::disk::{Access, Disk};
use super::format::segment_number;
use super::scan::{Scanned, SegmentRead, scan_segment};
use super::scan_chunk::ScannedChunk;

/// A segment as it was found.
pub struct ReadSegment {
    /// The name of its file.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// `None` if it holds nothing.
    pub scanned: Option<Scanned>,
    /// Whether `look_at_damaged` said yes, if it was asked.
    pub may_repair: bool,
}

/// Reads the segments of a folder, one at a time, in the order of their numbers; one that goes away meanwhile is passed
/// over. `look_at_damaged` gets the name and the bytes of each that is damaged, and says whether it may be repaired.
///
/// # Errors
/// When something cannot be read, or was written by a later version.
pub fn read_segments(
    disk: &dyn Disk,
    folder: &Path,
    mut look_at_damaged: impl FnMut(&str, &[u8]) -> bool,
) -> io::Result<Vec<ReadSegment>> {
    let mut segments = Vec::new();
    for name in disk.list(folder)? {
        let Some(named) = segment_number(&name) else { continue };
        let bytes = match read_file(disk, &folder.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        let scanned = match scan_segment(&bytes, named) {
            SegmentRead::Free => None,
            SegmentRead::Holds(scanned) => Some(scanned),
            SegmentRead::Newer(version) => {
                let text =
                    format!("{name} has format {version}, which a later version wrote: drain it with that");
                return Err(io::Error::other(text));
            }
        };
        let may_repair =
            scanned.as_ref().is_none_or(|scanned| !scanned.is_damaged()) || look_at_damaged(&name, &bytes);
        let number = scanned.as_ref().map_or(named, |scanned| scanned.number);
        segments.push(ReadSegment { name, number, bytes: bytes.len() as u64, scanned, may_repair });
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// All bytes of a file.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Which chunks count: one that was moved may be there twice, and the copy may be unfinished.
pub struct Counting(HashMap<u64, (usize, u64)>);

impl Counting {
    /// Of all copies of a chunk the fullest counts, or else the later one.
    pub fn among(segments: &[ReadSegment]) -> Self {
        let mut latest: HashMap<u64, (usize, u64, usize)> = HashMap::new();
        for (index, segment) in segments.iter().enumerate() {
            for chunk in segment.scanned.iter().flat_map(|scanned| &scanned.chunks) {
                let this = (index, chunk.at, chunk.events.len());
                let counts = latest.entry(chunk.number).or_insert(this);
                if this.2 >= counts.2 {
                    *counts = this;
                }
            }
        }
        Self(latest.into_iter().map(|(number, (index, at, _))| (number, (index, at))).collect())
    }

    /// Whether this chunk of the segment at this index counts. One whose number is lost always does.
    pub fn counts(&self, index: usize, chunk: &ScannedChunk) -> bool {
        chunk.number == 0 || self.0.get(&chunk.number) == Some(&(index, chunk.at))
    }
}
