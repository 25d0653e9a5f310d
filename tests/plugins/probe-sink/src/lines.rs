//! The file that the lines go to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use audit_plugin_api::{Context, SinkError};

/// The file that the lines go to, if there is one.
pub struct Lines(Option<File>);

impl Lines {
    /// Opens the file for appending.
    pub fn open(path: Option<&PathBuf>, context: &Context) -> Result<Self, SinkError> {
        let Some(path) = path.map(|path| context.resolve(path)) else { return Ok(Self(None)) };
        OpenOptions::new().create(true).append(true).open(&path).map(|file| Self(Some(file))).map_err(
            |error| SinkError::permanent(format!("cannot open {}: {error}", path.display())).option("path"),
        )
    }

    /// Appends whole lines, or one without its newline.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let written = match lines {
            [.., b'\n'] | [] => file.write_all(lines),
            line => file.write_all(&[line, b"\n"].concat()),
        };
        written.map_err(|error| SinkError::retryable(format!("cannot write: {error}")))
    }

    /// Makes them durable.
    pub fn sync(&self) -> Result<(), SinkError> {
        let Some(file) = &self.0 else { return Ok(()) };
        file.sync_data().map_err(|error| SinkError::retryable(format!("cannot sync: {error}")))
    }
}
