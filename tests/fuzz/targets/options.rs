//! Options of the sinks: the sink's own reader agrees with the manifest that its options stand in.

use std::fmt::Debug;
use std::path::Path;

use audit_host::config::{Config, check_options};
use audit_plugin_api::manifest::{ClassSpec, OptionSpec};
use audit_plugin_api::{OptionsError, Sink, SinkOptions, testing};
use audit_sink_fake::FakeProducer;
use audit_sink_file::FileSink;
use audit_sink_print::Print;
use serde_json::{Map, Value};

/// The options of the Kafka sink, without librdkafka: the very file.
#[allow(dead_code)] // It is only shown, by `Debug`, which does not count.
#[path = "../../../plugins/kafka/src/options.rs"]
mod kafka;

const CLASS: &str = "test.Sink";

/// Tables of options, each as JSON on a line; every sink is asked.
pub fn check(lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(Value::Object(table)) = serde_json::from_slice(line) else { continue };
        check_sink::<Print>(&table);
        check_sink::<FileSink>(&table);
        check_sink::<FakeProducer>(&table);
        check_table::<kafka::KafkaOptions>(&table);
    }
}

fn check_sink<S: Sink>(table: &Map<String, Value>)
where
    S::Options: Debug,
{
    if let Some(options) = check_table::<S::Options>(table)
        && let Err(error) = S::validate(&options, &testing::context())
    {
        assert!(!error.reason.is_empty(), "refused without a reason");
    }
}

fn check_table<O: SinkOptions + Debug>(table: &Map<String, Value>) -> Option<O> {
    let specs: Vec<OptionSpec> = serde_json::from_str(O::SPECS).expect("the specs are JSON");
    match read::<O>(table) {
        Ok(options) => {
            assert!(
                table.keys().all(|key| specs.iter().any(|spec| spec.name == *key)),
                "an option of no spec"
            );
            check_host(table, &specs);
            check_changed::<O>(table, &specs, &format!("{options:?}"));
            Some(options)
        }
        Err(OptionsError { path, reason }) => {
            assert!(!reason.is_empty(), "refused without a reason");
            let known = table.keys().any(|key| path.starts_with(key.as_str()));
            assert!(path.is_empty() || known, "{path:?} is not in the table: {reason}");
            None
        }
    }
}

fn read<O: SinkOptions>(table: &Map<String, Value>) -> Result<O, OptionsError> {
    O::from_json(Value::Object(table.clone()))
}

/// The host refuses nothing by the manifest that the sink itself takes.
fn check_host(table: &Map<String, Value>, specs: &[OptionSpec]) {
    let Ok(config) = Config::from_class(CLASS, &Value::Object(table.clone()), Path::new("/nowhere")) else {
        return;
    };
    let class = ClassSpec {
        class: CLASS.to_owned(),
        durable: false,
        batch_size: None,
        flush_interval: None,
        max_in_flight: None,
        options: specs.to_vec(),
    };
    let sink = config.sinks.first().expect("one sink");
    // What cannot stand in TOML (null) got lost on the way.
    if sink.options.as_object() == Some(table) {
        assert!(check_options(sink, &class).is_ok(), "the host refuses what the sink takes");
    }
}

fn check_changed<O: SinkOptions + Debug>(table: &Map<String, Value>, specs: &[OptionSpec], shown: &str) {
    let mut more = table.clone();
    more.insert("no such option".to_owned(), Value::Null);
    let refused = read::<O>(&more).expect_err("an unknown option is refused");
    assert_eq!(refused.path, "no such option");
    for spec in specs {
        let mut changed = table.clone();
        if changed.remove(&spec.name).is_some() {
            assert!(!spec.required || read::<O>(&changed).is_err(), "{} can be left out", spec.name);
        } else if !spec.default.is_null() {
            changed.insert(spec.name.clone(), spec.default.clone());
            let with_default = read::<O>(&changed).expect("the default is a value");
            assert_eq!(format!("{with_default:?}"), shown, "the default of {}", spec.name);
        }
    }
}
