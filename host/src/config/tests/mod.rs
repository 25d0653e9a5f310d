//! What the parts do together: settings, and the message of each mistake.

mod files;
mod messages;
mod options;
mod settings;

use std::ffi::OsString;
use std::path::Path;

use super::load::read;
use super::{Config, ConfigError};

/// Reads a text as `audit.toml` in `/srv/audit`, with a few variables.
fn parse(toml: &str) -> Result<Config, ConfigError> {
    read("audit.toml".to_owned(), toml.to_owned(), Path::new("/srv/audit"), Some(&variable))
}

/// The configuration of a text without mistakes.
fn config(toml: &str) -> Config {
    parse(toml).unwrap_or_else(|error| panic!("{error}"))
}

/// The error of a text with mistakes, as it is shown.
fn message(toml: &str) -> String {
    parse(toml).expect_err("this text has a mistake").to_string()
}

fn variable(name: &str) -> Option<OsString> {
    match name {
        "CLASS" => Some("print.PrintAuditLogger".into()),
        "PASSWORD" => Some("hunter2".into()),
        _ => None,
    }
}
