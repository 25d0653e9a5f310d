//! `dead-letters list`.

use audit_host::config::printable;
use audit_host::pipeline::dead_letters::Letter;
use serde::Serialize;

use super::file::{Damage, LetterFile};
use crate::cli::answer::{print, print_json};
use crate::cli::args::{self, Format, Global};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::settings;

#[derive(Serialize)]
struct Answer {
    path: String,
    dead_letters: Vec<Listed>,
    damaged: Vec<DamagedLine>,
}

/// A letter without its event.
#[derive(Serialize)]
struct Listed {
    id: String,
    event_id: Option<String>,
    sink: String,
    class: String,
    reason: String,
    attempts: u64,
    first_failed: String,
    dead_lettered: String,
    /// When it was replayed; `null` where it was not.
    replayed: Option<String>,
}

#[derive(Serialize)]
struct DamagedLine {
    line: u64,
    reason: String,
}

/// Lists what was given up on.
pub fn list(global: &Global, arguments: &args::List, console: &Console) -> Result<Exit, Failure> {
    let config = settings::load(global, console)?;
    let file = LetterFile::new(&config.delivery.dead_letter_path);
    let marks = file.marks()?;
    let mut answer =
        Answer { path: file.path().display().to_string(), dead_letters: Vec::new(), damaged: Vec::new() };
    let mut hidden = 0_u64;
    file.letters(&mut |letter| {
        match letter {
            Ok(letter) => {
                let replayed = marks.get(&letter.id).cloned();
                if replayed.is_some() && !arguments.all {
                    hidden += 1;
                } else {
                    answer.dead_letters.push(Listed::new(letter, replayed));
                }
            }
            Err(Damage { line, reason }) => {
                console.warn(&format!("{}:{line}: {reason}", file.path().display()));
                answer.damaged.push(DamagedLine { line, reason });
            }
        }
        Ok(())
    })?;
    match arguments.answer.format {
        Format::Json => print_json(&answer, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&answer.to_text(hidden)))?,
    }
    Ok(Exit::Complete)
}

impl Listed {
    fn new(letter: Letter, replayed: Option<String>) -> Self {
        Self {
            event_id: letter.event_id(),
            id: letter.id,
            sink: letter.sink,
            class: letter.class,
            reason: letter.reason,
            attempts: letter.attempts,
            first_failed: letter.first_failed,
            dead_lettered: letter.dead_lettered,
            replayed,
        }
    }
}

impl Answer {
    fn to_text(&self, hidden: u64) -> String {
        let mut text = String::new();
        for letter in &self.dead_letters {
            let replayed = letter.replayed.as_ref().map(|at| format!(", replayed {at}")).unwrap_or_default();
            let line = format!(
                "{}  {}  sink `{}`, attempts {}{replayed}: {}",
                letter.id, letter.dead_lettered, letter.sink, letter.attempts, letter.reason
            );
            text += &format!("{}\n", printable(&line));
        }
        let replayed = match hidden {
            0 => String::new(),
            hidden => format!(", {hidden} more replayed (--all shows them)"),
        };
        let count = self.dead_letters.len();
        text + &format!("{count} dead letters in {}{replayed}\n", printable(&self.path))
    }
}
