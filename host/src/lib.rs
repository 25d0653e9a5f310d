//! audit-host: delivers permission audit events to sinks that are loaded at run time.
//!
//! Data goes one way: `config` → `loader` → `pipeline` → sink. `config` and `event` are leaves; `loader` knows no
//! pipeline; `pipeline` knows no loader, no dlopen and no ABI; `logger` wires them together.

pub mod config;
pub mod event;
pub mod loader;
pub mod logger;
pub mod pipeline;
pub mod spool;
pub mod trust;

/// The Rust in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
