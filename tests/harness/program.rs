//! The program `audit-host`, started by a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Guard, eventually};

/// The program, not started yet.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Vec<u8>,
}

/// What a program did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit status; 128 + the signal where it died of one.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A program that is running. It is killed when this is dropped, or does not end.
#[derive(Debug)]
pub struct Running {
    child: Child,
    _guard: Guard,
    /// Its standard input; closed when this is taken and dropped.
    pub stdin: Option<ChildStdin>,
    /// Its standard output; closed when this is taken and dropped.
    pub stdout: Option<BufReader<ChildStdout>>,
    /// Lines of its standard error. They are read as they come: it is not to wait for a test that waits for something else.
    stderr: Receiver<String>,
    /// What was taken of them.
    said: String,
}

impl Program {
    pub(crate) fn new(binary: &Path, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command.current_dir(folder).args(arguments).env_remove("AUDIT_CONFIG");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: Vec::new() }
    }

    /// What it reads from standard input; nothing by default.
    pub fn input(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_vec();
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it started by another program, which is given its path and arguments at the end of its own arguments and
    /// replaces itself by it.
    pub fn started_by(mut self, starter: &[&str]) -> Self {
        let (program, arguments) = starter.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("AUDIT_CONFIG");
        command.current_dir(self.command.get_current_dir().unwrap_or(Path::new(".")));
        self.command = command;
        self
    }

    /// Runs it to its end by a shell, so that `redirections` can close what a parent process cannot.
    pub fn run_with(self, redirections: &str) -> Ran {
        self.started_by(&["sh", "-c", &format!("exec \"$@\" {redirections}"), "sh"]).run()
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        let input = self.input.clone();
        let mut running = self.start();
        let stdin = running.stdin.take();
        thread::scope(|scope| {
            // It may end without reading all of it.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
            running.end()
        })
    }

    /// Starts it, with its standard input open.
    pub fn start(mut self) -> Running {
        let mut child = self.command.stdin(Stdio::piped()).spawn().expect("the program starts");
        Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: lines_of(child.stderr.take().expect("piped")),
            said: String::new(),
            _guard: Guard::of(&child),
            child,
        }
    }
}

impl Ran {
    /// The last line of standard error.
    pub fn summary(&self) -> &str {
        self.stderr.lines().next_back().unwrap_or_default()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Running {
    /// Sends text to its standard input.
    pub fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the program reads");
    }

    /// Waits for a line on standard output.
    ///
    /// # Panics
    /// If standard output ends before.
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("standard output is open");
        let count = stdout.read_line(&mut line).expect("standard output is text");
        assert_ne!(count, 0, "standard output has ended");
        line
    }

    /// Waits for a line on standard error that holds this text.
    ///
    /// # Panics
    /// If standard error ends before.
    pub fn wait_for(&mut self, text: &str) -> String {
        while let Ok(line) = self.stderr.recv() {
            self.said += &line;
            if line.contains(text) {
                return line;
            }
        }
        panic!("`{text}` was never said: {}", self.said)
    }

    /// What was read of its standard error so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits until it handles this signal, of which it would die before.
    ///
    /// # Panics
    /// If it ends before.
    pub fn wait_until_it_handles(&self, signal: Signal) {
        let bit = 1_u64 << (signal.as_raw() - 1);
        let status = format!("/proc/{}/status", self.pid());
        eventually(|| {
            let status = std::fs::read_to_string(&status).expect("it runs");
            assert!(!status.contains("State:\tZ"), "it has ended");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
            let mask = u64::from_str_radix(mask.trim(), 16).expect("a mask");
            (mask & bit != 0).then_some(())
        });
    }

    /// Its process id.
    ///
    /// # Panics
    /// Never: the system gives no other numbers.
    pub fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    /// Waits for its end.
    pub fn end(&mut self) -> Ran {
        let mut stdout = self.stdout.take();
        let mut out = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| stdout.as_mut().map(|stdout| stdout.read_to_end(&mut out)));
            self.said.extend(self.stderr.iter());
        });
        let status = status_of(self.child.wait().expect("the program ends"));
        Ran { status, stdout: String::from_utf8_lossy(&out).into_owned(), stderr: self.said.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its lines, each with its end, as they come.
fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0)
            && sender.send(String::from_utf8_lossy(&line).into_owned()).is_ok()
        {
            line.clear();
        }
    });
    lines
}

fn status_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
