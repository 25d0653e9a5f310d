//! Loads sink classes out of `.so` files.
//!
//! The way of a file: [`PluginIndex`] finds it without running it ([`Candidate`], a manifest or a [`Refusal`]);
//! [`check_file`] opens it once, checks it, and takes a sealed copy of its bytes ([`CheckedPlugin`]).
//!
//! Guarantees: nothing here panics or hangs on any file. What it does not do: tell a flipped bit from a good one (a pin
//! does), or judge what a plugin does once it is loaded.

mod candidate;
mod checked;
mod compatibility;
mod elf;
mod error;
mod file;
mod find_error;
mod image;
mod index;
mod manifest;
mod native;
#[cfg(test)]
mod sample;
mod sha256;

pub use candidate::Candidate;
pub use checked::{CheckedPlugin, check_file};
pub use error::{Reason, Refusal};
pub use find_error::FindError;
pub use index::{Folder, PluginIndex, Shadowed};
pub use sha256::{InvalidSha256, Sha256};
