//! Damage in the spool that events were lost in.

use std::io;
use std::sync::Arc;

use super::chunk::Chunk;
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
    /// A bit for each of today's sinks that was to get them, where they were found at start.
    pub owed: u32,
    /// Held until it is healed; none where all that was in it is done.
    segment: Option<Arc<Segment>>,
    /// Who has to be told that this is told, and where in it that is.
    chunk: Option<(Arc<Chunk>, u32)>,
    repairs: Vec<(u64, Vec<u8>)>,
    may_repair: bool,
}

impl Gap {
    /// Damage of this segment, which is held from now on.
    pub(super) fn new(damage: Damage, segment: &Arc<Segment>, may_repair: bool) -> Self {
        segment.hold();
        Self { segment: Some(segment.clone()), ..Self::unheld(damage, segment, may_repair) }
    }

    /// Damage of this segment, in which all is done.
    pub(super) fn unheld(damage: Damage, segment: &Arc<Segment>, may_repair: bool) -> Self {
        let Damage { first_sequence, last_sequence, count, reason, repairs, .. } = damage;
        let reason = format!("{}: {reason}", segment.path().display());
        Self {
            first_sequence,
            last_sequence,
            count,
            reason,
            owed: 0,
            segment: None,
            chunk: None,
            repairs,
            may_repair,
        }
    }

    /// What is missing was for these sinks, a bit each.
    pub(super) fn owed_to(self, owed: u32) -> Self {
        Self { owed, ..self }
    }

    /// Damage at this offset of a chunk that is in use.
    pub(super) fn in_chunk(self, chunk: &Arc<Chunk>, from: u32) -> Self {
        Self { chunk: Some((chunk.clone(), from)), ..self }
    }

    /// Writes over the damage what says that nothing is there, so that it is not found again. Blocks for the disk.
    ///
    /// # Errors
    /// When the segment cannot be written, or no copy of it could be kept: then the next start finds the damage again.
    pub fn heal(self) -> io::Result<()> {
        let healed = self.repair();
        if let Some((chunk, from)) = &self.chunk {
            chunk.note_told(*from);
        }
        healed
    }

    fn repair(&self) -> io::Result<()> {
        let Some(segment) = &self.segment else { return Ok(()) };
        if !self.may_repair {
            return Err(io::Error::other("there is no copy of the damaged segment"));
        }
        if !self.repairs.is_empty() {
            segment.with_file(Access::ReadWrite, |file| {
                self.repairs.iter().try_for_each(|(at, bytes)| file.write_at(bytes, *at))?;
                file.sync()
            })?;
        }
        segment.release();
        Ok(())
    }
}
