//! The event: who asked to do what, and was it granted.
//!
//! [`PermissionAuditEvent`] is the struct that callers fill in; its *canonical JSON* is one line, made in one place
//! (`line`), and what every sink is given. The rest of the map: [`Timestamp`], [`Action`] and [`Metadata`] are its
//! parts, [`InvalidEvent`] says why something is no event, [`json`] reads JSON and gives the canonical text of what it
//! read, [`text`] escapes and unescapes.

mod action;
mod audit_event;
mod invalid;
pub mod json;
mod line;
mod metadata;
pub mod text;
mod timestamp;

pub use action::Action;
pub use audit_event::PermissionAuditEvent;
pub use invalid::InvalidEvent;
pub use line::{Fields, line_len, write_line};
pub use metadata::Metadata;
pub use timestamp::{MissingOffset, Timestamp};
