//! A command's own answer, on standard output.

use std::io::{self, ErrorKind, Write};

use audit_host::config::Secrets;
use serde::Serialize;

use super::failure::Failure;
use super::json::printable_json;
use super::masking::mask_json;

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

/// Prints an answer as JSON on one line, without secret values.
pub fn print_json(answer: &impl Serialize, secrets: &Secrets) -> Result<(), Failure> {
    let mut json = serde_json::to_value(answer).map_err(no_json)?;
    mask_json(&mut json, secrets);
    print(&format!("{}\n", printable_json(&json.to_string())))
}

/// Prints an answer as JSON on one line, as it is: numbers and texts in it are copied to the byte.
pub fn print_raw_json(answer: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(answer).map_err(no_json)?;
    print(&format!("{}\n", printable_json(&json)))
}

fn no_json(error: serde_json::Error) -> Failure {
    Failure::new(format!("the answer cannot be written as JSON: {error}"))
}
