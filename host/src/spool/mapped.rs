//! Memory with one writer and many readers: the only unsafe code of the spool, but for a call in `crc` and the closing of locks
//! after a fork.
//!
//! A [`Track`] is a stretch of memory that is filled from its beginning by its one [`TrackWriter`], and readable as far
//! as it is filled. In front of it may be *words*, which are read and written only as atomics. A [`Carver`] cuts a
//! mapped file into tracks that do not overlap.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::format::PAGE;

/// A mapped file, as long as anything in it is in use.
pub type Mapping = Arc<MmapRaw>;

/// Cuts a mapped file into tracks.
pub struct Carver {
    mapping: Mapping,
    next: usize,
}

impl Carver {
    /// Maps the first bytes of a file, which it must have, and touches them. Words begin the file, tracks begin at
    /// `first`. A forked child does not get the mapping.
    pub fn new(file: &File, bytes: usize, first: usize) -> io::Result<Self> {
        let mapping = MmapOptions::new().len(bytes).map_raw(file)?;
        mapping.advise(Advice::DontFork)?;
        Ok(Self::touched(Arc::new(mapping), first))
    }

    /// Cuts a mapping anew, as [`Carver::new`] does; the mapping again if somebody else holds it too.
    pub fn again(mapping: Mapping, first: usize) -> Result<Self, Mapping> {
        Arc::try_unwrap(mapping).map(|mapping| Self::touched(Arc::new(mapping), first))
    }

    fn touched(mapping: Mapping, first: usize) -> Self {
        let carver = Self { mapping, next: first };
        // Pages are had now, so that nobody waits for them later; an older kernel does not know this advice.
        if carver.mapping.advise(Advice::PopulateWrite).is_err() {
            for page in (0..carver.mapping.len()).step_by(PAGE) {
                carver.word(page).fetch_or(0, Ordering::Relaxed);
            }
        }
        carver
    }

    /// The mapping; who holds it keeps it.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Where the next track would begin.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.mapping.len() - self.next
    }

    /// Sets a word of the file's beginning.
    pub fn set_first_word(&self, at: usize, word: u64) {
        assert!(at < PAGE && at.is_multiple_of(8));
        self.word(at).store(word, Ordering::Release);
    }

    /// Cuts the next `bytes` off, of which the first `words` bytes are words. `None` if so many are not left.
    pub fn carve(&mut self, words: usize, bytes: usize) -> Option<TrackWriter> {
        assert!(words <= bytes && words.is_multiple_of(8) && self.next.is_multiple_of(8));
        if bytes > self.left() {
            return None;
        }
        // SAFETY: `next + words` is within the mapping, by the two checks above.
        let base = unsafe { self.mapping.as_mut_ptr().add(self.next + words) };
        self.next += bytes;
        Some(TrackWriter::new(Track {
            base,
            len: bytes - words,
            words,
            filled: AtomicU32::new(0),
            _keep: Keep::Mapping(self.mapping.clone()),
        }))
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.mapping.len() && at.is_multiple_of(8));
        // SAFETY: within the mapping and aligned, since mappings are aligned to pages. Only words and pages that are not
        // carved yet are accessed like this, and words only like this.
        unsafe { AtomicU64::from_ptr(self.mapping.as_mut_ptr().add(at).cast()) }
    }
}

/// What keeps the memory of a track.
enum Keep {
    Mapping(#[allow(dead_code)] Mapping),
    Heap(#[allow(dead_code)] Box<[AtomicU64]>),
}

/// A stretch of memory that is readable as far as it is filled.
pub struct Track {
    base: *mut u8,
    len: usize,
    words: usize,
    filled: AtomicU32,
    _keep: Keep,
}

// SAFETY: `base` points into memory that `_keep` owns or shares. Bytes below `filled` are never written again, bytes
// above are accessed by the one writer alone, and words only as atomics.
unsafe impl Send for Track {}
// SAFETY: as above.
unsafe impl Sync for Track {}

impl Track {
    /// Bytes it can hold.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are filled.
    pub fn filled(&self) -> u32 {
        self.filled.load(Ordering::Acquire)
    }

    /// A part of what is filled; `None` beyond.
    pub fn read(&self, from: u32, to: u32) -> Option<&[u8]> {
        if from > to || to > self.filled() {
            return None;
        }
        // SAFETY: within `len` since `filled` is, and initialised: it was written before `filled` was stored (release),
        // which was loaded with acquire. It is not written again as long as the track lives: not by the writer, which
        // goes on behind it; not by another track, since a carver cuts each part once; and not through another mapping
        // or file, since a segment's file belongs to one process (its folder is locked and private) and is used anew
        // only when nobody holds this mapping any more. (A frame that is damaged is written over, as whatever damaged it
        // has done: its chunk lets go of the track before, and who has the frame still does not know it for sound.)
        Some(unsafe { std::slice::from_raw_parts(self.base.add(from as usize), (to - from) as usize) })
    }

    /// Stores a word in front of the track.
    pub fn set_word(&self, at: usize, word: u64) {
        self.word(at).store(word, Ordering::Release);
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.words && at.is_multiple_of(8));
        // SAFETY: `words` bytes lie in front of `base`, in the same allocation, aligned to eight like `base` itself
        // (regions begin on pages); they are accessed only as atomics.
        unsafe { AtomicU64::from_ptr(self.base.sub(self.words).add(at).cast()) }
    }
}

/// The one who fills a track.
pub struct TrackWriter {
    track: Arc<Track>,
}

impl TrackWriter {
    fn new(track: Track) -> Self {
        Self { track: Arc::new(track) }
    }

    /// A track of so many bytes in memory of its own, without words.
    pub fn on_heap(bytes: usize) -> Self {
        let memory: Box<[AtomicU64]> = (0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect();
        let base = memory.as_ptr().cast::<u8>().cast_mut();
        Self::new(Track { base, len: bytes, words: 0, filled: AtomicU32::new(0), _keep: Keep::Heap(memory) })
    }

    /// The track.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Bytes that still fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.track.len - self.track.filled.load(Ordering::Relaxed) as usize
    }

    /// What is not filled: anything may be in it.
    #[inline]
    pub fn room_mut(&mut self) -> &mut [u8] {
        let filled = self.track.filled.load(Ordering::Relaxed) as usize;
        let room = self.track.len.saturating_sub(filled);
        // SAFETY: within `len`, and initialised, since files and heap memory begin as zeros. Nobody reads beyond `filled`,
        // and nobody else writes there: there is one writer for a track, it is borrowed mutably, and what is said in
        // `Track::read` of other mappings and files holds here too.
        unsafe { std::slice::from_raw_parts_mut(self.track.base.add(filled), room) }
    }

    /// The first bytes of the room are filled now.
    #[inline]
    pub fn fill(&mut self, bytes: usize) {
        assert!(bytes <= self.room());
        let filled = self.track.filled.load(Ordering::Relaxed);
        self.track.filled.store(filled + bytes as u32, Ordering::Release);
    }

    /// Fills in these bytes, which must fit.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.room_mut()[..bytes.len()].copy_from_slice(bytes);
        self.fill(bytes.len());
    }

    /// Stores a word in front of the track.
    #[inline]
    pub fn set_word(&self, at: usize, word: u64) {
        self.track.word(at).store(word, Ordering::Release);
    }
}
