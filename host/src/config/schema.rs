//! JSON Schema of `audit.toml`, for editors.
//!
//! It knows the keys, types, ranges and defaults of every section, and leaves the options of sinks open: those are in the
//! plugins' manifests. A value that is filled in later (`${NAME}`) passes wherever a string may stand.

use serde_json::{Value, json};

use super::fields::MAX_SECONDS;
use super::parse::{MAX_CAPACITY_BYTES, MAX_COUNT, MAX_EVENT_BYTES, MIN_CAPACITY_BYTES, MIN_SPOOL_BYTES};
use super::{BufferSettings, DeliverySettings, DiskFor, SinkSettings, SpoolSettings};

/// The schema of `audit.toml` (draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "audit.toml",
        "description": "Where permission audit events go, and how.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "audit_logger": {
                "description": "The sink, or one table for each of several sinks.",
                "oneOf": [
                    { "$ref": "#/$defs/class" },
                    { "$ref": "#/$defs/sink" },
                    { "type": "array", "items": { "$ref": "#/$defs/sink" } },
                ],
            },
            "plugins": plugins(),
            "buffer": buffer(),
            "delivery": delivery(),
        },
        "$defs": {
            "class": text("Class path of a sink, such as `print.PrintAuditLogger`.", json!({
                "pattern": r"^[^.\s]+(\.[^.\s]+)+$",
            })),
            "sink": sink(),
        },
    })
}

fn sink() -> Value {
    let general = SinkSettings::default();
    json!({
        "description": "One sink.",
        "type": "object",
        "additionalProperties": false,
        "required": ["class"],
        "properties": {
            "class": { "$ref": "#/$defs/class" },
            "name": { "description": "Unique name; the class path where none is given.", "type": "string", "pattern": r"\S" },
            "required": {
                "description": "Whether the sink may stop admission when the store is full; false: it drops for itself.",
                "type": "boolean",
                "default": general.required,
            },
            "options": {
                "description": "Options of the worker, and the sink's own.",
                "type": "object",
                "additionalProperties": true,
                "properties": {
                    "batch_size": {
                        "description": "Most events in one batch. The class may have a default of its own.",
                        "type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": general.batch_size,
                    },
                    "flush_interval": {
                        "description": "Seconds; the oldest waiting event waits no longer. The class may have a default of its own.",
                        "type": "number", "minimum": 0, "maximum": MAX_SECONDS,
                        "default": general.flush_interval.as_secs_f64(),
                    },
                    "use_worker": {
                        "description": "false: record writes through, in the caller.",
                        "type": "boolean",
                        "default": general.use_worker,
                    },
                    "max_in_flight": {
                        "description": "Batches that the sink may hold unacknowledged. The class may have a default of its own.",
                        "type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": general.max_in_flight,
                    },
                },
            },
        },
    })
}

fn plugins() -> Value {
    json!({
        "description": "Where plugins are, and how far they are trusted.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "dirs": {
                "description": "Folders whose *.so files are plugins, relative to the folder of this file. Each must exist.",
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "default": ["plugins"],
            },
            "sha256": {
                "description": "SHA-256 by file name: a plugin whose bytes differ is not loaded.",
                "type": "object",
                "propertyNames": { "pattern": r"^[^/]+\.so$" },
                "additionalProperties": text("As `sha256sum` prints it.", json!({ "pattern": "^[0-9a-fA-F]{64}$" })),
            },
            "probe": text("Whether a throw-away process loads a plugin first; auto: those without a pin.", json!({
                "enum": ["auto", "always", "never"],
                "default": "auto",
            })),
        },
    })
}

fn buffer() -> Value {
    let default = BufferSettings::default();
    let spool = SpoolSettings::new("");
    let words: Vec<_> = DiskFor::words().map(|(word, _)| word).collect();
    json!({
        "description": "The store of accepted events.",
        "type": "object",
        "additionalProperties": false,
        "dependentRequired": {
            "durability": ["spool_dir"], "spool_max_bytes": ["spool_dir"], "disk_for": ["spool_dir"],
        },
        "properties": {
            "capacity_bytes": {
                "description": "Bound of the store, all sinks together.",
                "type": "integer", "minimum": MIN_CAPACITY_BYTES, "maximum": MAX_CAPACITY_BYTES,
                "default": default.capacity_bytes,
            },
            "max_event_bytes": {
                "description": "Largest event as canonical JSON; at most a quarter of capacity_bytes, which also bounds the default.",
                "type": "integer", "minimum": 1, "maximum": MAX_EVENT_BYTES, "default": default.max_event_bytes,
            },
            "when_full": text("block: record waits while the sinks make progress; fail: it fails at once.", json!({
                "enum": ["block", "fail"],
                "default": "block",
            })),
            "block_timeout": {
                "description": "Seconds that record waits after the last progress.",
                "type": "number", "minimum": 0, "maximum": MAX_SECONDS, "default": default.block_timeout.as_secs_f64(),
            },
            "spool_dir": {
                "description": "Folder in which accepted events outlive the process, relative to the folder of this file; none: they are kept in memory.",
                "type": "string", "minLength": 1,
            },
            "durability": text("What an accepted event outlives: process: the end of the process; disk: also loss of power, at the price of waiting for the disk.", json!({
                "enum": ["process", "disk"],
                "default": "process",
            })),
            "spool_max_bytes": {
                "description": "Bound of the files in spool_dir; at least four times max_event_bytes, whose default it also bounds.",
                "type": "integer", "minimum": MIN_SPOOL_BYTES, "maximum": MAX_CAPACITY_BYTES, "default": spool.max_bytes,
            },
            "disk_for": {
                "description": "Decisions and actions whose events outlive loss of power whatever durability says.",
                "type": "array",
                "items": text("A decision or an action.", json!({ "enum": words })),
                "default": [],
            },
        },
    })
}

fn delivery() -> Value {
    let default = DeliverySettings::default();
    let seconds = |description: &str, lower: &str, default: std::time::Duration| {
        json!({
            "description": description,
            "type": "number", lower: 0, "maximum": MAX_SECONDS, "default": default.as_secs_f64(),
        })
    };
    json!({
        "description": "Retry, time limits, and what becomes of events that are not delivered.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "retry_initial": seconds("Seconds before the first retry.", "minimum", default.retry_initial),
            "retry_max": seconds("Seconds before a retry at most; a shorter one also bounds the default of retry_initial.", "minimum", default.retry_max),
            "max_attempts": {
                "description": "Attempts before an event is dead-lettered; 0: it is tried until the drain ends.",
                "type": "integer", "minimum": 0, "maximum": MAX_COUNT, "default": default.max_attempts,
            },
            "open_timeout": seconds("Seconds that opening a sink may take.", "exclusiveMinimum", default.open_timeout),
            "write_timeout": seconds("Seconds that writing a batch may take before the call is abandoned.", "exclusiveMinimum", default.write_timeout),
            "ack_timeout": seconds("Seconds that a pending event may stay unacknowledged.", "exclusiveMinimum", default.ack_timeout),
            "shutdown_timeout": seconds("Seconds that a shutdown may take.", "minimum", default.shutdown_timeout),
            "dead_letter_path": {
                "description": "File for events that were given up on, relative to the folder of this file.",
                "type": "string", "minLength": 1, "default": default.dead_letter_path,
            },
            "rejected_path": {
                "description": "File for input lines that are no events, relative to the folder of this file.",
                "type": "string", "minLength": 1, "default": default.rejected_path,
            },
        },
    })
}

/// A string that is as `limits` says, or one that `${…}` makes so.
fn text(description: &str, mut limits: Value) -> Value {
    let default = limits.as_object_mut().and_then(|limits| limits.remove("default"));
    let mut schema = json!({
        "description": description,
        "type": "string",
        "anyOf": [limits, { "pattern": r"\$\{" }],
    });
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    /// The keys that the parser knows, from what it says about one that it does not.
    fn known_keys(toml: &str) -> Vec<String> {
        let error = Config::from_str(toml, Path::new("/")).unwrap_err();
        let note = error.mistakes()[0].notes().first().unwrap();
        let mut keys: Vec<_> = note.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        keys.sort();
        keys
    }

    fn keys(schema: &Value, path: &str) -> Vec<String> {
        let section = schema.pointer(path).unwrap();
        assert_eq!(section["additionalProperties"], json!(false), "{path}");
        let mut keys: Vec<_> = section["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn schema_and_parser_know_the_same_keys() {
        let schema = schema();
        for (path, toml) in [
            ("", "zzz = 1"),
            ("/properties/plugins", "plugins.zzz = 1"),
            ("/properties/buffer", "buffer.zzz = 1"),
            ("/properties/delivery", "delivery.zzz = 1"),
            ("/$defs/sink", "audit_logger = { class = \"a.B\", zzz = 1 }"),
        ] {
            assert_eq!(keys(&schema, path), known_keys(toml), "{path}");
        }
        let options = schema.pointer("/$defs/sink/properties/options/properties").unwrap();
        let worker: Vec<_> = options.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(worker, super::super::parse::WORKER_KEYS);
    }

    #[test]
    fn the_parser_accepts_every_default_of_the_schema_and_changes_nothing() {
        let schema = schema();
        let mut toml = toml::Table::new();
        for section in ["buffer", "delivery"] {
            let properties = &schema["properties"][section]["properties"];
            let defaults: toml::Table = properties
                .as_object()
                .unwrap()
                .iter()
                .filter_map(|(key, schema)| Some((key.clone(), schema.get("default")?)))
                .map(|(key, default)| (key, toml::Value::try_from(default).unwrap()))
                .collect();
            toml.insert(section.to_owned(), defaults.into());
        }
        // Some keys have a default only beside the one that they depend on.
        toml["buffer"].as_table_mut().unwrap().insert("spool_dir".to_owned(), "spool".into());
        let config = Config::from_str(&toml.to_string(), Path::new("/")).unwrap();
        let empty = Config::from_str("buffer.spool_dir = \"spool\"", Path::new("/")).unwrap();
        assert_eq!((config.buffer, config.delivery), (empty.buffer, empty.delivery));
    }

    #[test]
    fn schema_and_parser_agree_on_which_keys_need_another() {
        let schema = schema();
        let needed = schema["properties"]["buffer"]["dependentRequired"].as_object().unwrap();
        for (key, needs) in needed {
            assert_eq!(needs, &json!(["spool_dir"]));
            let default = &schema["properties"]["buffer"]["properties"][key]["default"];
            let message = Config::from_str(&format!("buffer.{key} = {default}"), Path::new("/")).unwrap_err();
            assert!(message.to_string().contains(&format!("`{key}` needs `spool_dir`")), "{message}");
        }
        assert_eq!(needed.len(), 3);
    }

    #[test]
    fn every_key_is_described() {
        fn check(path: &str, schema: &Value) {
            for (key, value) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{key}");
                assert!(value.get("description").or(value.get("$ref")).is_some(), "{path}");
                check(&path, value);
            }
        }
        check("", &schema());
        check("sink", &schema()["$defs"]["sink"]);
    }
}
