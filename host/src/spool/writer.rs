//! The right to write into a chunk.

use std::sync::Arc;

use super::chunk::Chunk;
use super::format::{COMMITTED_AT, MOST_FRAMES, Position, committed_word, seal_frame};
use super::mapped::TrackWriter;

/// The right to write into a chunk; dropped, the chunk is sealed.
pub struct ChunkWriter {
    chunk: Arc<Chunk>,
    track: TrackWriter,
    region: Region,
    events: u16,
}

/// What is needed to write a frame where it belongs.
enum Region {
    /// The track is the region itself.
    Direct { seed: u32, salt: u64 },
    /// The track is the shadow of the region, which may move.
    Mirrored,
}

impl ChunkWriter {
    /// Writes the region at this position.
    pub(super) fn direct(chunk: Arc<Chunk>, track: TrackWriter, seed: u32, position: Position) -> Self {
        let region = Region::Direct { seed, salt: position.committed_salt() };
        Self { chunk, track, region, events: 0 }
    }

    /// Writes the shadow, and the region beside it.
    pub(super) fn mirrored(chunk: Arc<Chunk>, shadow: TrackWriter) -> Self {
        Self { chunk, track: shadow, region: Region::Mirrored, events: 0 }
    }

    /// The chunk.
    pub fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    /// Where the next frame is written; anything may be in it, and nothing counts before [`ChunkWriter::accept`].
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        if u32::from(self.events) == MOST_FRAMES { &mut [] } else { self.track.room_mut() }
    }

    /// Frames that were written.
    pub fn events(&self) -> u16 {
        self.events
    }

    /// Bytes that were written.
    pub fn written(&self) -> u32 {
        self.track.track().filled()
    }

    /// Accepts the frame of this length, padded to a multiple of eight, at the beginning of the room; gives it its number
    /// and its checksum. From then on it is kept if the process dies.
    #[inline]
    pub fn accept(&mut self, frame_len: usize) {
        debug_assert!(frame_len.is_multiple_of(8));
        let index = self.events;
        let frame = &mut self.track.room_mut()[..frame_len];
        match self.region {
            Region::Direct { seed, salt } => {
                seal_frame(frame, index, seed);
                self.track.fill(frame_len);
                commit(&self.track, salt, index + 1);
            }
            Region::Mirrored => {
                let mut place = self.chunk.lock();
                seal_frame(frame, index, place.segment.seed);
                let position = Position { segment: place.segment.number, at: place.at };
                if let Some(mirror) = &mut place.mirror {
                    mirror.append(frame);
                    commit(mirror, position.committed_salt(), index + 1);
                }
                self.track.fill(frame_len);
                place.segment.mark_dirty();
            }
        }
        self.events = index + 1;
    }

    /// Writes and accepts a frame, which must fit.
    #[cfg(test)]
    pub fn append(&mut self, frame: &[u8]) {
        self.room()[..frame.len()].copy_from_slice(frame);
        self.accept(frame.len());
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        self.chunk.seal(self.written());
    }
}

/// Says that all that was written counts.
#[inline]
pub(super) fn commit(track: &TrackWriter, salt: u64, events: u16) {
    track.set_word(COMMITTED_AT, committed_word(salt, track.track().filled(), events));
}
