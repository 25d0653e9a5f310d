//! What a sink of audit-host is written against.
//!
//! A sink implements [`Sink`], names its options in a struct that derives [`SinkOptions`], and exports its
//! classes with [`export_sinks!`]. It is built as a `cdylib`, dropped into a plugin folder, and used by its class
//! path. No `unsafe` and no ABI type is needed: those live in `abi.rs` and the folder beside it.
//!
//! The map: [`Sink`] is what you write, [`Batch`] what it is given, [`Written`] and [`SinkError`] what it answers,
//! [`Host`] what it may call, [`PermissionAuditEvent`] what an event is, `testing` how to test it without a host.

#![deny(unsafe_code)]

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!(
    "audit-host and its sinks run on Linux with glibc, on x86-64 and aarch64: build for one of these targets"
);

// The derives name this crate as their user does.
extern crate self as audit_plugin_api;

#[allow(unsafe_code)]
mod abi;
mod batch;
mod context;
mod deadline;
mod error;
pub mod event;
mod extension;
mod host;
pub mod manifest;
mod options;
mod sink;
pub mod testing;

pub use abi::{Extension, Instance, Module, ModuleError};
pub use audit_plugin_api_derive::{OptionType, SinkOptions, export_sinks};
pub use batch::{Batch, Event, Held, HeldJson, HeldRuns, Hold, RawEvent, flags};
pub use context::Context;
pub use deadline::Deadline;
pub use error::{Delivered, ErrorKind, SinkError};
pub use event::{Action, InvalidEvent, Metadata, PermissionAuditEvent, Timestamp};
pub use extension::{ExtensionFn, RawExtension, ReplyFn};
pub use host::{AckStatus, Acknowledgement, Host, HostServices, Level};
pub use options::{OptionType, OptionsError, Seconds, SinkOptions};
pub use sink::{Sink, Written};

pub use serde_json;
pub use uuid::Uuid;

/// The version of the interface. It is frozen: a plugin built with 1.0.0 loads in every later host.
pub const API_VERSION: &str = "1.0.0";

/// What the macros expand to; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::abi::{Entry, Plugin, RawClass, class, entry};
    pub use crate::manifest::{section, section_length};
    pub use crate::options::{OptionTable, Part, bytes, choose, length, text};

    /// `rustc --version` of the compiler.
    pub const RUSTC: &str = env!("AUDIT_RUSTC_VERSION");
    /// The target triple.
    pub const TARGET: &str = env!("AUDIT_TARGET");

    /// The options of a class, for the manifest.
    pub const fn specs<S: crate::Sink>() -> &'static str {
        <S::Options as crate::SinkOptions>::SPECS
    }
}
