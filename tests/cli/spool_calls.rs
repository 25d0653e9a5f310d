//! `kill -9` at each system call that changes a file, one after the other.
//!
//! `cargo test -p audit-host -p audit-tests --test binary --test cli -- --ignored at_each_system_call`; needs `strace`, which
//! kills the program as it enters the call. What it stores into mapped memory between two calls is taken apart in
//! `host/src/spool/tests/stores.rs`.

use audit_tests::Ran;
use audit_tests::modes::PATIENT;
use audit_tests::oracle::Repeats;

use crate::PRINT_FIRST;
use crate::watched::{Watched, canonical};

const CALLS: [&str; 13] = [
    "mkdir",
    "openat",
    "flock",
    "fallocate",
    "ftruncate",
    "madvise",
    "pwrite64",
    "write",
    "writev",
    "rename",
    "fdatasync",
    "fsync",
    "unlink",
];

/// Both sinks flush and give back as they go, and segments are used again.
fn config(durability: &str) -> String {
    format!(
        r#"{PRINT_FIRST}[[audit_logger]]
name = "out"
class = "file.FileAuditLogger"
options = {{ path = "out.ndjson", flush_interval = 0.001, batch_size = 50 }}
[buffer]
spool_dir = "spool"
spool_max_bytes = 1048576
max_event_bytes = 4096
{durability}
{PATIENT}"#
    )
}

/// Runs with this input, and has it killed as one of its threads enters this call for the `when`th time.
fn run_until(watched: &mut Watched, input: &[String], call: &str, when: u32) -> Ran {
    let life = watched.begin(input);
    let inject = format!("inject={call}:signal=KILL:when={when}");
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    let program = watched.dir.audit_host(&["run", "--summary", "json"]).started_by(&strace);
    let ran = program.input(input.join("\n") + "\n").run();
    let printed: Vec<String> = ran
        .stdout
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect();
    watched.accepted(&printed);
    if ran.status == 0 {
        watched.ended(life, &ran);
    } else {
        assert_eq!(ran.status, 128 + 9, "{ran:?}");
        watched.killed(life, &ran.stdout);
    }
    ran
}

#[test]
#[ignore = "needs strace, and some minutes"]
fn a_process_killed_at_each_system_call_that_changes_a_file_leaves_what_it_had_accepted() {
    let input = canonical(500);
    let mut kills = 0;
    for durability in ["", "disk_for = [\"denied\"]"] {
        for call in CALLS {
            for when in 1.. {
                let what = format!("{call} {when}, {durability:?}");
                let config = config(durability);
                let mut watched = Watched::new(&*what, &config, &["print", "out"], Repeats::AfterKill);
                let is_over = run_until(&mut watched, &input, call, when).status == 0;
                let ran = watched.run(&[]);
                assert_eq!(ran.status, 0, "{what}: {ran:?}");
                watched.assert_all_is_settled();
                if is_over {
                    break;
                }
                kills += 1;
            }
            println!("{call}: {kills} kills so far");
        }
    }
    assert!(kills > 100, "{kills}");
}
