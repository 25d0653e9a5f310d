//! `spool drain`: delivers what waits in the spool of one configuration to the sinks of another.
//!
//! The sinks are those of the other configuration, with its `[delivery]`; everything about the store is the first
//! one's. What the sinks have settled is deleted from the spool, as if they had been its sinks.

use audit_host::config::{Heirs, SpoolSettings};
use audit_host::logger::Plan;

use super::owner::{Owner, ProcessFolder, process_folders};
use super::settings_of;
use crate::cli::args::{self, Global};
use crate::cli::attendant::Work;
use crate::cli::console::Console;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::failure::Failure;
use crate::cli::progress::{Progress, Visibility};
use crate::cli::session::Session;
use crate::cli::settings;
use crate::cli::signals::{Requests, Stop};
use crate::cli::summary::Store;

/// Delivers what waits to the sinks of `arguments.to`.
pub fn drain(global: &Global, arguments: &args::Drain, console: &Console) -> Result<Exit, Failure> {
    let stop = Stop::on_signals()?;
    let requests = Requests::on_signals()?;
    let (config, path) = settings::load_from(global, console)?;
    let spool = SpoolSettings { heirs: Heirs::AllSinks, ..settings_of(&config, &path)?.clone() };
    let mut to = settings::load_path(global, &arguments.to, console)?;
    if to.sinks.is_empty() {
        return Err(settings::no_logger(&arguments.to));
    }
    leave_the_living_alone(&spool, console)?;
    to.buffer = config.buffer;
    to.buffer.spool = Some(spool);
    to.secrets = to.secrets.and(&config.secrets);
    let (secrets, visibility) = (to.secrets.clone(), Visibility::beside(&to, console));
    let logger = Plan::new(to, &settings::loading())?.open()?;
    let waiting = logger.counts().recovered;
    let session = Session::start(Work {
        progress: Progress::of_delivering(waiting, visibility, console),
        logger,
        stop,
        requests,
        summary: arguments.format,
        store: Store::Spool,
        secrets,
        console: console.clone(),
    })?;
    Ok(session.end(Trouble::None))
}

/// Says which folders are not drained; an error if there are only such.
fn leave_the_living_alone(spool: &SpoolSettings, console: &Console) -> Result<(), Failure> {
    let shown = spool.dir.display();
    let folders = process_folders(&spool.dir)
        .map_err(|error| Failure::new(format!("the spool {shown} cannot be read: {error}")))?;
    let living: Vec<String> = folders.iter().filter_map(living_owner).collect();
    if !living.is_empty() && living.len() == folders.len() {
        return Err(Failure::new(format!(
            "the spool {shown} belongs to {}: stop it, or wait for its end; nothing was sent",
            living.join(" and ")
        )));
    }
    for owner in living {
        console.warn(&format!("what belongs to {owner} is left alone"));
    }
    Ok(())
}

fn living_owner(folder: &ProcessFolder) -> Option<String> {
    let name = folder.path.file_name()?.to_string_lossy();
    match &folder.owner {
        Owner::Alive(Some(pid)) => Some(format!("process {pid}, which is alive ({name})")),
        Owner::Alive(None) => Some(format!("a process that is alive ({name})")),
        Owner::Unknown(reason) => Some(format!("whoever owns {name} ({reason})")),
        Owner::Gone => None,
    }
}
