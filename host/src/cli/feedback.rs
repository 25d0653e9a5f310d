//! A run must not read what it writes itself: it would never end.

use std::path::Path;

use audit_host::config::Config;

use super::failure::Failure;
use super::input::{FileIdentity, Input};

/// Refuses inputs that a sink, or the file of rejected lines, is appended to.
pub fn refuse_feedback(inputs: &[Input], config: &Config) -> Result<(), Failure> {
    let written = written_files(config);
    for input in inputs {
        let Some(identity) = input.identity() else { continue };
        if let Some((_, what)) = written.iter().find(|(written, _)| *written == identity) {
            return Err(Failure::new(format!(
                "{} is {what}: the run would read its own output for ever; read a copy, or write elsewhere (no event \
                 was taken)",
                input.name()
            )));
        }
    }
    Ok(())
}

/// The files that are there already and will be written, each with what it is.
fn written_files(config: &Config) -> Vec<(FileIdentity, String)> {
    let mut written = Vec::new();
    let mut note = |identity: Option<FileIdentity>, what: String| {
        written.extend(identity.map(|identity| (identity, what)));
    };
    for sink in &config.sinks {
        // What sinks in the box and others call the file that they write.
        if let Some(path) = sink.options.get("path").and_then(|path| path.as_str()) {
            let path = config.base_dir.join(path);
            note(FileIdentity::at(&path), format!("{}, which sink `{}` writes", path.display(), sink.name));
        }
        if sink.class == "print.PrintAuditLogger" {
            note(
                FileIdentity::of(std::io::stdout()),
                format!("standard output, which sink `{}` writes", sink.name),
            );
        }
    }
    let rejected: &Path = &config.delivery.rejected_path;
    note(
        FileIdentity::at(rejected),
        format!("{}, where rejected lines are kept (rejected_path)", rejected.display()),
    );
    written
}
