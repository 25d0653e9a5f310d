//! `[plugins]`: where plugins are, and how far they are trusted.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Whether a throw-away process loads a plugin first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// Plugins without a pin, on the command line.
    #[default]
    Auto,
    /// Every plugin.
    Always,
    /// No plugin.
    Never,
}

/// `[plugins]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PluginSettings {
    /// Folders to search, in order (absolute). Each existed when the file was read, but the default one, which may be
    /// absent.
    pub dirs: Vec<PathBuf>,
    /// SHA-256 by file name: a plugin whose bytes differ is not loaded.
    pub sha256: BTreeMap<String, [u8; 32]>,
    /// Whether a throw-away process loads a plugin first.
    pub probe: Probe,
}
