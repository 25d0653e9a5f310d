//! Dead letters, on disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use audit_plugin_api::{SinkError, Written};

use super::stage::*;
use crate::config::Secrets;
use crate::pipeline::FlushOutcome;

fn refusing(reason: &'static str) -> Actor {
    Actor::new("refuses")
        .with(|settings| settings.batch_size = 1)
        .on_write(move |_| Err(SinkError::permanent(reason)))
}

#[test]
fn a_dead_letter_is_one_line_of_json_with_these_keys_in_this_order() {
    let stage = Stage::open(vec![refusing("too \"large\"")]);
    let id = audit_plugin_api::Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef);
    let time = audit_plugin_api::Timestamp::from_micros(1_795_000_000_123_456);
    let event = event(7).event_id(id).timestamp(time);
    stage.pipeline.record(&event).unwrap();
    stage.pipeline.close(LONG).unwrap();
    let text = fs::read_to_string(&stage.dead_letters).unwrap();
    let letter = &stage.letters()[0];
    let field = |key: &str| letter[key].to_string();
    assert_eq!(
        text,
        format!(
            "{{\"schema\":1,\"id\":{},\"event\":{},\"sink\":\"refuses\",\"class\":\"stage.Actor\",\
             \"reason\":\"too \\\"large\\\"\",\"attempts\":1,\"first_failed\":{},\"dead_lettered\":{}}}\n",
            field("id"),
            event.to_json(),
            field("first_failed"),
            field("dead_lettered"),
        )
    );
    assert_ne!(letter["id"], letter["event"]["event_id"]);
    let first_failed = letter["first_failed"].as_str().unwrap();
    assert!(first_failed.ends_with("+00:00") && first_failed.len() == 32, "{first_failed}");
    assert!(first_failed <= letter["dead_lettered"].as_str().unwrap());
    let mode = fs::metadata(&stage.dead_letters).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn an_event_is_in_its_dead_letter_byte_by_byte() {
    let stage = Stage::open(vec![refusing("no")]);
    let metadata = r#"{"b":1,"a":1e999,"a":"\ud800","deep":[[[[]]]],"n":0.10}"#;
    let metadata = audit_plugin_api::Metadata::from_json(metadata).unwrap();
    let event = event(7)
        .event_id(audit_plugin_api::Uuid::nil())
        .timestamp(audit_plugin_api::Timestamp::now())
        .manager("\u{1}\n\"\\ \u{7f} ü 🦀")
        .metadata(metadata);
    stage.pipeline.record(&event).unwrap();
    stage.pipeline.close(LONG).unwrap();
    let text = fs::read_to_string(&stage.dead_letters).unwrap();
    assert!(text.contains(&format!("\"event\":{},\"sink\"", event.to_json())), "{text}");
}

#[test]
fn secrets_are_masked_and_control_characters_escaped_in_reasons() {
    let setting = Setting::with(|setting| {
        setting.secrets = Secrets::from_iter(["hunter2".to_owned()]);
    });
    let stage = setting.open(vec![refusing("login with hunter2 failed\n\u{1b}[31m")]);
    stage.record([0]);
    stage.pipeline.close(LONG).unwrap();
    let text = fs::read_to_string(&stage.dead_letters).unwrap();
    assert!(text.contains(r#""reason":"login with *** failed\n\u001b[31m""#), "{text}");
}

#[test]
fn while_the_file_cannot_be_written_the_events_stay_queued_and_are_tried_again() {
    type Spoil = fn(&std::path::Path);
    let a_directory: Spoil = |path| fs::create_dir(path).unwrap();
    let a_link: Spoil = |path| symlink("/dev/full", path).unwrap();
    for (spoil, repair) in [
        (a_directory, (|path| fs::remove_dir(path).unwrap()) as Spoil),
        (a_link, |path| fs::remove_file(path).unwrap()),
    ] {
        let setting = Setting::with(|setting| spoil(&setting.delivery.dead_letter_path));
        let stage = setting.open(vec![refusing("no")]);
        stage.record(0..3);
        match stage.pipeline.flush(Duration::from_millis(50)).unwrap() {
            FlushOutcome::TimedOut { remaining } => assert_eq!(remaining, [("refuses".to_owned(), 3)]),
            outcome => panic!("{outcome:?}"),
        }
        repair(&stage.dead_letters);
        assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Failed { given_up: 3, sinks: vec![] });
        assert_eq!(stage.dead_numbers("refuses"), [0, 1, 2]);
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let setting = Setting::with(|setting| setting.delivery.dead_letter_path = "/dev/full".into());
    let stage = setting.open(vec![refusing("no")]);
    stage.record(0..3);
    let report = stage.pipeline.close(Duration::from_millis(50)).unwrap();
    assert_eq!((report.totals.lost, report.totals.dead_lettered), (3, 0));
}

#[test]
fn what_is_in_no_dead_letter_when_closing_ends_is_counted_as_lost() {
    let setting = Setting::with(|setting| {
        fs::create_dir(&setting.delivery.dead_letter_path).unwrap();
    });
    let stage = setting.open(vec![refusing("no"), Actor::new("good")]);
    stage.record(0..3);
    let report = stage.pipeline.close(Duration::from_millis(50)).unwrap();
    assert_eq!((report.totals.accepted, report.totals.lost, report.totals.unsettled()), (3, 3, 0));
    assert_eq!((report.sinks[0].counts.lost, report.sinks[1].counts.lost), (3, 0));
    assert_eq!(report.sinks[1].counts.delivered, 3);
    assert!(!report.is_clean());
}

#[test]
fn a_torn_last_line_does_not_swallow_the_next_letter() {
    let setting = Setting::with(|setting| {
        fs::write(&setting.delivery.dead_letter_path, "{\"schema\":1,\"id\":\"01").unwrap();
    });
    let stage = setting.open(vec![refusing("no")]);
    stage.record([0]);
    stage.pipeline.close(LONG).unwrap();
    let text = fs::read_to_string(&stage.dead_letters).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "{\"schema\":1,\"id\":\"01");
    assert!(lines[1].starts_with("{\"schema\":1,\"id\":\"") && lines.len() == 2 && text.ends_with("}\n"));
}

#[test]
fn a_missing_folder_is_made_and_the_file_is_made_when_there_is_a_letter() {
    let setting = Setting::with(|setting| {
        setting.delivery.dead_letter_path = setting.folder.path().join("a/b/dead.ndjson");
    });
    let stage = setting.open(vec![refusing("no"), Actor::new("good")]);
    assert!(!stage.dead_letters.exists());
    stage.record(0..2);
    stage.pipeline.close(LONG).unwrap();
    assert_eq!(stage.dead_numbers("refuses"), [0, 1]);
}

#[test]
fn many_large_letters_are_written_in_groups() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|_| Err(SinkError::retryable("down")))]);
    for number in 0..40 {
        stage.pipeline.record(&event(number).permission("x".repeat(100_000))).unwrap();
    }
    let report = stage.pipeline.close(Duration::from_millis(50)).unwrap();
    assert_eq!(report.totals.dead_lettered, 40);
    assert_eq!(stage.dead_numbers("a"), Vec::from_iter(0..40));
}

#[test]
fn a_file_that_another_process_keeps_locked_is_an_error_and_no_wait_without_end() {
    let setting = Setting::default();
    let path = setting.delivery.dead_letter_path.clone();
    let file = fs::File::create(&path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let stage = setting.open(vec![refusing("no")]);
    stage.record([0]);
    let timed_out = stage.pipeline.flush(Duration::from_millis(20)).unwrap();
    assert!(matches!(timed_out, FlushOutcome::TimedOut { .. }));
    drop(file);
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.dead_lettered, 1);
}

#[test]
fn two_sinks_have_each_their_own_letter_of_an_event() {
    let stage = Stage::open(vec![
        Actor::new("a").with(|settings| settings.batch_size = 1).on_write(|_| Err(SinkError::permanent("a"))),
        Actor::new("b").with(|settings| settings.batch_size = 1).on_write(|writing| match writing.numbers {
            [1] => Err(SinkError::permanent("b")),
            _ => Ok(Written::Delivered),
        }),
    ]);
    stage.record(0..3);
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!(report.totals.dead_lettered, 3);
    assert_eq!(stage.dead_numbers("a"), [0, 1, 2]);
    assert_eq!(stage.dead_numbers("b"), [1]);
}

#[test]
fn what_is_not_synced_is_no_dead_letter() {
    // Takes every write, and cannot be synced.
    let setting = Setting::with(|setting| setting.delivery.dead_letter_path = "/dev/null".into());
    let stage = setting.open(vec![refusing("no")]);
    stage.record(0..3);
    let counts = stage.pipeline.close(Duration::from_millis(50)).unwrap().totals;
    assert_eq!((counts.dead_lettered, counts.lost), (0, 3));
}
