//! Events on their way in: the compact frame that `record` writes, and lines of input.

#[cfg(test)]
mod arbitrary;
pub mod frame;

pub use audit_plugin_api::event::*;
