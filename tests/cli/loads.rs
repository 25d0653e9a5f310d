//! Much in the spool, and slow sinks.
//!
//! `AUDIT_LOAD_EVENTS=2000000 cargo test -p audit-host -p audit-tests --test binary --test cli loads` for as many events.

use std::io::Write;

use audit_tests::modes::PATIENT;
use audit_tests::oracle::Repeats;
use audit_tests::{Running, oracle};

use crate::watched::{Watched, canonical};

/// So many events are much, without `AUDIT_LOAD_EVENTS`.
fn many() -> usize {
    std::env::var("AUDIT_LOAD_EVENTS").map_or(100_000, |events| events.parse().expect("a number"))
}

/// So many canonical lines, each with an id of its own.
fn lines(count: usize) -> Vec<String> {
    let real = canonical(5000);
    let renamed = |(number, line): (usize, &String)| {
        let id = oracle::id_of(line).expect("a canonical line");
        line.replacen(id, &format!("{number:08x}-0000-7000-8000-000000000000"), 1)
    };
    real.iter().cycle().take(count).enumerate().map(renamed).collect()
}

fn config(sink: &str, buffer: &str) -> String {
    format!("[[audit_logger]]\nname = \"out\"\n{sink}\n[buffer]\nspool_dir = \"spool\"\n{buffer}\n")
}

#[test]
fn a_backlog_of_none_of_one_and_of_many_is_delivered_first_in_order_and_once() {
    let input = lines(many());
    let hanging = "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\" }";
    let room = "spool_max_bytes = 2147483648";
    for count in [0, 1, input.len() - 1] {
        let impatient = config(hanging, room) + "[delivery]\nshutdown_timeout = 0.5\n";
        let mut watched = Watched::new(format!("{count} before"), &impatient, &["out"], Repeats::Never);
        let ran = watched.run(&input[..count]);
        assert_eq!(ran.status, i32::from(count > 0), "{ran:?}");
        let file = "class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\" }";
        watched.dir.write("audit.toml", config(file, room) + PATIENT);
        let ran = watched.run(&input[count..=count]);
        assert_eq!(ran.status, 0, "{ran:?}");
        watched.assert_all_is_settled();
    }
}

/// Bytes of memory that the process has for itself, without files that it has mapped.
fn own_memory(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a Linux of today");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_slow_sink_costs_neither_events_nor_memory() {
    // What the store may have in memory, and as much for everything else thrice.
    const MOST: u64 = 4 * (4 << 20);
    let input = lines(many());
    let slow =
        "class = \"test.Recording\"\noptions = { path = \"out.ndjson\", batch_size = 100, delay_ms = 1 }";
    let bounds = "capacity_bytes = 4194304\nmax_event_bytes = 65536\nspool_max_bytes = 67108864";
    let mut watched = Watched::new("a slow sink", &config(slow, bounds), &["out"], Repeats::Never);
    let life = watched.begin(&input);
    let mut running = watched.dir.audit_host(&["run", "--summary", "json"]).start();
    let mut stdin = running.stdin.take().expect("standard input is open");
    let mut most = 0;
    for lines in input.chunks(500) {
        stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("the program reads");
        most = most.max(own_memory(&running));
    }
    drop(stdin);
    let ran = running.end();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(most < MOST, "{most} bytes");
    watched.accepted(&input);
    watched.ended(life, &ran);
    watched.assert_all_is_settled();
}
