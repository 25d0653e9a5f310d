//! Loads sink classes out of `.so` files.
//!
//! The way of a file: [`PluginIndex`] finds it without running it ([`Candidate`], a manifest or a [`Refusal`]);
//! [`check_file`] opens it once, checks it, and takes a sealed copy of its bytes ([`CheckedPlugin`]); [`probe`] lets a
//! child process load that copy on trial; [`CheckedPlugin::load`] loads it for good ([`LoadedPlugin`]).
//!
//! Guarantees: up to and including the probe, no file makes this process panic, hang or die. What it does not do: tell a flipped bit from a good one (a pin
//! does), or judge what a plugin does once it is loaded.
#![deny(unsafe_code)]

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
#[allow(unsafe_code)]
mod native;
mod plugin;
mod probe;
mod probe_answer;
mod probe_child;
#[cfg(test)]
mod sample;
mod sha256;

pub use candidate::Candidate;
pub use checked::{CheckedPlugin, check_file};
pub use error::{Reason, Refusal};
pub use find_error::{FindError, UnknownClass};
pub use index::{Folder, PluginIndex, Shadowed};
pub use plugin::LoadedPlugin;
pub use probe::{PROBE_DEADLINE, ProbeHow, needs_probe, probe};
pub use probe_child::serve_probe_if_asked;
pub use sha256::Sha256;
