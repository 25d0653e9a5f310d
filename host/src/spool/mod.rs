//! The crash-safe form of the queue: what was accepted stays on the disk until every sink has it for good.
//!
//! ```text
//! spool_dir/<UUIDv7>/lock                         locked by the process (logger) that owns the folder; its pid
//! spool_dir/<UUIDv7>/0000000001.segment …         preallocated files of one size
//! spool_dir/<UUIDv7>/0000000007.segment.damaged-1 a copy of a segment in which damage was found
//! ```
//!
//! Each process has a folder of its own, and takes over those whose owners are gone, the oldest first. There is no index
//! that could disagree with the data. All numbers are little-endian; the layout, in `format`:
//!
//! - A **segment** begins with a header, a multiple of 4096 bytes: `AUDSPOOL`, format version u32 (1), length of the header
//!   u32, bytes of the segment u64, its number u64, state u64 (`LIVELIVE`, `freefree`), CRC-32C u32, length of the table u32,
//!   the table: a JSON list of the names of the sinks. After it come chunks.
//! - A **chunk** is a region of whole pages that holds the frames of one slot, in its order. Its header: `CHNK`, CRC-32C
//!   u32, number u64, bytes of the region u32, sinks u16, …; at 32 `committed`: bytes of frames u32, their count u16, check
//!   u16; at 64 two marks for each sink, *offered* and *done*: offset u32, check u32. Each is one aligned word, so that no
//!   crash tears it.
//! - A **frame** holds one event (see `event::frame`); its CRC-32C and all others start with the number of the segment, so that
//!   what an earlier use of the file left never validates.
//!
//! An event is accepted when `committed` covers its frame; what is behind that is the torn tail of a crash, and ignored. A frame
//! before that which does not validate is a loss, and told, also where nothing valid is behind it. After a loss of power it may
//! be one that nobody was promised, since `committed` got to the disk before its frame did, and with `durability = "disk"` its
//! `record` may not have returned. That cannot be told from a promised one that was damaged: a note of what was synced would
//! itself be synced only with what comes next. So an auditor may hear of an event that was never confirmed, but never misses
//! one that was.
//!
//! What happens to what does not validate, when a process opens the spool:
//!
//! | damaged | what happens |
//! |---|---|
//! | a frame | it is lost: skipped, counted by the numbers of its neighbours (`index`), reported as a *gap*; once the gap is recorded, a *hole* frame takes its place |
//! | a chunk's header | its frames are found all the same, owed to all sinks; the header is written anew, with the number 0 |
//! | a whole chunk | a gap of at least one event, if there is anything behind it |
//! | a mark | *done* counts as nothing, *offered* as everything: duplicates at most |
//! | a segment's header | the number in the file's name counts; its chunks are owed to all sinks, by a table of empty names |
//! | the file is too short | a gap: of what its chunks say is missing, and of what nobody knows |
//!
//! Frames that do not validate when they are read again, long after that, are found in the same way, and reported once an
//! event is lost by them; nothing behind them is marked *done* until that is recorded. What is read from a file is always
//! checked, and what is mapped once it has waited for a second (`age`).
//!
//! Before anything is repaired, the segment is copied aside. A folder with a segment of a later format version is left
//! alone; later versions keep the first 48 bytes and their checksum, so that this can be told from damage.
//!
//! A segment that is done is deleted, or used again: it is marked free, gets a new number and name, a new header, and is
//! marked live when it is taken into use. What cannot be synced is never synced again: its chunks are copied to another
//! segment under the same numbers. Of two chunks with one number that one counts of which more frames are whole, from the
//! first one on: what a sync has brought to the disk is the beginning of one of them. Else the fuller one counts, or the one
//! that was settled further, or the later one.
//!
//! Needed from the file system: `fallocate` that reserves space for writes into a mapping (not so on copy-on-write file
//! systems with snapshots), and mappings that agree with `pread` and `pwrite`.
//!
//! Files: `scan`, `scan_chunk` and `checksums` read bytes, `read_folder` a folder, `recover` takes over, `salvage` reads
//! again, `age` says what is checked then, `inspect` only looks; `leasing`, `segment`, `chunk`, `writer` are what is written; `stock` and `housekeeper` the
//! space, `group_commit` and `bell` the disk, `mapped` the memory, `crc` the checksum of a frame, `disk` and `real_disk` the
//! file system.

mod age;
mod backlog;
mod bell;
mod checksums;
mod chunk;
mod crc;
mod disk;
mod error;
mod folder;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gap;
mod group_commit;
mod housekeeper;
mod inspect;
mod leasing;
mod lock;
mod mapped;
#[cfg(test)]
pub(crate) mod memory_disk;
mod open_files;
mod read_folder;
mod real_disk;
mod recover;
mod salvage;
mod scan;
mod scan_chunk;
mod segment;
mod sink_map;
mod stock;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

pub(crate) use age::Age;
pub(crate) use backlog::{Backlog, BacklogPart};
pub(crate) use chunk::Chunk;
pub(crate) use disk::Disk;
pub(crate) use error::LeaseError;
pub use error::SpoolError;
pub(crate) use gap::Gap;
pub use inspect::{FolderContents, FolderDamage, FolderUse, SinkContents, inspect_folder, segment_bytes};
pub(crate) use lock::close_locks_in_child;
pub(crate) use real_disk::RealDisk;
pub(crate) use stock::Bound;
pub(crate) use whole::{Spool, SpoolOptions};
pub(crate) use writer::ChunkWriter;
