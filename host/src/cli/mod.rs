//! The command line.
//!
//! ```text
//! args (what was typed) ─▶ settings (what it means) ─▶ one file for each command ─▶ answer (standard output), exit (status)
//! ```
//!
//! Standard output belongs to sinks, and to a command's own answer; everything else goes to standard error, through
//! [`console`]. Exit statuses are decided in [`exit`], and nowhere else.

mod answer;
mod args;
mod attendant;
mod check;
#[allow(unsafe_code, reason = "it runs before `main`")]
mod closed_streams;
mod completions;
mod console;
mod dead_letters;
mod drain;
mod exit;
mod failure;
mod feedback;
mod input;
mod json;
mod log;
mod man;
mod masking;
mod places;
mod plugins;
mod progress;
mod rejects;
mod run;
mod schema;
mod session;
mod settings;
mod signals;
mod spool;
mod summary;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, DeadLetters, Plugins, Spool};
use console::Console;
use exit::Exit;
use failure::Failure;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.global.log_format);
    log::set_up(&console, arguments.global.log_level);
    let done = closed_streams::break_closed_streams().and_then(|()| dispatch(arguments, &console));
    let exit = done.unwrap_or_else(|failure| {
        console.fail(&failure);
        Exit::Unusable
    });
    exit.into()
}

fn dispatch(arguments: Arguments, console: &Console) -> Result<Exit, Failure> {
    let global = &arguments.global;
    match arguments.command {
        Command::Run(run) => run::run(global, &run, console),
        Command::Check(check) => check::check(global, &check, console),
        Command::Plugins(Plugins::List(answer)) => plugins::list(global, answer.format, console),
        Command::Plugins(Plugins::Inspect(inspect)) => plugins::inspect(global, &inspect, console),
        Command::DeadLetters(DeadLetters::List(list)) => dead_letters::list(global, &list, console),
        Command::DeadLetters(DeadLetters::Show(show)) => dead_letters::show(global, &show, console),
        Command::DeadLetters(DeadLetters::Replay(replay)) => dead_letters::replay(global, &replay, console),
        Command::Spool(Spool::Status(answer)) => spool::status(global, answer.format, console),
        Command::Spool(Spool::Verify(answer)) => spool::verify(global, answer.format, console),
        Command::Spool(Spool::Drain(drain)) => spool::drain(global, &drain, console),
        Command::Schema(_) => schema::schema(),
        Command::Completions(completions) => completions::completions(completions.shell),
        Command::Man => man::man(),
    }
}
