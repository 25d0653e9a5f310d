//! Sinks that do what the tests tell them, each in a class of its own.
#![forbid(unsafe_code)]

mod recording;

use audit_plugin_api::export_sinks;

export_sinks! {
    "test.Recording" => recording::Recording { durable: true, batch_size: 50, flush_interval: 0.05 },
}
