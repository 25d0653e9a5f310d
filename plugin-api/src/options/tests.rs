//! The derives, and what they read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::manifest::OptionSpec;
use crate::{OptionType, OptionsError, Seconds, SinkOptions};

#[derive(Debug, PartialEq, OptionType)]
enum Codec {
    None,
    #[option(name = "gzip-9")]
    Gzip,
    LastResort,
}

/// A broker.
#[derive(Debug, PartialEq, SinkOptions)]
struct Broker {
    host: String,
    #[option(default = 9092)]
    port: u16,
}

#[derive(Debug, PartialEq, SinkOptions)]
struct Everything {
    /// Where to.
    ///
    /// A second paragraph, which is no help.
    brokers: Vec<Broker>,
    /// Over
    /// two lines, "quoted".
    ratio: f64,
    r#type: Option<i8>,
    #[option(default = "last_resort")]
    codec: Codec,
    #[option(default = ["a", "b"])]
    tags: Vec<String>,
    #[option(default = -1.5)]
    offset: f32,
    #[option(default = PathBuf::from("/a").join("b"))]
    folder: PathBuf,
    #[option(name = "linger-time", default = 1)]
    linger: Seconds,
    #[option(values("red", "green"))]
    colour: Option<String>,
    #[option(default = true)]
    wait: bool,
    weights: Option<BTreeMap<String, u8>>,
    librdkafka: Option<Map<String, Value>>,
    anything: Option<Value>,
}

fn read(options: Value) -> Result<Everything, (String, String)> {
    Everything::from_json(options).map_err(|error| (error.path, error.reason))
}

fn refused(change: Value) -> (String, String) {
    let mut options = json!({"brokers": [{"host": "a"}, {"host": "b"}], "ratio": 1});
    let (Value::Object(options_map), Value::Object(change)) = (&mut options, change) else {
        panic!("tables")
    };
    options_map.extend(change);
    read(options).expect_err("it is refused")
}

#[test]
fn absent_options_have_their_defaults() {
    let options = read(json!({"brokers": [{"host": "a"}], "ratio": 1})).unwrap();
    let expected = Everything {
        brokers: vec![Broker { host: "a".into(), port: 9092 }],
        ratio: 1.0,
        r#type: None,
        codec: Codec::LastResort,
        tags: vec!["a".into(), "b".into()],
        offset: -1.5,
        folder: "/a/b".into(),
        linger: Seconds(Duration::from_secs(1)),
        colour: None,
        wait: true,
        weights: None,
        librdkafka: None,
        anything: None,
    };
    assert_eq!(options, expected);
}

#[test]
fn given_options_are_read_as_their_types() {
    let options = read(json!({
        "brokers": [], "ratio": 0.5, "type": -128, "codec": "gzip-9", "linger-time": 0.25, "colour": "green",
        "weights": {"x": 255}, "librdkafka": {"b": 1, "a": [2]}, "anything": [null],
    }))
    .unwrap();
    assert_eq!((options.ratio, options.r#type, options.codec), (0.5, Some(-128), Codec::Gzip));
    assert_eq!(options.linger.duration(), Duration::from_millis(250));
    assert_eq!(options.colour.as_deref(), Some("green"));
    assert_eq!(options.weights.unwrap()["x"], 255);
    assert_eq!(options.librdkafka.unwrap().keys().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(options.anything, Some(json!([null])));
}

#[test]
fn mistakes_are_named_with_their_path_and_both_types() {
    let case = |change: Value, path: &str, reason: &str| {
        assert_eq!(refused(change), (path.to_owned(), reason.to_owned()));
    };
    case(json!({"ratio": "1"}), "ratio", "expected float or integer, found string");
    case(json!({"type": 1.0}), "type", "expected integer, found float");
    case(json!({"type": 128}), "type", "expected an integer from -128 to 127, found 128");
    case(json!({"wait": 1}), "wait", "expected boolean, found integer");
    case(json!({"brokers": {}}), "brokers", "expected array, found table");
    case(json!({"brokers": [{"host": "a"}, []]}), "brokers[1]", "expected table, found array");
    case(
        json!({"brokers": [{"host": "a"}, {"host": 1}]}),
        "brokers[1].host",
        "expected string, found integer",
    );
    case(json!({"brokers": [{}]}), "brokers[0]", "the option `host` is missing");
    case(
        json!({"brokers": [{"host": "a", "prot": 1}]}),
        "brokers[0].prot",
        "unknown option `prot`; known: host, port",
    );
    case(json!({"weights": {"x": 256}}), "weights.x", "expected an integer from 0 to 255, found 256");
    case(json!({"colour": "blue"}), "colour", r#"expected one of "red", "green", found "blue""#);
    case(json!({"colour": 1}), "colour", "expected string, found integer");
    case(json!({"codec": "zip"}), "codec", r#"expected one of "none", "gzip-9", "last_resort", found "zip""#);
    case(json!({"linger-time": -1}), "linger-time", "expected seconds, zero or more, found -1");
    case(json!({"linger-time": true}), "linger-time", "expected integer or float, found boolean");
    assert_eq!(read(json!([])), Err((String::new(), "expected table, found array".to_owned())));
    assert_eq!(read(json!({"ratio": 1})), Err((String::new(), "the option `brokers` is missing".to_owned())));
}

#[test]
fn serde_types_are_read_with_the_path_of_the_mistake() {
    let error = OptionsError::deserialize::<BTreeMap<String, Vec<u8>>>(json!({"a": [1, "x"]})).unwrap_err();
    assert_eq!(error.path, "a[1]");
    assert_eq!(OptionsError::deserialize::<u8>(json!("x")).unwrap_err().within("level").path, "level");
}

#[test]
fn the_specs_say_what_the_reader_does() {
    let specs: Vec<OptionSpec> = serde_json::from_str(Everything::SPECS).unwrap();
    let spec = |name: &str| specs.iter().find(|spec| spec.name == name).unwrap();
    assert_eq!(specs.len(), 13);
    assert_eq!((spec("brokers").help.as_str(), spec("brokers").required), ("Where to.", true));
    assert_eq!(spec("ratio").help, "Over two lines, \"quoted\".");
    assert_eq!(spec("ratio").types, ["float", "integer"]);
    assert_eq!((spec("type").required, &spec("type").default), (false, &Value::Null));
    assert_eq!(spec("codec").values, ["none", "gzip-9", "last_resort"]);
    assert_eq!(spec("codec").default, "last_resort");
    assert_eq!(spec("tags").default, json!(["a", "b"]));
    assert_eq!(spec("offset").default, json!(-1.5));
    assert_eq!((spec("folder").required, &spec("folder").default), (false, &Value::Null));
    assert_eq!(spec("colour").values, ["red", "green"]);
    assert_eq!(spec("linger-time").default, json!(1));
    assert_eq!(spec("weights").types, ["table"]);
    assert_eq!(<()>::SPECS, "[]");
    assert!(<()>::from_json(json!({"x": 1})).is_err());
}
