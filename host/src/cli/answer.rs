//! A command's own answer, on standard output.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::failure::Failure;
use super::json::printable_json;

/// Prints an answer. A reader that has read enough (`| head`) is no failure.
pub fn print(answer: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the answer cannot be written to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints an answer as JSON on one line.
pub fn print_json(answer: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(answer)
        .map_err(|error| Failure::new(format!("the answer cannot be written as JSON: {error}")))?;
    print(&format!("{}\n", printable_json(&json)))
}
