//! Events on their way in: the compact frame that `record` writes, and lines of input.

pub mod frame;

pub use audit_plugin_api::event::*;
