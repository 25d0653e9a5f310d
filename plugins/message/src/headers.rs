//! The headers of a message.

use serde::Deserialize;

/// Version of the canonical JSON that the payload is, or is taken from.
pub const SCHEMA: &str = "1";

/// A header that a message may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// `event_id`: the event's UUID as text. A retry or replay carries the same.
    EventId,
    /// `schema`: [`SCHEMA`].
    Schema,
}
