//! Commands that answer, on standard output.

use audit_tests::{Dir, set_mode};
use serde_json::Value;

use crate::{FILE, file_dir};

#[test]
fn check_answers_and_opens_nothing() {
    let dir = file_dir();
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("file.FileAuditLogger"), "{ran:?}");
    assert!(!dir.path("out.ndjson").exists());
}

#[test]
fn check_with_probe_opens_probes_and_closes() {
    let dir =
        Dir::with("audit_logger.class = \"test.Recording\"\naudit_logger.options.path = \"out.ndjson\"");
    let ran = dir.audit_host(&["check", "--probe", "--format", "json"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.json()["sinks"][0]["probe"]["answered"]["seconds_left"].is_number(), "{ran:?}");
    assert_eq!(dir.read("out.ndjson"), "");
    assert!(dir.path("out.ndjson").exists());
}

#[test]
fn plugins_list_shows_what_is_refused_beside_what_is_not_and_is_status_0() {
    let dir = file_dir();
    dir.write("plugins/junk.so", "no plugin");
    set_mode(&dir.path("plugins/libaudit_sink_print.so"), 0o666);
    let ran = dir.audit_host(&["plugins", "list"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    for text in ["file.FileAuditLogger", "max_bytes", "junk.so is not a shared object", "chmod"] {
        assert!(ran.stdout.contains(text), "no {text:?} in {}", ran.stdout);
    }
    let ran = dir.audit_host(&["plugins", "list", "--format", "json"]).run();
    let answer = ran.json();
    let plugin = |name: &str| -> &Value {
        let mut plugins = answer["plugins"].as_array().expect("a list").iter();
        plugins
            .find(|plugin| plugin["path"].as_str().is_some_and(|path| path.ends_with(name)))
            .expect("listed")
    };
    assert_eq!(plugin("libaudit_sink_file.so")["verdict"], "ok");
    assert_eq!(plugin("libaudit_sink_file.so")["manifest"]["classes"][0]["class"], "file.FileAuditLogger");
    assert_eq!(plugin("junk.so")["verdict"], "refused");
    assert_eq!(plugin("libaudit_sink_print.so")["verdict"], "refused");
}

/// A shared object that is no plugin: the C library of this system.
fn c_library() -> Vec<u8> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there");
    let path = maps
        .lines()
        .find_map(|line| line.split_whitespace().last().filter(|path| path.ends_with("libc.so.6")));
    std::fs::read(path.expect("this test uses it")).expect("readable")
}

#[test]
fn a_shared_object_that_is_no_plugin_is_told_apart_from_a_refused_one() {
    let dir = file_dir();
    dir.write("plugins/libc.so", c_library());
    let ran = dir.audit_host(&["plugins", "list", "--format", "json"]).run();
    let plugins = ran.json()["plugins"].clone();
    assert!(
        plugins[0]["path"].as_str().is_some_and(|path| path.ends_with("libaudit_sink_fake.so")),
        "{ran:?}"
    );
    let other =
        plugins.as_array().expect("a list").iter().find(|plugin| plugin["verdict"] != "ok").expect("listed");
    assert!(other["path"].as_str().is_some_and(|path| path.ends_with("/libc.so")), "{other}");
    assert_eq!(other["verdict"], "not_a_plugin", "{other}");
    // Whoever may write it: it is never loaded.
    set_mode(&dir.path("plugins/libc.so"), 0o666);
    let ran = dir.audit_host(&["plugins", "list"]).run();
    assert!(ran.stdout.contains("not an audit plugin") && !ran.stdout.contains("refused:"), "{ran:?}");
    let ran = dir.audit_host(&["plugins", "inspect", "plugins/libc.so"]).run();
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[test]
fn a_check_warns_of_files_that_will_be_of_no_use_and_goes_on() {
    let delivery = "[delivery]\ndead_letter_path = \"plugins\"\nrejected_path = \"/proc/sys/rejected\"\n";
    let dir = Dir::with(&format!("{FILE}{delivery}"));
    let ran = dir.audit_host(&["check", "--format", "json"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let warnings = ran.json()["warnings"].clone();
    for (index, expected) in [
        ["`dead_letter_path` will be of no use: ", "plugins is a folder, but must be a file"],
        ["`rejected_path` will be of no use: ", "/proc/sys cannot be written: "],
    ]
    .iter()
    .enumerate()
    {
        let warning = warnings[index].as_str().expect("a warning");
        assert!(expected.iter().all(|text| warning.contains(text)), "{warning}");
        assert!(ran.stderr.contains(warning), "{ran:?}");
    }
}

#[test]
fn a_check_does_not_warn_of_files_whose_folder_is_yet_to_be_made() {
    let delivery = "[delivery]\ndead_letter_path = \"a/b/dead\"\nrejected_path = \"a/c/rejected\"\n";
    let dir = Dir::with(&format!("{FILE}{delivery}"));
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(!dir.path("a").exists());
}

#[test]
fn plugins_are_listed_without_a_configuration() {
    let dir = file_dir();
    std::fs::remove_file(dir.path("audit.toml")).expect("removed");
    let ran = dir.audit_host(&["plugins", "list", "--plugin-dir", "plugins"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("print.PrintAuditLogger"), "{ran:?}");
}

#[test]
fn plugins_inspect_of_a_refused_file_is_status_2() {
    let dir = file_dir();
    let print = "plugins/libaudit_sink_print.so";
    let ran = dir.audit_host(&["plugins", "inspect", print, "--format", "json"]).run();
    assert_eq!((ran.status, &ran.json()["verdict"]), (0, &"ok".into()), "{ran:?}");
    set_mode(&dir.path(print), 0o646);
    for format in ["text", "json"] {
        let ran = dir.audit_host(&["plugins", "inspect", print, "--format", format]).run();
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stdout.contains("print.PrintAuditLogger") && ran.stdout.contains("chmod"), "{ran:?}");
        assert!(ran.stderr.contains("chmod"), "{ran:?}");
    }
    let ran = dir.audit_host(&["plugins", "inspect", "missing.so"]).run();
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused() {
    let pins = format!("[plugins]\nsha256 = {{ \"libaudit_sink_print.so\" = \"{}\" }}\n", "0".repeat(64));
    let dir = Dir::with(&format!("{FILE}{pins}"));
    let ran = dir.audit_host(&["plugins", "inspect", "plugins/libaudit_sink_print.so"]).run();
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stderr.contains(&"0".repeat(64)), "{ran:?}");
}

#[test]
fn a_pin_for_a_file_that_is_not_there_is_said() {
    let pins = format!("[plugins]\nsha256 = {{ \"libaudit_sink_flie.so\" = \"{}\" }}\n", "0".repeat(64));
    let ran = Dir::with(&format!("{FILE}{pins}")).audit_host(&["check"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("`libaudit_sink_flie.so` is pinned"), "{ran:?}");
}

#[test]
fn the_schema_is_one_of_json_schema() {
    for arguments in [&["schema"][..], &["schema", "--format", "json"]] {
        let ran = Dir::with("").audit_host(arguments).run();
        assert_eq!(ran.status, 0);
        assert!(ran.json()["properties"]["audit_logger"].is_object());
    }
}

#[test]
fn completions_and_manual_know_every_command() {
    let dir = Dir::with("");
    for arguments in
        [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]]
    {
        let ran = dir.audit_host(arguments).run();
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        for word in ["replay", "inspect", "assume"] {
            assert!(ran.stdout.contains(word), "no {word} in {arguments:?}");
        }
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let dir = file_dir();
    let mut running = dir.audit_host(&["man"]).start();
    running.stdout = None;
    let ran = running.end();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_failed_check_says_in_json_where_the_mistake_stands() {
    let dir = Dir::with("[bufer]\n\n[delivery]\nretry_max = true\n");
    let ran = dir.audit_host(&["check", "--format", "json"]).run();
    assert_eq!(ran.status, 2);
    let mistakes = ran.json()["mistakes"].clone();
    assert_eq!((&mistakes[0]["file"], &mistakes[0]["line"]), (&"audit.toml".into(), &1.into()), "{ran:?}");
    assert_eq!((&mistakes[1]["line"], &mistakes[1]["column"]), (&4.into(), &13.into()), "{ran:?}");
}
