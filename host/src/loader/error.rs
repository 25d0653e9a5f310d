//! Why a plugin file is not loaded, in one sentence: the file, both sides of the mismatch, and who does what about it.

use std::fmt;
use std::path::PathBuf;

use audit_plugin_api::API_VERSION;

use super::Sha256;
use crate::config::printable;
use crate::trust::Untrusted;

/// A plugin file that is not loaded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file, as it was named to the loader.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match &self.reason {
            // It begins with the path itself.
            Reason::Untrusted(untrusted) => untrusted.to_string(),
            reason => format!("{} {reason}", self.path.display()),
        };
        // What a plugin says of itself goes to a terminal.
        f.write_str(&printable(&sentence))
    }
}

impl std::error::Error for Refusal {}

/// Why a plugin file is not loaded; its message goes on from the name of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The system does not let us.
    #[error("cannot be {0}: {1}")]
    Io(&'static str, String),
    /// A directory, a FIFO, a device.
    #[error("is {0}, but a plugin is a regular file: remove it from the plugin folder")]
    NotAFile(&'static str),
    /// Its owner or mode.
    #[error(transparent)]
    Untrusted(Untrusted),
    /// Owner or mode of the folder that it is in.
    #[error("is in a folder where somebody else may put files: {0}")]
    UntrustedFolder(Untrusted),
    /// The file system forbids to run anything from it.
    #[error(
        "is on a file system that is mounted `noexec`: move the plugin folder to one that allows execution"
    )]
    NoExec,
    /// Too large for a plugin.
    #[error(
        "holds {bytes} bytes, but a plugin of more than {max} bytes is not loaded: build it in release mode, or strip it"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Nothing in it.
    #[error("is empty: copy the plugin again from where it was built")]
    Empty,
    /// Something else altogether.
    #[error("is not a shared object (it begins with \"{}\", not with \"\\x7fELF\"): put the `.so` there that `cargo build` made", start.escape_ascii())]
    NotElf {
        /// Its first bytes, at most four.
        start: Vec<u8>,
    },
    /// An object file, or a program.
    #[error("is {0}, but a plugin is a shared object: build it with `crate-type = [\"cdylib\"]`")]
    NotShared(&'static str),
    /// Built for other hardware.
    #[error("is built for {0}, but this host runs on {host}: rebuild it for this machine", host = std::env::consts::ARCH)]
    Machine(String),
    /// Cut off, or overwritten.
    #[error("is cut off or damaged ({0}): copy the plugin again from where it was built")]
    Damaged(String),
    /// A shared object that says nothing about itself.
    #[error(
        "is not an audit plugin, since it has no section {}: if it is to be one, its author must export its sinks with \
         `export_sinks!`",
        audit_plugin_api::manifest::SECTION
    )]
    NoManifest,
    /// It says something that makes no sense.
    #[error(
        "has a manifest that makes no sense ({0}): its author must rebuild it with audit-plugin-api {API_VERSION}"
    )]
    BadManifest(String),
    /// Built with an interface that this host does not have.
    #[error(
        "is built with audit-plugin-api {plugin}, but this host has {API_VERSION}: {}",
        who_moves(plugin)
    )]
    Api {
        /// The version that it was built with.
        plugin: String,
    },
    /// Built for another system.
    #[error("is built for {plugin}, but this host runs on {host}: rebuild it with `--target {host}`")]
    Target {
        /// The target that it was built for.
        plugin: String,
        /// The target of the host.
        host: String,
    },
    /// A panic in it would end the host.
    #[error(
        "is built with panic = {0:?}, but a panic in it must be caught: its author must rebuild it with panic = \"unwind\""
    )]
    Panic(String),
    /// Its bytes are not the pinned ones.
    #[error(
        "has the SHA-256 {file}, but {pin} is pinned: put the pinned file back, or pin the new one under `[plugins] sha256`"
    )]
    Pin {
        /// The hash of its bytes.
        file: Sha256,
        /// The hash that was expected.
        pin: Sha256,
    },
    /// A throw-away process that loaded it did not live to say so.
    #[error(
        "is not loaded, since a process that loaded it on trial {0}: rebuild it, or copy it again from where it was built"
    )]
    Probe(String),
    /// The process that should load it on trial could not be started.
    #[error("is not loaded, since no process could be started to load it on trial: {0}")]
    ProbeStart(String),
    /// `dlopen` said no.
    #[error("cannot be loaded ({0}): rebuild it on this system, or install what it needs")]
    Dlopen(String),
    /// It is loaded, but the interface in it is another one.
    #[error("cannot be used: {summary}")]
    Handshake {
        /// Both sides of the mismatch, and who must do what.
        summary: String,
        /// All that is known; may be over a thousand lines.
        report: String,
    },
    /// It is loaded, but holds other classes than its manifest says.
    #[error(
        "says in its manifest that it holds {manifest:?}, but holds {module:?}: its author must rebuild it"
    )]
    Classes {
        /// Classes in the manifest.
        manifest: Vec<String>,
        /// Classes in the loaded module.
        module: Vec<String>,
    },
    /// The file was overwritten while it is loaded, on a system where the loaded code cannot be kept apart from it.
    #[error(
        "was overwritten while this process had it loaded: restart the host, and from now on replace the file with `mv`"
    )]
    Overwritten,
}

impl Reason {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(super) fn io(what: &'static str, error: impl fmt::Display) -> Self {
        Self::Io(what, error.to_string())
    }
}

fn who_moves(plugin: &str) -> String {
    if super::compatibility::is_newer(plugin) {
        format!("update audit-host, or rebuild the plugin with audit-plugin-api {API_VERSION}")
    } else {
        format!("its author must rebuild it with audit-plugin-api {API_VERSION}")
    }
}
