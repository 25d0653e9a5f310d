//! `completions`: for the shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::answer::print;
use super::args::Arguments;
use super::exit::Exit;
use super::failure::Failure;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "audit-host", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Complete)
}
