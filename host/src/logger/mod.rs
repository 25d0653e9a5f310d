//! The audit logger: configuration, plugins and pipeline wired together, and the global form of general_manager.
//!
//! ```text
//! Config ─▶ Plan (every class found, loaded, its options checked; nothing opened) ─▶ Logger (sinks open, workers running)
//! ```

mod audit_logger;
mod global;
mod plan;
mod plugin_sink;
mod process;
mod sinks_logger;
mod source;

pub use audit_logger::AuditLogger;
pub use global::{
    audit_logging_enabled, configure_audit_logger, configure_audit_logger_from_file,
    configure_audit_logger_from_str, emit_permission_audit_event, get_audit_logger,
};
pub use plan::{Loading, Plan};
pub use sinks_logger::Logger;
pub use source::{ConfigureError, Source};
