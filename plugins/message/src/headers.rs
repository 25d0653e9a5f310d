//! The headers of a message.

use audit_plugin_api::OptionType;

/// Version of the canonical JSON that the payload is, or is taken from.
pub const SCHEMA: &str = "1";

/// A header that a message may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, OptionType)]
pub enum Header {
    /// `event_id`: the event's UUID as text. A retry or replay carries the same.
    EventId,
    /// `schema`: [`SCHEMA`].
    Schema,
}
