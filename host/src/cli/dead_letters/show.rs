//! `dead-letters show`.

use audit_host::config::printable;
use audit_host::pipeline::dead_letters::Letter;
use serde::Serialize;

use super::file::LetterFile;
use crate::cli::answer::{print, print_raw_json};
use crate::cli::args::{self, Format, Global};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::settings;

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    letter: &'a Letter,
    /// When it was replayed; `null` where it was not.
    replayed: Option<&'a str>,
}

/// Shows one dead letter.
pub fn show(global: &Global, arguments: &args::Show, console: &Console) -> Result<Exit, Failure> {
    let config = settings::load(global, console)?;
    let file = LetterFile::new(&config.delivery.dead_letter_path);
    let marks = file.marks()?;
    let mut found = None;
    file.letters(&mut |letter| {
        match letter {
            Ok(letter) if letter.id == arguments.id => found = Some(letter),
            Ok(_) => {}
            Err(damage) => {
                console.warn(&format!("{}:{}: {}", file.path().display(), damage.line, damage.reason));
            }
        }
        Ok(())
    })?;
    let Some(mut letter) = found else {
        let (id, path) = (&arguments.id, file.path().display());
        return Err(Failure::new(format!(
            "there is no dead letter {id} in {path}: `dead-letters list` shows them"
        )));
    };
    // The event stays what it is, byte for byte.
    for text in [&mut letter.sink, &mut letter.class, &mut letter.reason] {
        *text = config.secrets.mask(text).into_owned();
    }
    let replayed = marks.get(&letter.id).map(String::as_str);
    match arguments.answer.format {
        Format::Json => print_raw_json(&Answer { letter: &letter, replayed })?,
        Format::Text => print(&to_text(&letter, replayed))?,
    }
    Ok(Exit::Complete)
}

fn to_text(letter: &Letter, replayed: Option<&str>) -> String {
    let attempts = letter.attempts.to_string();
    let lines = [
        ("id", letter.id.as_str()),
        ("sink", &letter.sink),
        ("class", &letter.class),
        ("reason", &letter.reason),
        ("attempts", &attempts),
        ("first failed", &letter.first_failed),
        ("dead-lettered", &letter.dead_lettered),
        ("replayed", replayed.unwrap_or("no")),
        ("event", letter.event.get()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        text += &format!("{name:<14} {}\n", printable(value));
    }
    text
}
