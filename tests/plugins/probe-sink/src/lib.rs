//! Sinks that do what the tests tell them, each in a class of its own.
//!
//! Each that takes a `path` appends there the canonical lines of what it delivered.
#![forbid(unsafe_code)]

mod extending;
mod failing;
mod hanging;
mod lines;
mod panicking;
mod pending;
mod recording;
mod turns;

use audit_plugin_api::export_sinks;

export_sinks! {
    extension = extending::module_extension,
    "test.Recording" => recording::Recording { durable: true, batch_size: 50, flush_interval: 0.05 },
    "test.Failing" => failing::Failing { durable: true },
    "test.Panicking" => panicking::Panicking { durable: true },
    "test.Hanging" => hanging::Hanging { durable: true },
    "test.Pending" => pending::Pending { durable: false, max_in_flight: 8 },
    "test.Extending" => extending::Extending { durable: false },
}
