//! Events on their way in: the compact frame that `record` writes, ids, and lines of input.

#[cfg(test)]
mod arbitrary;
mod canonical;
pub(crate) mod clock;
pub mod frame;
mod id;
mod input;
mod key;
mod line_reader;
#[cfg(test)]
mod real_events;
mod spelling;

pub use audit_plugin_api::event::*;
pub use id::{IdGenerator, derived_id};
pub use input::LineParser;
pub use line_reader::{InputLine, LineContent, LineReader};
