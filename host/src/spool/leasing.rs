//! The segments of this process, and where the next region is cut from.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chunk::Chunk;
use super::error::LeaseError;
use super::folder::Folder;
use super::format::{ChunkHeader, PAGE, Position, chunk_header_len, round_up, u64_at};
use super::housekeeper::Jobs;
use super::mapped::{Carver, TrackWriter};
use super::segment::Segment;
use super::sink_map::SinkMap;
use super::stock::{Limit, MOST_SPARES, Prepared, Stock};
use super::whole::SpoolOptions;
use super::writer::ChunkWriter;

/// The newest segments stay mapped: threads write into them.
const NEWEST: usize = 2;
/// So many segments may be mapped, even where [`SpoolOptions::mapped_bytes`] is less.
const LEAST_MAPPED: usize = 4;

/// The segments of this process, and where the next region is cut from.
pub struct Leasing {
    folder: Arc<Folder>,
    stock: Arc<Stock>,
    jobs: Arc<Jobs>,
    map: Arc<SinkMap>,
    chunk_bytes: usize,
    most_mapped: usize,
    shadow: bool,
    current: Mutex<Current>,
}

struct Current {
    segment: Option<(Arc<Segment>, Carver)>,
    /// All that are in use, in order.
    live: Vec<Arc<Segment>>,
    next_chunk: u64,
    is_closed: bool,
}

/// A region that was cut, with the header of an empty chunk.
pub struct Cut {
    pub segment: Arc<Segment>,
    pub track: TrackWriter,
    pub position: Position,
    pub region_len: u32,
}

impl Leasing {
    /// Regions from segments of this stock.
    pub fn new(folder: Arc<Folder>, stock: Arc<Stock>, jobs: Arc<Jobs>, options: &SpoolOptions) -> Self {
        Self {
            folder,
            stock,
            jobs,
            map: Arc::new(SinkMap::new(options.sinks.clone(), &options.sinks)),
            chunk_bytes: options.chunk_bytes,
            most_mapped: most_mapped(options),
            shadow: options.shadow,
            current: Mutex::new(Current { segment: None, live: Vec::new(), next_chunk: 1, is_closed: false }),
        }
    }

    /// Leases a region for at least one frame of this length.
    pub fn lease(&self, frame_len: usize, limit: Limit) -> Result<ChunkWriter, LeaseError> {
        let least = round_up(self.header_len() + frame_len);
        let mut current = self.lock();
        if current.is_closed {
            return Err(io::Error::other("the spool is closed").into());
        }
        let number = current.next_chunk;
        let cut = self.cut(&mut current, least, least.max(round_up(self.chunk_bytes)), number, limit)?;
        current.next_chunk += 1;
        let Cut { segment, track, position, region_len } = cut;
        let mapped = track.track().clone();
        let (writer, copies) = if self.shadow {
            let shadow = TrackWriter::on_heap(mapped.len());
            let copies = (shadow.track().clone(), track);
            (shadow, Some(copies))
        } else {
            (track, None)
        };
        let map = self.map.clone();
        let chunk =
            Arc::new(Chunk::written(number, region_len, map, segment.clone(), position.at, mapped, copies));
        segment.hold();
        segment.add_chunk(chunk.clone());
        Ok(if self.shadow {
            ChunkWriter::mirrored(chunk, writer)
        } else {
            ChunkWriter::direct(chunk, writer, segment.seed, position)
        })
    }

    /// Cuts a region of exactly this length, for a copy of the chunk of this number.
    pub fn cut_for_copy(&self, region_len: u32, number: u64) -> Result<Cut, LeaseError> {
        self.cut(&mut self.lock(), region_len as usize, region_len as usize, number, Limit::Bound)
    }

    /// Cuts a region of `wanted` bytes, or what is left of a segment if that is at least `least`, and writes the header
    /// of an empty chunk: regions follow each other without a hole, whenever the process dies.
    fn cut(
        &self,
        current: &mut Current,
        least: usize,
        wanted: usize,
        number: u64,
        limit: Limit,
    ) -> Result<Cut, LeaseError> {
        let left = current.segment.as_ref().map_or(
            0,
            |(segment, carver)| {
                if segment.is_retired() { 0 } else { carver.left() }
            },
        );
        if left < least {
            if least > self.stock.usable_bytes() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the frame does not fit into a segment",
                )
                .into());
            }
            if let Some((full, _)) = current.segment.take() {
                full.release();
            }
            current.start(self.stock.take(limit)?, &self.folder, &self.jobs, self.stock.segment_bytes());
        }
        let Some((segment, carver)) = &mut current.segment else {
            return Err(io::Error::other("the spool has no segment").into());
        };
        let region_len = wanted.min(carver.left() / PAGE * PAGE);
        let position = Position { segment: segment.number, at: carver.next() as u64 };
        let header =
            ChunkHeader { number, region_len: region_len as u32, sinks: self.map.names.len() as u16 };
        let Some(track) = carver.carve(self.header_len(), region_len) else {
            return Err(io::Error::other("the segment has no room for the region").into());
        };
        // Backwards: what makes it a header comes last.
        let bytes = header.encode(position);
        for at in (0..bytes.len()).step_by(8).rev() {
            track.set_word(at, u64_at(&bytes, at));
        }
        Ok(Cut { segment: segment.clone(), track, position, region_len: region_len as u32 })
    }

    /// Unmaps and closes segments beyond those that may be mapped: the ones that are read last.
    pub fn detach_surplus(&self) {
        let mapped: Vec<_> = self.live().into_iter().filter(|segment| segment.is_mapped()).collect();
        let surplus = mapped.len().saturating_sub(self.most_mapped);
        let old = &mapped[..mapped.len().saturating_sub(NEWEST)];
        for segment in old.iter().rev().filter(|segment| segment.is_detachable()).take(surplus) {
            segment.detach();
        }
    }

    /// The segments in use, in order.
    pub fn live(&self) -> Vec<Arc<Segment>> {
        self.lock().live.clone()
    }

    /// A segment is not in use any more.
    pub fn forget(&self, segment: &Arc<Segment>) {
        self.lock().live.retain(|other| !Arc::ptr_eq(other, segment));
    }

    /// Whether this is the folder of this process's own segments.
    pub fn owns(&self, folder: &Arc<Folder>) -> bool {
        Arc::ptr_eq(&self.folder, folder)
    }

    /// Leases nothing more.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Lets go of the segment that regions are cut from.
    pub fn release(&self) {
        if let Some((segment, _)) = self.lock().segment.take() {
            segment.release();
        }
    }

    fn header_len(&self) -> usize {
        chunk_header_len(self.map.names.len())
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many segments may stay mapped while they are in use. Spares are mapped too.
fn most_mapped(options: &SpoolOptions) -> usize {
    if options.max_bytes <= options.mapped_bytes as u64 {
        return usize::MAX;
    }
    LEAST_MAPPED.max((options.mapped_bytes / options.segment_bytes()).saturating_sub(MOST_SPARES))
}

impl Current {
    fn start(&mut self, prepared: Prepared, folder: &Arc<Folder>, jobs: &Arc<Jobs>, bytes: usize) {
        let Prepared { number, file, carver } = prepared;
        let mapping = carver.mapping().clone();
        let segment =
            Arc::new(Segment::mapped(number, bytes as u64, folder.clone(), jobs.clone(), file, mapping));
        self.live.push(segment.clone());
        self.segment = Some((segment, carver));
        jobs.ask_to_prepare();
    }
}
