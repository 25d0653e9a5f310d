//! Loads a plugin on trial, in a process that may die of it.
//!
//! A file can pass every check and still kill whoever loads it: a flipped bit in its code, a constructor that aborts, exits
//! or hangs. So a throw-away child process loads the very same bytes first, by the very function that loads them here, and ends.
//! Guarantees: the caller lives, waits no longer than the deadline, and hears what the child died of. What it does not find: faults
//! that show only when options are validated, or a sink is opened or written to, and those that depend on what else is in a
//! process, such as a damaged index by which the dynamic linker reads what happens to lie behind a table.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use audit_plugin_api::{Deadline, Uuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::plugin::is_loaded;
use super::probe_answer::ProbeAnswer;
use super::{CheckedPlugin, Reason, Refusal, probe_child};
use crate::config::Probe;

/// How long a child may take, unless the caller says otherwise.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// Which program loads the plugin on trial. It must call [`serve_probe_if_asked`](super::serve_probe_if_asked) first thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProbeHow {
    /// The program that is running now.
    #[default]
    OwnBinary,
    /// The program in this file.
    Program(PathBuf),
}

/// Whether a plugin is to be loaded on trial; never when the same bytes are loaded already.
pub fn needs_probe(policy: Probe, checked: &CheckedPlugin) -> bool {
    match policy {
        _ if is_loaded(checked.sha256()) => false,
        Probe::Auto => !checked.is_pinned(),
        Probe::Always => true,
        Probe::Never => false,
    }
}

/// Lets a child process load the plugin as this one would, within `deadline`.
pub fn probe(checked: &CheckedPlugin, how: &ProbeHow, deadline: Duration) -> Result<(), Refusal> {
    try_in_child(checked, how, deadline).map_err(|reason| Refusal { path: checked.path().into(), reason })
}

fn try_in_child(checked: &CheckedPlugin, how: &ProbeHow, deadline: Duration) -> Result<(), Reason> {
    let not_started = |error: io::Error| Reason::ProbeStart(error.to_string());
    // A program that does not serve probes would start itself over and over.
    if std::env::var_os(probe_child::MARK).is_some() {
        return Err(Reason::ProbeStart("this program does not call `serve_probe_if_asked`".into()));
    }
    let end = Deadline::after(deadline);
    let token = Uuid::now_v7().to_string();
    let mut child = start(checked, how, &token).map_err(not_started)?;
    let heard = listen(&mut child, end);
    let status = end_child(&mut child).map_err(not_started)?;
    let answer = ProbeAnswer::find(&heard.map_err(not_started)?, &token).map(ProbeAnswer::into_result);
    match answer {
        Some(Err(reason)) => Err(reason),
        // What kills at the end would spoil the host's exit status.
        Some(Ok(())) if status.success() => Ok(()),
        _ if end.has_passed() && status.signal() == Some(Signal::KILL.as_raw()) => {
            Err(Reason::Probe(format!("had not finished after {} s", deadline.as_secs_f64())))
        }
        _ => Err(Reason::Probe(cause_of_death(status))),
    }
}

fn start(checked: &CheckedPlugin, how: &ProbeHow, token: &str) -> io::Result<Child> {
    let program = match how {
        ProbeHow::OwnBinary => PathBuf::from("/proc/self/exe"),
        ProbeHow::Program(path) => path.clone(),
    };
    Command::new(program)
        .args([probe_child::ARGUMENT, token, &std::process::id().to_string()])
        .arg(checked.path())
        .env(probe_child::MARK, "1")
        .stdin(Stdio::from(checked.image().file().try_clone()?))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A signal from the terminal is for us; and whatever the plugin starts ends with it.
        .process_group(0)
        .spawn()
}

/// What the child says until it ends, or the deadline comes.
fn listen(child: &mut Child, end: Deadline) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let Some(output) = child.stdout.as_mut() else { return Ok(heard) };
    let mut buffer = [0; 4096];
    while wait_readable(&mut *output, end)? {
        let count = output.read(&mut buffer)?;
        heard.extend(&buffer[..count]);
        if count == 0 || heard.len() > ProbeAnswer::MAX_BYTES {
            break;
        }
    }
    Ok(heard)
}

/// Ends the child and whatever it started, and says how it ended. A process that is ending by itself keeps its own status:
/// that is settled before its end of the pipe is closed.
fn end_child(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()
}

fn wait_readable(output: impl AsFd, end: Deadline) -> io::Result<bool> {
    loop {
        let left = Timespec::try_from(end.remaining()).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn cause_of_death(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("died of {}", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit status {code} in the middle of it"),
        (None, None) => "ended".into(),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::KILL) => "SIGKILL",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::SYS) => "SIGSYS",
        Some(Signal::TERM) => "SIGTERM",
        Some(Signal::TRAP) => "SIGTRAP",
        _ => return format!("signal {signal}"),
    };
    name.into()
}
