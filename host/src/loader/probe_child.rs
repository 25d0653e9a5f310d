//! The process that loads a plugin on trial: this program, started anew with a hidden argument.
//!
//! The plugin's bytes are its standard input and the parent hears it on its standard output; the plugin itself gets to see
//! neither. It leaves no core file, and dies with its parent.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::manifest;
use super::plugin::load_descriptor;
use super::probe_answer::ProbeAnswer;

/// Says what the program is started for; a token, the parent's process id and the plugin's path follow.
pub(super) const ARGUMENT: &str = "--probe-plugin";

/// Set in the environment of the child: it must not start another.
pub(super) const MARK: &str = "AUDIT_HOST_PROBE";

/// Loads a plugin on trial and ends the process, if that is what it was started for; returns otherwise.
///
/// A program that probes with [`ProbeHow::OwnBinary`](super::ProbeHow::OwnBinary) calls this first thing in `main`, while it has one thread.
pub fn serve_probe_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    let [token, parent, path] =
        [arguments.next(), arguments.next(), arguments.next()].map(Option::unwrap_or_default);
    let served = serve(&token.to_string_lossy(), &parent.to_string_lossy(), Path::new(&path));
    std::process::exit(if served.is_ok() { 0 } else { 2 });
}

fn serve(token: &str, parent: &str, path: &Path) -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that.
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().to_string() != parent) {
        return Err(io::Error::other("only the program itself starts a probe"));
    }
    let image = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut answer = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    soil_heap();
    let outcome =
        manifest::read(&image).and_then(|manifest| load_descriptor(image, &manifest, path)).map(drop);
    answer.write_all(&ProbeAnswer::new(outcome).to_bytes(token))?;
    // The parent takes its closing for our end, and that is still to come.
    std::mem::forget(answer);
    Ok(())
}

/// Leaves garbage in the free memory of the heap, as there is in a host that has run for a while: where a damaged table makes the
/// dynamic linker read beyond the end of another, zeros would be harmless here, and garbage would kill the host.
fn soil_heap() {
    const GARBAGE: u8 = 0xa5;
    let blocks: Vec<Vec<u8>> = (4..16).flat_map(|power| vec![vec![GARBAGE; 1 << power]; 64]).collect();
    // While the topmost block is in use, those below it are not given back to the system.
    std::mem::forget(vec![GARBAGE; 1]);
    drop(blocks);
}
