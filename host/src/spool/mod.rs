//! The spool: the crash-safe form of the queue, on disk. (Module documentation: see the end of this change.)

mod backlog;
mod chunk;
mod disk;
mod error;
mod folder;
mod format;
mod gap;
mod group_commit;
mod housekeeper;
mod leasing;
mod lock;
mod mapped;
mod real_disk;
mod recover;
mod scan;
mod segment;
mod sink_map;
mod stock;
mod whole;
mod writer;

pub use backlog::{Backlog, BacklogPart};
pub use chunk::Chunk;
pub use disk::{Access, Disk, DiskFile, Lock, Locked};
pub use error::{LeaseError, NotDurable, SpoolError};
pub use gap::Gap;
pub use lock::close_locks_in_child;
pub use real_disk::RealDisk;
pub use stock::Bound;
pub use whole::{Spool, SpoolOptions, segment_bytes};
pub use writer::ChunkWriter;
