//! Taking over what processes left that are gone.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::backlog::{Backlog, BacklogPart};
use super::chunk::{Chunk, Found, LeftBehind, Progress};
use super::disk::{Access, Disk};
use super::folder::{Folder, folders_in, remove_unfinished};
use super::gap::Gap;
use super::housekeeper::Jobs;
use super::read_folder::{Counting, ReadSegment, SegmentContents, read_segments};
use super::scan::Damage;
use super::scan_chunk::ScannedChunk;
use super::segment::Segment;
use super::sink_map::SinkMap;
use super::stock::Stock;

/// How long whoever asks for an owner holds its lock, at most.
const SECOND_CHANCE: Duration = Duration::from_millis(5);

/// What was taken over.
#[derive(Default)]
pub struct Recovered {
    /// The folders, locked.
    pub folders: Vec<Arc<Folder>>,
    /// What is in them.
    pub backlog: Backlog,
}

/// Who takes over for whom.
pub struct Heirs<'a> {
    /// Names of today's sinks.
    pub sinks: &'a [String],
    /// Whether each of them gets everything, whatever sinks it was for.
    pub all: bool,
}

/// Takes over what processes left that are gone, the oldest first. What cannot be read is left as it is, and logged.
pub fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    own: &Folder,
    heirs: &Heirs<'_>,
    jobs: &Arc<Jobs>,
    stock: &Stock,
) -> io::Result<Recovered> {
    remove_unfinished(disk, dir)?;
    let mut recovered = Recovered::default();
    for folder in adopt_all(disk, dir, own)? {
        let keep_copy = |name: &str, bytes: &[u8]| folder.keep_copy(name, bytes);
        match read_segments(&**disk, folder.path(), keep_copy, &mut |_| ()).and_then(all_readable) {
            Ok(segments) => {
                take_over(&folder, segments, heirs, jobs, stock, &mut recovered.backlog);
                if folder.is_empty() {
                    folder.leave();
                } else {
                    recovered.folders.push(folder);
                }
            }
            Err(error) => {
                tracing::error!("{}: the folder is left as it is: {error}", folder.path().display());
                folder.note_segment();
                folder.leave();
            }
        }
    }
    Ok(recovered)
}

/// A folder in which something cannot be read is left alone as a whole: what is in it has an order.
fn all_readable(segments: Vec<ReadSegment>) -> io::Result<Vec<ReadSegment>> {
    for segment in &segments {
        if let SegmentContents::Unreadable(reason) = &segment.contents {
            return Err(io::Error::other(format!("{} {reason}", segment.name)));
        }
    }
    Ok(segments)
}

/// Locks all folders whose owners are gone. One that is locked gets a second chance a moment later: somebody may just
/// have looked whether its owner is alive.
fn adopt_all(disk: &Arc<dyn Disk>, dir: &Path, own: &Folder) -> io::Result<Vec<Arc<Folder>>> {
    let adopt = |path: &Path| {
        Folder::adopt(disk, path).unwrap_or_else(|error| {
            tracing::error!("{}: the folder is left as it is: {error}", path.display());
            None
        })
    };
    let mut paths = folders_in(&**disk, dir)?;
    paths.retain(|path| path != own.path());
    let mut folders: Vec<_> = paths.iter().map(|path| adopt(path)).collect();
    if folders.iter().any(Option::is_none) {
        // Nothing says when whoever looked lets go: `flock` knows no deadline, and waiting for a lock that a living owner
        // has would never end.
        std::thread::sleep(SECOND_CHANCE);
        for (folder, path) in folders.iter_mut().zip(&paths).filter(|(folder, _)| folder.is_none()) {
            *folder = adopt(path);
        }
    }
    Ok(folders.into_iter().flatten().collect())
}

fn take_over(
    folder: &Arc<Folder>,
    segments: Vec<ReadSegment>,
    heirs: &Heirs<'_>,
    jobs: &Arc<Jobs>,
    stock: &Stock,
    backlog: &mut Backlog,
) {
    let counting = Counting::among(&segments);
    let (mut chunks, mut place) = (Vec::new(), 0);
    let mut left_behind = HashMap::<u64, LeftBehind>::new();
    for (index, read) in segments.into_iter().enumerate() {
        let ReadSegment { name, number, bytes, contents, may_repair } = read;
        folder.note_segment();
        stock.note_found(bytes);
        let segment = Arc::new(Segment::found(number, bytes, folder.clone(), name, jobs.clone()));
        if let SegmentContents::Scanned(scanned) = contents {
            let map = Arc::new(if heirs.all {
                SinkMap::all(scanned.sinks, heirs.sinks.len())
            } else {
                SinkMap::new(scanned.sinks, heirs.sinks)
            });
            note_damage(scanned.damage, &[], &map, &segment, may_repair, backlog);
            // A chunk whose number is lost stays between its neighbours.
            let known = scanned.chunks.iter().map(|chunk| chunk.number).find(|number| *number != 0);
            place = known.unwrap_or(place);
            for chunk in scanned.chunks {
                if counting.counts(index, &chunk) {
                    place = if chunk.number == 0 { place } else { chunk.number };
                    segment.hold();
                    chunks.push((place, chunk, segment.clone(), map.clone(), may_repair));
                } else {
                    left_behind.entry(chunk.number).or_default().add(segment.clone(), chunk.at);
                }
            }
        }
        segment.release();
    }
    // In the order in which they were leased: segments need not be used in the order of their numbers.
    chunks.sort_by_key(|(place, ..)| *place);
    for (_, chunk, segment, map, may_repair) in chunks {
        let left_behind = left_behind.remove(&chunk.number).unwrap_or_default();
        take_over_chunk(chunk, left_behind, &segment, &map, may_repair, backlog);
        segment.release();
    }
}

/// What is lost becomes a gap; what only has to be written anew is written anew, if it may. `marks` are those of its chunk.
fn note_damage(
    damage: Vec<Damage>,
    marks: &[(u32, u32)],
    map: &SinkMap,
    segment: &Arc<Segment>,
    may_repair: bool,
    backlog: &mut Backlog,
) {
    for damage in damage {
        if damage.is_loss {
            let owed = owed_to(map, marks, &damage);
            if owed != 0 {
                backlog.gaps.push(Gap::new(damage, segment, may_repair).owed_to(owed));
                continue;
            }
            tracing::warn!(
                "{}: {}; it was for a sink that is configured no more, and is told when it is back",
                segment.path().display(),
                damage.reason
            );
            // It stays.
            segment.hold();
            continue;
        }
        tracing::error!("{}: {}; nothing is lost by it", segment.path().display(), damage.reason);
        if !may_repair {
            continue;
        }
        let repaired = segment.with_file(Access::ReadWrite, |file| {
            damage.repairs.iter().try_for_each(|(at, bytes)| file.write_at(bytes, *at))
        });
        if let Err(error) = repaired {
            tracing::error!("{}: it could not be repaired: {error}", segment.path().display());
        }
    }
}

/// Which of today's sinks were to get what is lost, a bit each.
fn owed_to(map: &SinkMap, marks: &[(u32, u32)], damage: &Damage) -> u32 {
    let is_done = |slot: usize| match (marks.get(slot), &damage.frames) {
        (Some((_, done)), Some(frames)) => *done >= frames.to,
        _ => false,
    };
    let owed = |sink: &usize| map.names.is_empty() || map.slots_of(*sink).any(|slot| !is_done(slot));
    (0..map.sinks).filter(owed).fold(0, |bits, sink| bits | 1 << sink)
}

fn take_over_chunk(
    mut chunk: ScannedChunk,
    mut left_behind: LeftBehind,
    segment: &Arc<Segment>,
    map: &Arc<SinkMap>,
    may_repair: bool,
    backlog: &mut Backlog,
) {
    let least = chunk.forget_what_all_had();
    let ScannedChunk { number, at, region_len, header_len, len, marks, events, skips, damage } = chunk;
    let slots: Vec<Progress> =
        marks.iter().map(|(offered, done)| Progress { offered: *offered, done: *done }).collect();
    note_damage(damage, &marks, map, segment, may_repair, backlog);
    if events.last().is_none_or(|last| last.to <= least) {
        left_behind.mark_done(slots.len(), len);
        return;
    }
    let found = Found { number, region_len, at, header_len, len, slots, skips, left_behind };
    segment.hold();
    let chunk = Arc::new(Chunk::found(found, segment.clone(), map.clone()));
    for (name, done) in chunk.abandoned_slots() {
        let count = events.iter().filter(|event| event.from >= done).count() as u64;
        if count > 0 {
            match backlog.unowed.iter_mut().find(|(known, _)| *known == name) {
                Some((_, events)) => *events += count,
                None => backlog.unowed.push((name, count)),
            }
        }
    }
    let progress: Vec<Progress> = (0..map.sinks).map(|sink| chunk.progress(sink)).collect();
    let mut parts: Vec<BacklogPart> = Vec::new();
    for event in events {
        let bits = progress.iter().enumerate().filter(|(_, progress)| event.from >= progress.done);
        let owed = bits.fold(0, |owed, (sink, _)| owed | 1 << sink);
        if owed == 0 {
            continue;
        }
        let extended = parts.last_mut().filter(|part| part.owed == owed && part.to == event.from);
        let part = match extended {
            Some(part) => part,
            None => {
                parts.push(BacklogPart {
                    chunk: chunk.clone(),
                    from: event.from,
                    to: event.from,
                    index: event.index,
                    events: 0,
                    owed,
                    offered: vec![0; map.sinks].into(),
                    oldest: event.timestamp,
                });
                let Some(part) = parts.last_mut() else { continue };
                part
            }
        };
        part.to = event.to;
        part.events += 1;
        for (sink, (offered, progress)) in part.offered.iter_mut().zip(&progress).enumerate() {
            *offered += u32::from(owed & 1 << sink != 0 && event.from < progress.offered);
        }
    }
    backlog.parts.append(&mut parts);
}
