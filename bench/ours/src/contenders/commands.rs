//! Programs that take lines and write lines: `audit-host run` from a pipe, rsyslog and syslog-ng from a socket of this machine.
//!
//! | key | meaning |
//! |---|---|
//! | `program` | `audit-host`, `rsyslog`, `syslog-ng` |
//! | `lines` | `pass` (lines through, unparsed), `parse` (JSON taken apart and made anew; audit-host checks it all, and makes none of these lines anew, since they are canonical), `anew` (what general_manager wrote, which is not, and has no ids) |
//!
//! audit-host is timed from its start to its end; of the others, which are services, neither start nor end counts: from the
//! first byte that they get until all lines are in the file.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bench_harness::{Case, Outcome, Places, Stamper, children_cpu_seconds, peak_kib};

/// About as long as a line is: millions of them are made beforehand, in memory.
const LINE_BYTES: usize = 400;
/// How long a service may take to listen, or to write anything more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs one and prints what came of it.
pub fn run(case: &Case) {
    let lines = lines(case);
    let (took, peak_kib) = match case.text("program") {
        "audit-host" => run_to_its_end(case, &lines),
        program => serve(program, case, &lines),
    };
    let (seconds, cpu_seconds) = (took.as_secs_f64(), children_cpu_seconds());
    Outcome { events: case.events(), seconds, cpu_seconds, peak_kib, ..Outcome::default() }.print();
}

fn run_to_its_end(case: &Case, lines: &[u8]) -> (Duration, u64) {
    let started = Instant::now();
    let mut child = audit_host(case);
    let mut input = child.stdin.take().expect("a pipe was asked for");
    input.write_all(lines).expect("the program reads");
    let peak = peak_kib(child.id());
    drop(input);
    assert!(child.wait().expect("a child of ours").success(), "audit-host run failed");
    (started.elapsed(), peak)
}

fn serve(program: &str, case: &Case, lines: &[u8]) -> (Duration, u64) {
    let port = free_port();
    let mut child = service(program, case, port);
    let mut socket = connect(port);
    let started = Instant::now();
    let (out, count) = (case.out(), case.events());
    let written = thread::spawn(move || wait_for_lines(&out, count));
    socket.write_all(lines).expect("the service reads");
    drop(socket);
    let written = written.join().expect("the file can be read");
    let peak = peak_kib(child.id());
    terminate(&mut child);
    (written - started, peak)
}

/// All lines: canonical, with ids of their own, or as general_manager wrote them.
fn lines(case: &Case) -> Vec<u8> {
    let mut lines = Vec::with_capacity(case.events() as usize * LINE_BYTES);
    if case.text("lines") == "anew" {
        let text = fs::read(Places::new().real_events()).expect("the examples are in the repository");
        let real: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        real.iter().cycle().take(case.events() as usize).for_each(|line| lines.extend_from_slice(line));
        return lines;
    }
    let (events, mut stamper) = (case.input().events(), Stamper::default());
    for event in events.iter().cycle().take(case.events() as usize) {
        serde_json::to_writer(&mut lines, &stamper.stamp(event)).expect("writing to memory");
        lines.push(b'\n');
    }
    lines
}

fn audit_host(case: &Case) -> Child {
    let config = super::logger::configure(case);
    Command::new(Places::new().built().join("audit-host"))
        .args([Path::new("run"), Path::new("--config"), &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is built")
}

fn service(program: &str, case: &Case, port: u16) -> Child {
    let out = case.out();
    let folder = out.parent().expect("a file is in a folder");
    let root = Places::new().file("target/bench/peers/root");
    let configuration = folder.join("service.conf");
    let parses = case.text("lines") == "parse";
    let find = |path: &str| -> PathBuf {
        let unpacked = root.join(path);
        if unpacked.exists() { unpacked } else { Path::new("/").join(path) }
    };
    let mut command;
    if program == "rsyslog" {
        fs::write(&configuration, rsyslog_configuration(&out, folder, port, parses))
            .expect("the folder is there");
        command = Command::new(find("usr/sbin/rsyslogd"));
        command.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(folder.join("pid"));
        command.arg("-M").arg(find("usr/lib/x86_64-linux-gnu/rsyslog"));
    } else {
        fs::write(&configuration, syslog_ng_configuration(&out, port, parses)).expect("the folder is there");
        command = Command::new(find("usr/sbin/syslog-ng"));
        command.args(["-F", "--no-caps", "--module-path"]).arg(find("usr/lib/syslog-ng/3.38"));
        command.arg("-f").arg(&configuration).arg("-R").arg(folder.join("persist"));
        command.arg("-p").arg(folder.join("pid")).arg("-c").arg(folder.join("control"));
    }
    let libraries =
        ["usr/lib/x86_64-linux-gnu", "usr/lib/syslog-ng", "lib/x86_64-linux-gnu"].map(|path| root.join(path));
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries).expect("no colon in a path of ours"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the service starts")
}

fn rsyslog_configuration(out: &Path, folder: &Path, port: u16, parses: bool) -> String {
    let (out, folder) = (out.display(), folder.display());
    let (parse, template) = if parses {
        ("action(type=\"mmjsonparse\" cookie=\"\" useRawMsg=\"on\")", "%$!%")
    } else {
        ("", "%rawmsg%")
    };
    format!(
        "global(workDirectory=\"{folder}\" maxMessageSize=\"64k\")\n\
         module(load=\"imtcp\")\nmodule(load=\"mmjsonparse\")\n\
         template(name=\"line\" type=\"string\" string=\"{template}\\n\")\n\
         ruleset(name=\"audit\") {{ {parse} action(type=\"omfile\" file=\"{out}\" template=\"line\" ioBufferSize=\"256k\") }}\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"audit\")\n"
    )
}

fn syslog_ng_configuration(out: &Path, port: u16, parses: bool) -> String {
    let (parse, template) = if parses {
        (
            "parser { json-parser(prefix(\".json.\")); };",
            "$(format-json .json.* --rekey .json.* --shift-levels 2)",
        )
    } else {
        ("", "$MSG")
    };
    format!(
        "@version: 3.38\noptions {{ flush-lines(1000); log-msg-size(65536); stats-freq(0); }};\n\
         source s {{ network(transport(\"tcp\") ip(\"127.0.0.1\") port({port}) flags(no-parse) max-connections(1) \
         log-iw-size(100000) log-fetch-limit(1000)); }};\n\
         destination d {{ file(\"{}\" template(\"{template}\\n\") log-fifo-size(200000)); }};\n\
         log {{ source(s); {parse} destination(d); flags(flow-control); }};\n",
        out.display()
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn connect(port: u16) -> TcpStream {
    let started = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => return socket,
            Err(error) => assert!(started.elapsed() < PATIENCE, "the service does not listen: {error}"),
        }
        // A service of others says to nobody that it listens now; before the measured time.
        thread::sleep(Duration::from_millis(10));
    }
}

/// Reads along until the file has so many lines, or has not grown for long; says when it was seen to have them.
fn wait_for_lines(out: &Path, count: u64) -> Instant {
    let (mut file, mut buffer, mut seen, mut last) = (None, vec![0; 1 << 20], 0, Instant::now());
    loop {
        let read = match &mut file {
            None => match File::open(out) {
                Ok(opened) => {
                    file = Some(opened);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => 0,
                Err(error) => panic!("{}: {error}", out.display()),
            },
            Some(file) => file.read(&mut buffer).expect("a file of ours"),
        };
        if read > 0 {
            seen += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            last = Instant::now();
        }
        if seen >= count || last.elapsed() > PATIENCE {
            return last;
        }
        if read < buffer.len() {
            // A service says to nobody that it has written: its file is looked at, and hardly any of its core is taken for that.
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn terminate(child: &mut Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let _ = child.wait();
}
