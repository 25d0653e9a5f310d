//! How a delivery stands.

use super::Delivery;
use crate::pipeline::piece::Piece;
use crate::pipeline::run::Span;

impl Delivery {
    /// Whether a batch could go out that is full already.
    pub fn has_full_batch(&self) -> bool {
        self.queued >= self.settings.batch_size
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.front.is_empty()
            && self.offered.is_none()
            && self.pending.is_empty()
            && self.doomed.is_empty()
            && self.burial.is_none()
    }

    /// Whether everything that the flush or close covers is settled, and nothing else is left.
    pub(super) fn is_drained(&self) -> bool {
        self.is_idle() && self.received >= self.flush_to
    }

    /// Whether what is not settled was left in the spool.
    pub(super) fn has_left_the_rest(&self) -> bool {
        self.left_from.is_some() && self.is_idle()
    }

    /// Whether every flush that was asked for came back.
    pub fn is_flushed(&self) -> bool {
        self.flushes_done >= self.flushes_asked
    }

    /// Whether dead letters are being written.
    pub fn is_burying(&self) -> bool {
        self.burial.is_some()
    }

    #[cfg(test)]
    pub fn doomed(&self) -> &[Piece] {
        &self.doomed
    }

    /// Position up to which everything is settled.
    pub fn settled_to(&self) -> u64 {
        let pending = self.pending.iter().map(|pending| pending.piece.position());
        let burying = self.burial.iter().flat_map(|burial| &burial.pieces);
        let doomed = self.doomed.iter().chain(burying).map(Piece::position);
        let left = self.left_from;
        pending.chain(doomed).chain(left).fold(self.handed_out_to(), u64::min)
    }

    /// Position up to which everything was taken by the sink, at least.
    pub(super) fn handed_out_to(&self) -> u64 {
        let offered = self.offered.as_ref().map(|offered| offered.piece.position());
        let front = self.front.front().map(Piece::position);
        let queue = self.queue.front().map(Span::position);
        [offered, front, queue].into_iter().flatten().fold(self.received, u64::min)
    }

    /// Events offered and not settled.
    pub fn in_flight(&self) -> u64 {
        let offered = self.offered.as_ref().map_or(0, |offered| offered.piece.len());
        (offered + self.pending.iter().map(|pending| pending.left()).sum::<usize>()) as u64
    }

    /// `(delivered, retried, dead_lettered, dropped)`.
    pub fn settled(&self) -> (u64, u64, u64, u64) {
        (self.delivered, self.retried, self.dead_lettered, self.dropped)
    }

    /// Grows when more is settled than ever before: an attempt that fails is no progress, and neither is what was taken back
    /// and is settled once more.
    pub fn progress(&self) -> u64 {
        self.most_settled
    }

    /// Events that were left in the spool.
    pub fn spooled(&self) -> u64 {
        self.spooled
    }

    /// Events that were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many were given up so far: dead letters and drops.
    pub fn given_up(&self) -> u64 {
        self.dead_lettered + self.dropped
    }
}
