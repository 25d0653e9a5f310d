//! `audit.toml`: from text to checked settings.
//!
//! ```text
//! find ─▶ load: owner, mode, text ─▶ tree: TOML with spans, ${…} filled in ─▶ parse: settings ─▶ options: against a manifest
//! ```
//!
//! Everything wrong is found before anything runs, all of it at once, each as `FILE:LINE:COL` with an excerpt and what was
//! meant. Values that came from the environment or from secret files are masked in every message.
//!
//! A leaf: it knows no loader and no pipeline. Of the plugins it knows what their manifests say, as data.

mod disk_for;
mod document;
mod error;
mod fields;
mod find;
mod interpolate;
mod load;
mod options;
mod parse;
mod plugin_settings;
mod printable;
mod schema;
mod secrets;
mod settings;
mod sink;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;

pub use disk_for::DiskFor;
pub use document::Position;
pub use error::{ConfigError, Mistake, Rendering};
pub use load::Config;
pub use options::check_options;
pub use plugin_settings::{PluginSettings, Probe};
pub use printable::printable;
pub use schema::schema;
pub use secrets::Secrets;
pub use settings::{
    BufferSettings, DeliverySettings, Durability, Heirs, SinkSettings, SpoolSettings, WhenFull,
};
pub use sink::SinkConfig;
pub(crate) use suggest::nearest;
