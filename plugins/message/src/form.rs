//! What a message is made of, as the options say it.

use audit_plugin_api::OptionType;

use crate::Header;

/// What a message is made of.
#[derive(Clone, Debug)]
pub struct Form {
    /// What the key is.
    pub key: Key,
    /// What the payload is.
    pub payload: Payload,
    /// The headers, in order.
    pub headers: Vec<Header>,
}

/// What the key of a message is. Messages of one key stay in order, since they go to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, OptionType)]
pub enum Key {
    /// None.
    None,
    /// `user_id`: one user's decisions stay in order.
    UserId,
    /// `manager`.
    Manager,
    /// `event_id`: spreads evenly.
    EventId,
}

/// What the payload of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, OptionType)]
pub enum Payload {
    /// The canonical line, untouched.
    Full,
    /// The seven keys of the Python example: action, granted, attributes, manager, user, permissions, metadata.
    Compact,
}
