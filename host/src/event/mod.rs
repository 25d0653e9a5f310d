//! Events on their way in: the compact frame that `record` writes, ids, and lines of input.

#[cfg(test)]
mod arbitrary;
pub mod frame;
mod id;

pub use audit_plugin_api::event::*;
pub use id::{IdGenerator, derived_id};
