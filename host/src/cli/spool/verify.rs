//! `spool verify`.

use audit_host::config::printable;
use serde::Serialize;

use super::settings_of;
use super::survey::Survey;
use crate::cli::answer::{print, print_json};
use crate::cli::args::{Format, Global};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::settings;

#[derive(Serialize)]
struct Verdict<'a> {
    sound: bool,
    #[serde(flatten)]
    survey: &'a Survey,
}

/// Says what is damaged in the spool.
pub fn verify(global: &Global, format: Format, console: &Console) -> Result<Exit, Failure> {
    let (config, path) = settings::load_from(global, console)?;
    let survey = Survey::take(&settings_of(&config, &path)?.dir, console)?;
    let sound = survey.damage.is_empty();
    match format {
        Format::Json => print_json(&Verdict { sound, survey: &survey }, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&to_text(&survey)))?,
    }
    Ok(if sound { Exit::Complete } else { Exit::Unusable })
}

fn to_text(survey: &Survey) -> String {
    let mut text = String::new();
    for damage in &survey.damage {
        text += &format!("{}\n", printable(&damage.to_string()));
    }
    let verdict = match survey.damage.len() {
        0 => "sound".to_owned(),
        1 => "damaged in 1 place".to_owned(),
        places => format!("damaged in {places} places"),
    };
    let (files, dir) = (survey.segments, printable(&survey.dir));
    text + &format!("spool {dir}: {verdict}; {files} segments, {} events wait\n", survey.events)
}
