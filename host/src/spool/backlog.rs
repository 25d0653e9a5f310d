//! What an earlier process left in the spool.

use std::sync::Arc;

use super::chunk::Chunk;
use super::gap::Gap;

/// What an earlier process left in the spool.
#[derive(Default)]
pub struct Backlog {
    /// The events, in order.
    pub parts: Vec<BacklogPart>,
    /// What is damaged.
    pub gaps: Vec<Gap>,
    /// Names of sinks that are configured no more, and how many events are kept for them.
    pub unowed: Vec<(String, u64)>,
}

/// Events of one chunk that are owed to the same sinks.
pub struct BacklogPart {
    /// The chunk.
    pub chunk: Arc<Chunk>,
    /// Where the events begin among its frames.
    pub from: u32,
    /// Where they end.
    pub to: u32,
    /// Number of the first frame within the chunk.
    pub index: u16,
    /// How many they are.
    pub events: u32,
    /// A bit for each of today's sinks that is to get them.
    pub owed: u32,
    /// For each of today's sinks, how many of the first of them may have been delivered already.
    pub offered: Box<[u32]>,
    /// When the first of them was recorded, in microseconds since 1970.
    pub oldest: i64,
}
