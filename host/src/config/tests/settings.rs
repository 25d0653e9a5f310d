//! What a file without mistakes means.

use std::path::Path;
use std::time::Duration;

use audit_plugin_api::manifest::ClassSpec;
use serde_json::json;

use super::config;
use crate::config::{
    BufferSettings, Config, DeliverySettings, DiskFor, Durability, Heirs, Probe, Rendering, SinkSettings,
    SpoolSettings, WhenFull,
};

fn class() -> ClassSpec {
    ClassSpec {
        class: "kafka.KafkaAuditLogger".into(),
        durable: false,
        batch_size: None,
        flush_interval: None,
        max_in_flight: None,
        options: Vec::new(),
    }
}

#[test]
fn an_empty_file_has_no_sinks_and_the_documented_defaults() {
    let config = config("");
    assert!(config.sinks.is_empty());
    assert_eq!(config.plugins.dirs, [Path::new("/srv/audit/plugins")]);
    assert!(config.plugins.sha256.is_empty());
    assert_eq!(config.plugins.probe, Probe::Auto);
    assert_eq!(config.buffer, BufferSettings::default());
    let delivery = DeliverySettings {
        dead_letter_path: "/srv/audit/dead-letters.ndjson".into(),
        rejected_path: "/srv/audit/rejected.ndjson".into(),
        ..DeliverySettings::default()
    };
    assert_eq!(config.delivery, delivery);
    assert_eq!(config.base_dir, Path::new("/srv/audit"));
}

#[test]
fn a_logger_may_be_a_class_path() {
    let config = config("audit_logger = \"print.PrintAuditLogger\"");
    let [sink] = config.sinks.as_slice() else { panic!("one sink") };
    assert_eq!(
        (sink.name.as_str(), sink.class.as_str()),
        ("print.PrintAuditLogger", "print.PrintAuditLogger")
    );
    assert!(sink.required);
    assert_eq!(sink.options, json!({}));
}

#[test]
fn a_logger_may_be_a_table() {
    let config = config(
        r#"
        [audit_logger]
        class = "kafka.KafkaAuditLogger"
        [audit_logger.options]
        topic = "permission-events"
        bootstrap_servers = ["kafka:9092"]
        librdkafka = { "linger.ms" = 5, ratio = 0.5, tls.on = true }
        batch_size = 200
        flush_interval = 1
        use_worker = false
        max_in_flight = 8
        "#,
    );
    let [sink] = config.sinks.as_slice() else { panic!("one sink") };
    assert_eq!(
        sink.options,
        json!({
            "topic": "permission-events",
            "bootstrap_servers": ["kafka:9092"],
            "librdkafka": { "linger.ms": 5, "ratio": 0.5, "tls": { "on": true } },
        })
    );
    let settings = SinkSettings {
        name: "kafka.KafkaAuditLogger".into(),
        class: "kafka.KafkaAuditLogger".into(),
        required: true,
        batch_size: 200,
        flush_interval: Duration::from_secs(1),
        use_worker: false,
        max_in_flight: 8,
    };
    let own =
        ClassSpec { batch_size: Some(500), flush_interval: Some(0.25), max_in_flight: Some(2), ..class() };
    assert_eq!(sink.settings(&own), settings, "the file comes before the class");
}

#[test]
fn there_may_be_several_loggers() {
    let config = config(
        r#"
        [[audit_logger]]
        class = "file.FileAuditLogger"
        options = { path = "a.ndjson" }
        [[audit_logger]]
        name = "second"
        class = "file.FileAuditLogger"
        required = false
        [audit_logger.options]
        path = "b.ndjson"
        "#,
    );
    let sinks: Vec<_> = config
        .sinks
        .iter()
        .map(|sink| (sink.name.as_str(), sink.required, sink.options["path"].as_str()))
        .collect();
    assert_eq!(
        sinks,
        [("file.FileAuditLogger", true, Some("a.ndjson")), ("second", false, Some("b.ndjson"))]
    );
}

#[test]
fn what_the_file_leaves_open_the_class_decides_and_then_the_general_default() {
    let config = config("audit_logger = \"kafka.KafkaAuditLogger\"");
    let own =
        ClassSpec { batch_size: Some(500), flush_interval: Some(0.25), max_in_flight: Some(8), ..class() };
    let settings = config.sinks[0].settings(&own);
    assert_eq!((settings.batch_size, settings.max_in_flight), (500, 8));
    assert_eq!(settings.flush_interval, Duration::from_millis(250));
    let settings = config.sinks[0].settings(&class());
    assert_eq!((settings.batch_size, settings.max_in_flight, settings.use_worker), (100, 1, true));
    assert_eq!(settings.flush_interval, Duration::from_millis(500));
}

#[test]
fn a_manifest_with_senseless_defaults_does_no_harm() {
    let config = config("audit_logger = \"kafka.KafkaAuditLogger\"");
    for seconds in [f64::NAN, -1.0, f64::INFINITY] {
        let own = ClassSpec {
            batch_size: Some(0),
            flush_interval: Some(seconds),
            max_in_flight: Some(0),
            ..class()
        };
        assert_eq!(config.sinks[0].settings(&own), config.sinks[0].settings(&class()));
    }
}

#[test]
fn every_key_of_the_other_sections_is_read() {
    let hash = "0123456789abcdefABCDEF0123456789".repeat(2);
    let config = config(&format!(
        r#"
        [plugins]
        dirs = ["/", "/usr"]
        sha256 = {{ "libaudit_sink_kafka.so" = "{hash}" }}
        probe = "never"
        [buffer]
        capacity_bytes = 4_194_304
        max_event_bytes = 0x1000
        when_full = "fail"
        block_timeout = 2
        spool_dir = "spool"
        durability = "disk"
        spool_max_bytes = 2_097_152
        disk_for = ["denied", "mutation", "denied"]
        [delivery]
        retry_initial = 0.5
        retry_max = 10
        max_attempts = 3
        open_timeout = 1
        write_timeout = 2
        ack_timeout = 3
        shutdown_timeout = 0
        dead_letter_path = "/var/dead"
        rejected_path = "logs/rejected"
        "#
    ));
    assert_eq!(config.plugins.dirs, [Path::new("/"), Path::new("/usr")]);
    assert_eq!(config.plugins.sha256["libaudit_sink_kafka.so"][..3], [0x01, 0x23, 0x45]);
    assert_eq!(config.plugins.probe, Probe::Never);
    let buffer = BufferSettings {
        capacity_bytes: 4 << 20,
        max_event_bytes: 4096,
        when_full: WhenFull::Fail,
        block_timeout: Duration::from_secs(2),
        spool: Some(SpoolSettings {
            dir: "/srv/audit/spool".into(),
            durability: Durability::Disk,
            max_bytes: 2 << 20,
            disk_for: DiskFor::words()
                .filter(|(word, _)| ["denied", "mutation"].contains(word))
                .map(|(_, set)| set)
                .collect(),
            heirs: Heirs::Namesakes,
        }),
    };
    assert_eq!(config.buffer, buffer);
    let delivery = DeliverySettings {
        retry_initial: Duration::from_millis(500),
        retry_max: Duration::from_secs(10),
        max_attempts: 3,
        open_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(2),
        ack_timeout: Duration::from_secs(3),
        shutdown_timeout: Duration::ZERO,
        dead_letter_path: "/var/dead".into(),
        rejected_path: "/srv/audit/logs/rejected".into(),
    };
    assert_eq!(config.delivery, delivery);
}

#[test]
fn a_small_store_and_a_short_retry_max_lower_the_defaults_beside_them() {
    let config = config("[buffer]\ncapacity_bytes = 65536\n[delivery]\nretry_max = 0.05\n");
    assert_eq!(config.buffer.max_event_bytes, 16_384);
    assert_eq!(config.delivery.retry_initial, Duration::from_millis(50));
}

#[test]
fn a_spool_needs_no_more_than_its_folder() {
    let spool = config("[buffer]\nspool_dir = \"/var/spool/audit\"\n").buffer.spool.unwrap();
    assert_eq!(spool, SpoolSettings::new("/var/spool/audit"));
    assert_eq!((spool.durability, spool.max_bytes), (Durability::Process, 1 << 30));
    assert!(spool.disk_for.is_empty());
}

#[test]
fn a_small_spool_lowers_the_default_of_the_largest_event() {
    let of = |toml: &str| config(&format!("[buffer]\nspool_dir = \"spool\"\n{toml}")).buffer.max_event_bytes;
    assert_eq!(of("spool_max_bytes = 1048576"), 262_144);
    assert_eq!(of("spool_max_bytes = 1048576\ncapacity_bytes = 65536"), 16_384);
    assert_eq!(of("spool_max_bytes = 8388608"), 1_048_576);
}

#[test]
fn values_are_filled_in_everywhere_but_in_keys_and_what_was_brought_in_is_secret() {
    let config = config(
        r#"
        [[audit_logger]]
        class = "${CLASS}"
        [audit_logger.options]
        password = "${PASSWORD}"
        list = ["<${PASSWORD}>", { deep = "$${PASSWORD}", "${PASSWORD}" = "${UNSET:-plain}" }]
        "#,
    );
    let sink = &config.sinks[0];
    assert_eq!(sink.class, "print.PrintAuditLogger");
    let list = json!(["<hunter2>", { "deep": "${PASSWORD}", "${PASSWORD}": "plain" }]);
    assert_eq!(sink.options, json!({ "password": "hunter2", "list": list }));
    assert_eq!(config.secrets.mask("hunter2 plain print.PrintAuditLogger"), "*** plain ***");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_fine() {
    let config = config("\u{feff}[buffer]\r\nwhen_full = \"fail\"\r\n");
    assert_eq!(config.buffer.when_full, WhenFull::Fail);
}

#[test]
fn a_text_is_called_string_and_its_folder_becomes_absolute() {
    let config = Config::from_str("", Path::new("some")).unwrap();
    assert_eq!(config.base_dir, std::env::current_dir().unwrap().join("some"));
    let error = Config::from_str("x = 1", Path::new("/")).unwrap_err();
    assert!(error.render(Rendering::Plain).starts_with("<string>:1:1: unknown key `x`"));
}

#[test]
fn a_class_with_options_is_taken_literally() {
    let options = json!({ "batch_size": 3, "path": "${PASSWORD}", "x${": [{ "y": 1.5, "z": "$${" }] });
    let config = Config::from_class("file.FileAuditLogger", &options, Path::new("/srv")).unwrap();
    let sink = &config.sinks[0];
    assert_eq!((sink.class.as_str(), sink.batch_size), ("file.FileAuditLogger", Some(3)));
    assert_eq!(sink.options, json!({ "path": "${PASSWORD}", "x${": [{ "y": 1.5, "z": "$${" }] }));
    assert_eq!(config.delivery.rejected_path, Path::new("/srv/rejected.ndjson"));
    assert!(config.secrets.is_empty());
}

#[test]
fn a_class_with_options_that_make_no_sense_is_an_error() {
    let message =
        |class: &str, options| Config::from_class(class, &options, Path::new("/")).unwrap_err().to_string();
    insta::assert_snapshot!(message("a.B", json!({ "batch_size": 0 })), @r"
    <options>:5:14: `batch_size` must be at least 1, not 0
      |
    5 | batch_size = 0
      |              ^
    ");
    insta::assert_snapshot!(message("B", json!({})), @r#"
    <options>:2:9: `B` is no class path: it takes two segments or more, `module.Class`, such as `print.PrintAuditLogger`
      |
    2 | class = "B"
      |         ^^^
    "#);
    insta::assert_snapshot!(message("a.B", json!(["x"])), @r#"
    <options>:3:11: wrong type for `options`: expected table, found array
      |
    3 | options = ["x"]
      |           ^^^^^
    "#);
    insta::assert_snapshot!(message("a.B", json!({ "x": null })), @r"<options>: cannot be written as TOML (unsupported unit type): leave out options that are null");
}
