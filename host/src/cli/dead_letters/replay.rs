//! `dead-letters replay`: sends each letter to its own sink, and marks what was delivered.
//!
//! A letter is marked when its sink has delivered its event and made it durable. One that fails again stays what it is: the
//! dead letter that the worker makes of it goes into a folder that is thrown away, so that a replay that fails leaves the
//! file as it was. Letters are settled some at a time; a replay that is killed sends those again that were not marked yet.

use std::collections::{BTreeMap, HashMap, HashSet};

use audit_host::config::Config;

use super::file::{LetterFile, Marks};
use super::outcome::Outcome;
use super::sender::Sender;
use crate::cli::answer::{print, print_json};
use crate::cli::args::{self, Format, Global};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::cli::signals::Stop;

/// Sends dead letters again.
pub fn replay(global: &Global, arguments: &args::Replay, console: &Console) -> Result<Exit, Failure> {
    let stop = Stop::on_signals()?;
    let config = settings::load(global, console)?;
    let file = LetterFile::new(&config.delivery.dead_letter_path);
    let mut outcome = Outcome::default();
    // Without a file there is nothing to lock, and perhaps nowhere to put the lock.
    let _lock = if file.path().exists() { Some(file.lock_for_replay()?) } else { None };
    let mut wanted = Wanted::find(&file, &arguments.ids, console)?;
    let mut senders = open_senders(&config, &mut wanted, &mut outcome)?;
    file.letters(&mut |letter| {
        let Ok(letter) = letter else { return Ok(()) };
        if stop.is_set() || !wanted.ids.remove(&letter.id) {
            return Ok(());
        }
        if let Some(sender) = senders.get_mut(&letter.sink) {
            sender.push(letter, &stop, &mut outcome);
            if sender.is_full() {
                sender.settle(&file, &stop, &mut outcome)?;
            }
        }
        Ok(())
    })?;
    for sender in senders.into_values() {
        sender.finish(&file, &stop, &mut outcome, console)?;
    }
    if stop.is_set() {
        outcome.not_tried = wanted.ids.len() as u64;
    }
    match arguments.answer.format {
        Format::Json => print_json(&outcome, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&outcome.to_text()))?,
    }
    Ok(outcome.exit())
}

/// The letters to send.
struct Wanted {
    ids: HashSet<String>,
    /// How many there are for each sink.
    sinks: BTreeMap<String, u64>,
}

impl Wanted {
    /// Finds the letters of these ids, or all, without those that were replayed.
    fn find(file: &LetterFile, ids: &[String], console: &Console) -> Result<Self, Failure> {
        let marks: Marks = file.marks()?;
        let mut unknown: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let all = ids.is_empty();
        let mut wanted = Self { ids: HashSet::new(), sinks: BTreeMap::new() };
        file.letters(&mut |letter| {
            let letter = match letter {
                Ok(letter) => letter,
                Err(damage) => {
                    let path = file.path().display();
                    console.warn(&format!("{path}:{}: {}", damage.line, damage.reason));
                    return Ok(());
                }
            };
            let named = unknown.remove(letter.id.as_str());
            match marks.get(&letter.id) {
                Some(at) if named => console.note(&format!("{} was replayed already, {at}", letter.id)),
                None if (named || all) && wanted.ids.insert(letter.id) => {
                    *wanted.sinks.entry(letter.sink).or_default() += 1;
                }
                _ => {}
            }
            Ok(())
        })?;
        match unknown.iter().min() {
            None => Ok(wanted),
            Some(id) => Err(Failure::new(format!(
                "there is no dead letter {id} in {}: `dead-letters list` shows them",
                file.path().display()
            ))),
        }
    }
}

/// Opens the sinks that letters are for, before the first one is sent.
fn open_senders(
    config: &Config,
    wanted: &mut Wanted,
    outcome: &mut Outcome,
) -> Result<HashMap<String, Sender>, Failure> {
    let mut senders = HashMap::new();
    for (name, count) in std::mem::take(&mut wanted.sinks) {
        match config.sinks.iter().find(|sink| sink.name == name) {
            Some(sink) => {
                senders.insert(name, Sender::open(config, sink)?);
            }
            None => {
                outcome.without_sink.insert(name, count);
            }
        }
    }
    Ok(senders)
}
