//! `schema`: the JSON Schema of `audit.toml`.

use audit_host::config;

use super::answer::print;
use super::exit::Exit;
use super::failure::Failure;

/// Prints the schema.
pub fn schema() -> Result<Exit, Failure> {
    print(&format!("{:#}\n", config::schema()))?;
    Ok(Exit::Complete)
}
