//! Starting: a plugin loaded, and the whole program until it has delivered its first event.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use audit_host::loader::{Sha256, check_file};
use bench_harness::{Case, Outcome, Places, measured_event, resident_kib};

const FILE_SINK: &str = "libaudit_sink_file.so";
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether something has happened.
const GLANCE: Duration = Duration::from_micros(50);

/// Loads the `plugin` against its pin, as a start does: checks, copy, dlopen, handshake. `seconds` is that, `megabytes` its size.
pub fn load(case: &Case) {
    let path = Places::new().built().join(case.text("plugin"));
    let bytes = fs::read(&path).expect("the plugin is built");
    let pin = Sha256::of(bytes.as_slice()).expect("reading from memory");
    let started = Instant::now();
    let loaded = check_file(&path, Some(&pin)).and_then(|checked| checked.load());
    let seconds = started.elapsed().as_secs_f64();
    loaded.expect("a plugin");
    let more = [("megabytes".to_owned(), bytes.len() as f64 / 1e6)].into();
    Outcome { events: 1, seconds, more, ..Outcome::default() }.print();
}

/// Starts `audit-host run` and gives it one event: `seconds` is from its start until the event is in the file, `end` until the
/// program has ended. `probe`: `pinned`, `auto`, `never`. `resident_kib` is its memory while it waits for input.
pub fn program(case: &Case) {
    let plugins = match case.text("probe") {
        "pinned" => format!("sha256 = {{ {FILE_SINK:?} = \"{}\" }}", pin(FILE_SINK)),
        probe => format!("probe = \"{probe}\""),
    };
    let (config, out) = (super::logger::configure(&case.clone().with("plugins", plugins)), case.out());

    let mut waiting = run(&config);
    wait_until(|| out.exists());
    // The sink has opened its file: all that is left is to wait for input, which the program says to nobody.
    thread::sleep(Duration::from_millis(50));
    let resident = resident_kib(waiting.id());
    drop(waiting.stdin.take());
    assert!(waiting.wait().expect("a child of ours").success());
    fs::remove_file(&out).expect("its file");

    let line = format!("{}\n", measured_event().to_json());
    let started = Instant::now();
    let mut child = run(&config);
    let mut input = child.stdin.take().expect("a pipe was asked for");
    input.write_all(line.as_bytes()).expect("the program reads");
    drop(input);
    wait_until(|| fs::metadata(&out).is_ok_and(|file| file.len() > 0));
    let seconds = started.elapsed().as_secs_f64();
    assert!(child.wait().expect("a child of ours").success());
    let more =
        [("end".to_owned(), started.elapsed().as_secs_f64()), ("resident_kib".to_owned(), resident as f64)]
            .into();
    Outcome { events: 1, seconds, more, ..Outcome::default() }.print();
}

fn pin(plugin: &str) -> String {
    let file = fs::File::open(Places::new().built().join(plugin)).expect("the plugin is built");
    Sha256::of(file).expect("it can be read").to_string()
}

fn run(config: &Path) -> Child {
    let mut command = Command::new(Places::new().built().join("audit-host"));
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("the program is built")
}

fn wait_until(happened: impl Fn() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < PATIENCE, "it does not happen");
        // Not spinning: the program needs the cores.
        thread::sleep(GLANCE);
    }
}
