//! `spool`: what waits in the crash-safe buffer, whether it is sound, and delivering it elsewhere.
//!
//! [`survey`] is what both `status` and `verify` say; [`owner`] says which of its folders belong to a process that is alive; only [`drain`] changes anything.

mod drain;
mod owner;
mod status;
mod survey;
mod verify;

pub use drain::drain;
pub use status::status;
pub use verify::verify;

use std::path::Path;

use audit_host::config::{Config, SpoolSettings};

use super::failure::Failure;

/// The spool of a configuration, which must have one.
fn settings_of<'c>(config: &'c Config, path: &Path) -> Result<&'c SpoolSettings, Failure> {
    config.buffer.spool.as_ref().ok_or_else(|| {
        Failure::new(format!(
            "{} has no spool: its [buffer] names no `spool_dir`, and --config may name another configuration",
            path.display()
        ))
    })
}
