//! The print sink: one line for each event on standard output or standard error.
//!
//! [`PrintOptions`] is what `audit.toml` may say, [`Print`] the sink. `lines` makes the lines of a
//! batch, `line` finds the parts that are printed within the canonical line, `python` writes them as Python would,
//! `printable` is the Unicode table for that, and `output` puts bytes on the stream and knows how far it got.

mod line;
mod lines;
mod options;
mod output;
mod printable;
mod python;
mod sink;

pub use options::{Format, PrintOptions, Stream};
pub use sink::Print;

audit_plugin_api::export_sinks! {
    "print.PrintAuditLogger" => Print { durable: false },
}
