//! The loader against real, damaged and hostile plugin files: this process outlives every one of them.

#[path = "loader/corpus.rs"]
mod corpus;

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use audit_host::config::Probe;
use audit_host::loader::{
    CheckedPlugin, LoadedPlugin, PROBE_DEADLINE, PluginIndex, ProbeHow, Reason, Refusal, Sha256, check_file,
    needs_probe, probe,
};
use audit_plugin_api::API_VERSION;
use audit_tests::Guard;
use serde_json::Value;

use corpus::{
    Folder, flips, patched, pin_of, range_of, set_mode, sound_plugin, truncations, with_dangling,
    with_manifest,
};

/// Long for a machine that is busy, short for one that waits for nothing.
const HANG_DEADLINE: Duration = Duration::from_secs(1);

fn child() -> ProbeHow {
    ProbeHow::Program(env!("CARGO_BIN_EXE_audit-probe-child").into())
}

fn try_out(checked: &CheckedPlugin) -> Result<(), Refusal> {
    probe(checked, &child(), PROBE_DEADLINE)
}

/// As `try_out`, for files some of which hang.
fn try_out_briefly(checked: &CheckedPlugin) -> Result<(), Refusal> {
    probe(checked, &child(), 3 * HANG_DEADLINE)
}

/// Loads it in a process of its own, untried, and says how that ended; it is killed if it does not.
fn load_apart(path: &Path) -> ExitStatus {
    let program = env!("CARGO_BIN_EXE_audit-probe-child");
    let mut child = Command::new(program).arg(path).stderr(Stdio::null()).spawn().unwrap();
    let _guard = Guard::within(&child, 30 * HANG_DEADLINE);
    child.wait().unwrap()
}

fn load(path: &Path) -> LoadedPlugin {
    check_file(path, None).unwrap().load().unwrap()
}

/// What the host says of a file, up to and including the probe.
fn refusal(path: &Path) -> String {
    check_file(path, None).and_then(|checked| try_out(&checked)).unwrap_err().to_string()
}

/// Whether code of this name is mapped into this process.
fn is_mapped(name: &str) -> bool {
    std::fs::read_to_string("/proc/self/maps").unwrap().contains(name)
}

#[test]
fn a_sound_plugin_is_found_checked_tried_out_and_loaded() {
    let folder = Folder::new();
    let path = folder.put("sound.so", &sound_plugin());
    let index = PluginIndex::scan(&[folder.path().into()], &Default::default());
    let checked = index.find("test.Recording").unwrap().check().unwrap();
    try_out(&checked).unwrap();
    let plugin = checked.load().unwrap();
    assert_eq!(plugin.path(), path);
    assert_eq!(plugin.sha256(), pin_of(&sound_plugin()));
    assert_eq!(plugin.manifest().api, API_VERSION);
    assert!(plugin.module().classes().contains(&"test.Recording".into()));
    assert!(plugin.class_spec("test.Recording").is_some());
    assert!(plugin.class_spec("test.Other").is_none());
}

#[test]
fn scanning_runs_no_plugin_code() {
    let folder = Folder::new();
    for behaviour in ["ABORT", "HANG", "EXIT_0"] {
        folder.put_hostile(behaviour);
    }
    let index = PluginIndex::scan(&[folder.path().into()], &Default::default());
    assert_eq!(index.candidates().filter(|candidate| candidate.refusal().is_none()).count(), 3);
}

#[test]
fn the_same_bytes_are_loaded_once() {
    let folder = Folder::new();
    let bytes = with_manifest(&sound_plugin(), "/version", "1");
    load(&folder.put("first-name.so", &bytes));
    let second = load(&folder.put("second-name.so", &bytes));
    assert!(is_mapped("first-name.so"));
    assert!(!is_mapped("second-name.so"));
    assert!(second.path().ends_with("second-name.so"));
}

#[test]
fn several_plugins_of_one_interface_work_side_by_side() {
    let folder = Folder::new();
    for (name, version) in [("side.so", "2"), ("other-side.so", "3")] {
        let bytes = with_manifest(&sound_plugin(), "/version", version);
        let plugin = load(&folder.put(name, &bytes));
        assert_eq!(plugin.manifest().version, version);
        assert!(is_mapped(name), "{name} is not the one that was loaded");
    }
}

#[test]
fn what_was_checked_is_loaded_whatever_its_path_holds_by_then() {
    let folder = Folder::new();
    let path = folder.put("swapped.so", &with_manifest(&sound_plugin(), "/version", "4"));
    let checked = check_file(&path, None).unwrap();
    std::fs::rename(folder.put_hostile("ABORT"), &path).unwrap();
    assert_eq!(checked.load().unwrap().manifest().version, "4");
}

#[test]
fn a_loaded_plugin_does_not_mind_its_file_being_overwritten() {
    let folder = Folder::new();
    let path = folder.put("live.so", &with_manifest(&sound_plugin(), "/version", "5"));
    let plugin = load(&path);
    std::fs::write(&path, "").unwrap();
    assert!(plugin.module().classes().contains(&"test.Recording".into()));
    assert!(plugin.module().extension("none.such", 1).is_none(), "code of the plugin still runs");
}

#[test]
fn every_truncated_plugin_is_refused_by_the_check() {
    let folder = Folder::new();
    let sound = sound_plugin();
    let pin = pin_of(&sound);
    for cut in truncations(&sound, 250) {
        let path = folder.put("cut.so", cut);
        let message = check_file(&path, None).unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
        assert!(
            message.contains("is cut off or damaged (it") || cut.len() < 20,
            "{} bytes: {message}",
            cut.len()
        );
        check_file(&path, Some(&pin)).unwrap_err();
    }
}

#[test]
fn every_flipped_bit_is_refused_with_a_pin_and_outlived_without_one() {
    let sound = sound_plugin();
    let pin = pin_of(&sound);
    // By an index that is damaged here the linker reads what happens to lie behind a table: other things in each process.
    let version_indices = range_of(&sound, ".gnu.version");
    let flips = flips(sound.len(), 240);
    let (todo, refused) = (Mutex::new(flips.iter()), Mutex::new((0, 0)));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                let folder = Folder::new();
                loop {
                    let Some(&(at, bit)) = todo.lock().unwrap().next() else { break };
                    let path = folder.put("flipped.so", &patched(&sound, at, &[sound[at] ^ bit]));
                    check_file(&path, Some(&pin)).expect_err("a pin finds every flipped bit");
                    let (refusal, by_probe) = match check_file(&path, None) {
                        Err(refusal) => (refusal, false),
                        Ok(checked) => match try_out_briefly(&checked) {
                            Err(refusal) => (refusal, true),
                            Ok(()) => {
                                let status = load_apart(&path);
                                let is_outlived = status.success() || version_indices.contains(&at);
                                assert!(is_outlived, "bit {bit:#x} at {at}: {status}");
                                continue;
                            }
                        },
                    };
                    assert!(refusal.to_string().starts_with(path.to_str().unwrap()), "{refusal}");
                    assert!(!matches!(refusal.reason, Reason::ProbeStart(_)), "{refusal}");
                    let mut refused = refused.lock().unwrap();
                    if by_probe { refused.1 += 1 } else { refused.0 += 1 }
                }
            });
        }
    });
    let (by_check, by_probe) = refused.into_inner().unwrap();
    println!("of {} flipped bits the check refused {by_check}, the probe {by_probe}", flips.len());
    assert!(by_check > 0 && by_probe > 0, "check {by_check}, probe {by_probe}");
}

#[test]
fn each_kind_of_unsound_file_is_refused_with_its_reason() {
    let folder = Folder::new();
    let sound = sound_plugin();
    let manifest_section = b".audit_manifest";
    let section_at = sound.windows(manifest_section.len()).rposition(|w| w == manifest_section).unwrap();
    let api = |version: &str| with_manifest(&sound, "/api", version);
    let cases: [(&str, Vec<u8>, &[&str]); 13] = [
        ("empty", vec![], &["is empty"]),
        ("text", b"not a plugin".to_vec(), &["begins with \"not \""]),
        ("archive", b"!<arch>\n".to_vec(), &["is not a shared object"]),
        ("arm", patched(&sound, 18, &[40, 0]), &["is built for arm", std::env::consts::ARCH]),
        ("32-bit", patched(&sound, 4, &[1]), &["32-bit"]),
        ("program", patched(&sound, 16, &[2, 0]), &["is a program", "cdylib"]),
        (
            "no-manifest",
            patched(&sound, section_at + 1, b"x"),
            &["has no section .audit_manifest", "export_sinks!"],
        ),
        ("newer-minor", api("1.9.0"), &["audit-plugin-api 1.9.0", API_VERSION, "update audit-host"]),
        ("newer-major", api("2.0.0"), &["audit-plugin-api 2.0.0", API_VERSION, "update audit-host"]),
        ("older-major", api("0.9.0"), &["audit-plugin-api 0.9.0", API_VERSION, "its author must rebuild"]),
        ("abort", with_manifest(&sound, "/panic", "abort"), &["panic = \"abort\"", "panic = \"unwind\""]),
        ("musl", with_manifest(&sound, "/target", "s390x-linux-musl"), &["s390x-linux-musl", "linux-gnu"]),
        ("no-class", with_manifest(&sound, "/classes", Value::Array(Vec::new())), &["names no class"]),
    ];
    for (name, bytes, parts) in cases {
        let path = folder.put(&format!("{name}.so"), &bytes);
        let message = check_file(&path, None).unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()), "{name}: {message}");
        for part in parts {
            assert!(message.contains(part), "{name}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn a_fifo_and_a_directory_are_refused_without_waiting() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = Folder::new();
    let (fifo, directory) = (folder.path().join("fifo.so"), folder.path().join("directory.so"));
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    std::fs::create_dir(&directory).unwrap();
    let index = PluginIndex::scan(&[folder.path().into()], &Default::default());
    let messages: Vec<_> =
        index.candidates().map(|candidate| candidate.refusal().unwrap().to_string()).collect();
    assert!(messages[0].contains("directory.so is a directory"), "{messages:?}");
    assert!(messages[1].contains("fifo.so is a FIFO"), "{messages:?}");
}

#[test]
fn who_else_may_write_is_refused_unless_the_bytes_are_pinned() {
    let folder = Folder::new();
    let path = folder.put("open.so", &sound_plugin());
    let pin = pin_of(&sound_plugin());
    let advice_for = |file: &Path, who: &str| format!("run `chmod {who}-w {}`", file.display());

    set_mode(&path, 0o646);
    assert!(refusal(&path).contains(&advice_for(&path, "o")), "{}", refusal(&path));
    check_file(&path, Some(&pin)).unwrap();

    // Only root gives a file to a group that it is not in; the rule itself is tested with made-up groups in `trust`.
    if std::os::unix::fs::chown(&path, None, Some(1)).is_ok() {
        set_mode(&path, 0o664);
        assert!(refusal(&path).contains(&advice_for(&path, "g")), "{}", refusal(&path));
        check_file(&path, Some(&pin)).unwrap();
    }

    set_mode(&path, 0o644);
    set_mode(folder.path(), 0o777);
    assert!(refusal(&path).contains(&advice_for(folder.path(), "o")), "{}", refusal(&path));
    check_file(&path, Some(&pin)).unwrap();
    set_mode(folder.path(), 0o755);
    check_file(&path, None).unwrap();
}

#[test]
fn other_bytes_than_the_pinned_ones_are_refused_with_both_hashes() {
    let folder = Folder::new();
    let path = folder.put("pinned.so", &sound_plugin());
    let (file, pin) = (pin_of(&sound_plugin()), pin_of(b"other"));
    let refusal = check_file(&path, Some(&pin)).unwrap_err();
    assert_eq!(refusal.reason, Reason::Pin { file, pin });
    assert!(
        refusal.to_string().contains(&file.to_string()) && refusal.to_string().contains(&pin.to_string())
    );
}

#[test]
fn a_plugin_that_kills_its_loader_kills_the_child_alone() {
    let folder = Folder::new();
    for (behaviour, cause) in [
        ("ABORT", "died of SIGABRT"),
        ("SEGFAULT", "died of SIGSEGV"),
        ("EXIT_0", "ended with exit status 0"),
        ("EXIT_3", "ended with exit status 3"),
        ("QUICK_EXIT_0", "ended with exit status 0"),
        ("PRETEND", "ended with exit status 0"),
    ] {
        let path = folder.put_hostile(behaviour);
        let message = refusal(&path);
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
        assert!(message.contains(cause), "{behaviour}: {message}");
    }
}

#[test]
fn a_plugin_that_hangs_is_given_up_at_the_deadline() {
    let folder = Folder::new();
    for (behaviour, cause) in [
        ("HANG", "had not finished after 1 s"),
        ("CLOSE_ALL_AND_HANG", "died of SIGKILL"),
        ("FORK_AND_EXIT", "ended with exit status 4"),
    ] {
        let checked = check_file(&folder.put_hostile(behaviour), None).unwrap();
        let message = probe(&checked, &child(), HANG_DEADLINE).unwrap_err().to_string();
        assert!(message.contains(cause), "{behaviour}: {message}");
    }
}

#[test]
fn a_plugin_that_spoils_the_end_of_the_process_is_found_too() {
    let folder = Folder::new();
    let abort = refusal(&folder.put_hostile_with_sinks("ABORT_AT_END"));
    assert!(abort.contains("died of SIGABRT"), "{abort}");
    let checked = check_file(&folder.put_hostile_with_sinks("HANG_AT_END"), None).unwrap();
    let hang = probe(&checked, &child(), HANG_DEADLINE).unwrap_err().to_string();
    assert!(hang.contains("had not finished after 1 s"), "{hang}");
}

#[test]
fn a_plugin_on_trial_sees_neither_pipe_nor_bytes_and_leaves_no_core() {
    // It ends with a status of its own if it does.
    let folder = Folder::new();
    let path = folder.put_hostile_with_sinks("INSPECT");
    try_out(&check_file(&path, None).unwrap()).unwrap();
}

#[test]
fn a_missing_symbol_is_found_at_load_and_named() {
    let folder = Folder::new();
    let path = folder.put_hostile("MISSING_SYMBOL");
    let tried = refusal(&path);
    let loaded = check_file(&path, None).unwrap().load().unwrap_err().to_string();
    for message in [tried, loaded] {
        assert!(message.contains("cannot be loaded (undefined symbol: nobody_defines_this)"), "{message}");
    }
}

#[test]
fn a_library_that_only_has_a_manifest_is_refused_at_the_handshake() {
    let folder = Folder::new();
    let path = folder.put_hostile("HARMLESS");
    let tried = refusal(&path);
    let loaded = check_file(&path, None).unwrap().load().unwrap_err().to_string();
    assert_eq!(tried, loaded);
    assert!(tried.contains("harmless.so cannot be used: it lacks the symbol"), "{tried}");
}

#[test]
fn other_classes_than_the_manifest_says_are_refused_with_both() {
    let folder = Folder::new();
    let bytes = with_manifest(&sound_plugin(), "/classes/0/class", "test.Better");
    let path = folder.put("renamed.so", &bytes);
    let tried = refusal(&path);
    let loaded = check_file(&path, None).unwrap().load().unwrap_err().to_string();
    assert_eq!(tried, loaded);
    assert!(tried.contains("test.Better") && tried.contains("test.Recording"), "{tried}");
}

#[test]
fn class_names_that_cannot_be_read_kill_the_child_alone() {
    let folder = Folder::new();
    let path = folder.put("dangling.so", &with_dangling(&sound_plugin(), "test.Recording"));
    let message = refusal(&path);
    assert!(message.contains("died of SIG"), "{message}");
    assert!(!load_apart(&path).success(), "they can be read");
}

#[test]
fn what_is_not_pinned_and_not_loaded_yet_is_tried_out() {
    let folder = Folder::new();
    let bytes = with_manifest(&sound_plugin(), "/version", "6");
    let path = folder.put("policy.so", &bytes);
    let needs = |policy, pin: Option<&Sha256>| needs_probe(policy, &check_file(&path, pin).unwrap());
    let pin = pin_of(&bytes);
    let pin = Some(&pin);
    assert_eq!([needs(Probe::Auto, None), needs(Probe::Auto, pin)], [true, false]);
    assert_eq!([needs(Probe::Always, None), needs(Probe::Always, pin)], [true, true]);
    assert_eq!([needs(Probe::Never, None), needs(Probe::Never, pin)], [false, false]);
    load(&path);
    assert_eq!([needs(Probe::Auto, None), needs(Probe::Always, pin)], [false, false]);
}

#[test]
fn a_probe_that_cannot_be_started_says_so() {
    let folder = Folder::new();
    let checked = check_file(&folder.put("sound.so", &sound_plugin()), None).unwrap();
    let probe_with = |program: &str| {
        probe(&checked, &ProbeHow::Program(program.into()), PROBE_DEADLINE).unwrap_err().to_string()
    };
    assert!(probe_with("/nonexistent/program").contains("no process could be started"));
    assert!(probe_with("/bin/true").contains("ended with exit status 0"));
}
