//! `audit.toml`.

mod settings;

pub use settings::{BufferSettings, DeliverySettings, SinkSettings, WhenFull};
