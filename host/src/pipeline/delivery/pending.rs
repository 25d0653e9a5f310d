//! A batch that the sink has: which of its events are settled, and which are not.

use std::time::Instant;

use audit_plugin_api::{Acknowledgement, Delivered};

use crate::pipeline::piece::Piece;

/// A batch that is being offered, and the acknowledgements that came before the answer.
pub struct Offered {
    pub id: u64,
    pub piece: Piece,
    pub early: Vec<Acknowledgement>,
}

/// A batch whose events the sink has taken, and will acknowledge.
pub struct Pending {
    pub id: u64,
    pub piece: Piece,
    pub deadline: Instant,
    settled: Vec<bool>,
    left: usize,
}

impl Pending {
    /// None of it is settled.
    pub fn new(id: u64, piece: Piece, deadline: Instant) -> Self {
        let len = piece.len();
        Self { id, piece, deadline, settled: vec![false; len], left: len }
    }

    /// Events that are not settled.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Marks `count` events from `first` on as settled; returns those of them that were not before.
    pub fn settle(&mut self, first: u32, count: u32) -> Option<Piece> {
        let len = self.settled.len();
        let start = (first as usize).min(len);
        let end = start.saturating_add(count as usize).min(len);
        let open = self.pick(start, end);
        self.settled[start..end].fill(true);
        self.left -= open.as_ref().map_or(0, Piece::len);
        open
    }

    /// What is not settled.
    pub fn unsettled(&self) -> Option<Piece> {
        self.pick(0, self.settled.len())
    }

    /// What `delivered` says of the events that are not settled, counted among them.
    pub fn narrow(&self, delivered: Delivered) -> Delivered {
        let open_before =
            |position: usize| self.settled[..position].iter().filter(|done| !**done).count() as u32;
        let len = self.settled.len();
        match delivered {
            Delivered::Nothing => Delivered::Nothing,
            Delivered::Prefix(count) => Delivered::Prefix(open_before((count as usize).min(len))),
            Delivered::AllExcept(mut positions) => {
                positions.retain(|position| (*position as usize) < len);
                if positions.is_empty() {
                    return Delivered::Nothing;
                }
                positions.retain(|position| !self.settled[*position as usize]);
                if positions.is_empty() {
                    // The failed ones are settled, so all that are left were delivered.
                    return Delivered::Prefix(self.left as u32);
                }
                Delivered::AllExcept(positions.into_iter().map(|at| open_before(at as usize)).collect())
            }
        }
    }

    fn pick(&self, start: usize, end: usize) -> Option<Piece> {
        let mut picked = self.piece.part(0, 0);
        let mut from = None;
        for index in start..=end {
            let open = index < end && !self.settled[index];
            match (open, from) {
                (true, None) => from = Some(index),
                (false, Some(first)) => {
                    picked.spans.extend(self.piece.slice(first, index));
                    from = None;
                }
                _ => {}
            }
        }
        (!picked.spans.is_empty()).then_some(picked)
    }
}
