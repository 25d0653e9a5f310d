//! `#[derive(SinkOptions)]`: see `audit_plugin_api::SinkOptions`.
