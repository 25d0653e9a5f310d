//! Damage in the spool that events were lost in.

use std::io;
use std::sync::Arc;

use super::disk::Access;
use super::scan::Damage;
use super::segment::Segment;

/// Damage in the spool that events were lost in. Until it is healed, its segment stays, and every start finds it anew.
pub struct Gap {
    /// The first sequence number that is missing, where it can be told.
    pub first_sequence: Option<u64>,
    /// The last one.
    pub last_sequence: Option<u64>,
    /// How many events are missing, at least.
    pub count: u64,
    /// Where, and what is wrong.
    pub reason: String,
    segment: Arc<Segment>,
    repairs: Vec<(u64, Vec<u8>)>,
    may_repair: bool,
}

impl Gap {
    /// Damage of this segment, which is held from now on.
    pub(super) fn new(damage: Damage, segment: &Arc<Segment>, may_repair: bool) -> Self {
        segment.hold();
        let Damage { first_sequence, last_sequence, count, reason, repairs, .. } = damage;
        let reason = format!("{}: {reason}", segment.path().display());
        Self { first_sequence, last_sequence, count, reason, segment: segment.clone(), repairs, may_repair }
    }

    /// Writes over the damage what says that nothing is there, so that it is not found again. Blocks for the disk.
    ///
    /// # Errors
    /// When the segment cannot be written, or no copy of it could be kept: then the next start finds the damage again.
    pub fn heal(self) -> io::Result<()> {
        if !self.may_repair {
            return Err(io::Error::other("there is no copy of the damaged segment"));
        }
        self.segment.with_file(Access::ReadWrite, |file| {
            self.repairs.iter().try_for_each(|(at, bytes)| file.write_at(bytes, *at))?;
            file.sync()
        })?;
        self.segment.release();
        Ok(())
    }
}
