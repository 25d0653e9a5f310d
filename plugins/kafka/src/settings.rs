//! What the options mean: the properties of librdkafka.
//!
//! The defaults are those of an audit trail: `acks=all`, idempotence, quick reconnects, a bounded queue. Whatever stands
//! in the table `librdkafka` overrides them, and librdkafka itself says whether it can be used; this file only refuses
//! what would break the sink's own promises, and names what weakens them.

use std::time::Duration;

use audit_kafka_message::Form;
use audit_plugin_api::serde_json::{Map, Value};
use audit_plugin_api::{Context, SinkError};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::KafkaOptions;
use crate::native::Producer;

/// Properties that the sink sets unless the operator does. The reasons stand in the README of this folder.
const DEFAULTS: [(&str, &str); 15] = [
    ("client.id", "audit-host"),
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("compression.type", "lz4"),
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("topic.metadata.propagation.max.ms", "3000"),
    ("socket.keepalive.enable", "true"),
    ("ssl.ca.location", "probe"),
    ("statistics.interval.ms", "15000"),
];

/// librdkafka's own default of `message.max.bytes`, and the most that it takes.
const MESSAGE_BYTES: usize = 1_000_000;
const MOST_MESSAGE_BYTES: usize = 1_000_000_000;
/// Bytes of a message beside its payload.
const ENVELOPE: usize = 64 << 10;

/// Properties that the table may not set, each with what to do instead.
const REFUSED: [(&str, &str); 10] = [
    ("bootstrap.servers", "use the option `bootstrap_servers`"),
    ("metadata.broker.list", "use the option `bootstrap_servers`"),
    ("message.timeout.ms", "use the option `delivery_timeout`"),
    ("delivery.timeout.ms", "use the option `delivery_timeout`"),
    ("transactional.id", "this sink sends no transactions"),
    ("delivery.report.only.error", "an event counts as delivered by the report of its success"),
    ("plugin.library.paths", "it would load code that the host has not checked"),
    ("log.queue", "the sink reads librdkafka's log itself"),
    ("log_level", "use `audit-host --log-level`, and librdkafka's property `debug`"),
    ("enabled_events", "the sink chooses them itself"),
];

/// What the options mean.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic.
    pub topic: String,
    /// What a message is made of.
    pub form: Form,
    /// How long librdkafka tries to deliver a message.
    pub delivery_timeout: Duration,
    /// The properties of librdkafka.
    pub config: ClientConfig,
    /// Properties that weaken the guarantee, each with what it costs.
    pub weakened: Vec<String>,
}

impl Settings {
    /// Reads the options, and lets librdkafka check the properties.
    pub fn new(options: KafkaOptions, context: &Context) -> Result<Self, SinkError> {
        let delivery_timeout = options.delivery_timeout.duration();
        if options.topic.is_empty() || options.topic.contains('\0') {
            return Err(SinkError::permanent("expected the name of a topic").option("topic"));
        }
        let milliseconds = delivery_timeout.as_millis();
        if !(1..=i32::MAX as u128).contains(&milliseconds) {
            let reason =
                format!("expected seconds from 0.001 to 2147483, found {}", delivery_timeout.as_secs_f64());
            return Err(SinkError::permanent(reason).option("delivery_timeout"));
        }
        let given = properties(options.librdkafka.unwrap_or_default(), context)?;
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(name, value);
        }
        config.set("message.timeout.ms", milliseconds.to_string());
        // Whatever the host accepts is at least offered to the brokers, which have a limit of their own.
        let largest =
            context.max_event_bytes.saturating_add(ENVELOPE).clamp(MESSAGE_BYTES, MOST_MESSAGE_BYTES);
        config.set("message.max.bytes", largest.to_string());
        let weakened = weaken(&mut config, &given, context)?;
        for (name, value) in &given {
            config.set(name, value);
        }
        check(&config, &given, &options.topic)?;
        config.set("bootstrap.servers", options.bootstrap_servers.joined());
        Ok(Self {
            topic: options.topic,
            form: Form { key: options.key, payload: options.payload, headers: options.headers },
            delivery_timeout,
            config,
            weakened,
        })
    }
}

/// The properties of the table. TOML reads `ssl.ca.location = "…"` as tables within tables: they mean the same.
fn properties(table: Map<String, Value>, context: &Context) -> Result<Vec<(String, String)>, SinkError> {
    let mut found = Vec::new();
    flatten("", table, &mut found)?;
    for (name, value) in &mut found {
        if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(at(name, format!("the property `{name}` cannot be set here: {instead}")));
        }
        if name.ends_with(".location") && value != "probe" {
            let path = context.resolve(&*value);
            // librdkafka passes on OpenSSL's words, which do not say that a file is not there.
            path.metadata()
                .map_err(|error| at(name, format!("{} cannot be used: {error}", path.display())))?;
            *value = path.to_string_lossy().into_owned();
        }
    }
    Ok(found)
}

fn flatten(
    prefix: &str,
    table: Map<String, Value>,
    found: &mut Vec<(String, String)>,
) -> Result<(), SinkError> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(table) => flatten(&name, table, found)?,
            Value::String(text) => found.push((name, text)),
            Value::Bool(_) | Value::Number(_) => found.push((name, value.to_string())),
            Value::Array(_) | Value::Null => {
                return Err(at(&name, format!("the property `{name}` must be text, a number or a boolean")));
            }
        }
    }
    Ok(())
}

/// Takes back what librdkafka would refuse beside a weaker property, and says what each of those costs. librdkafka says
/// what was meant, since it takes several spellings. Fewer acknowledgements than all are refused where a delivered event has to
/// outlive loss of power: a broker that is alone with it may have it in memory only.
fn weaken(
    config: &mut ClientConfig,
    given: &[(String, String)],
    context: &Context,
) -> Result<Vec<String>, SinkError> {
    let mut alone = ClientConfig::new();
    alone.extend(given.iter().cloned());
    // What it does not take is refused afterwards, with the name.
    let Ok(native) = alone.create_native_config() else { return Ok(Vec::new()) };
    let value = |names: &[&str]| {
        let (name, _) = given.iter().rfind(|(name, _)| names.contains(&name.as_str()))?;
        native.get(name).ok()
    };
    let mut weakened = Vec::new();
    let acks = value(&["acks", "request.required.acks"]).filter(|acks| acks != "-1");
    if let Some(acks) = &acks {
        if context.durability.as_deref() == Some("disk") {
            let reason = format!(
                "with acks={acks} an event may count as delivered and be lost when a broker fails, while `durability = \"disk\"` \
                 promises that it is not; have acks = \"all\" or `durability = \"process\"`"
            );
            return Err(at("acks", reason));
        }
        weakened
            .push(format!("acks={acks}: an event may count as delivered and be lost when a broker fails"));
    }
    let idempotence = value(&["enable.idempotence"]);
    let in_flight = value(&["max.in.flight", "max.in.flight.requests.per.connection"]);
    let retries = value(&["retries", "message.send.max.retries"]).filter(|retries| retries == "0");
    let many = in_flight.filter(|count| count.parse::<u64>().is_ok_and(|count| count > 5));
    if idempotence.is_none() && (acks.is_some() || many.is_some() || retries.is_some()) {
        config.set("enable.idempotence", "false");
    }
    if idempotence.as_deref().or(config.get("enable.idempotence")) == Some("false") {
        weakened.push("no idempotence: a retry may duplicate events, and change their order".into());
    }
    if value(&["enable.ssl.certificate.verification"]).as_deref() == Some("false") {
        weakened.push("enable.ssl.certificate.verification=false: anyone may pretend to be a broker".into());
    }
    if value(&["ssl.endpoint.identification.algorithm"]).as_deref() == Some("none") {
        weakened.push(
            "ssl.endpoint.identification.algorithm=none: any holder of a certificate may pretend to be a broker".into(),
        );
    }
    Ok(weakened)
}

/// Lets librdkafka check all properties, one by one and together. It makes a producer without brokers for that, which
/// connects to nothing, and drops it.
fn check(config: &ClientConfig, given: &[(String, String)], topic: &str) -> Result<(), SinkError> {
    Producer::new(config, topic).map(drop).map_err(|error| match error {
        KafkaError::ClientConfig(_, description, name, _) => at(&name, description),
        other => {
            let reason = words_of(&other);
            let named = given.iter().map(|(name, _)| name).filter(|name| reason.contains(name.as_str()));
            match named.max_by_key(|name| name.len()) {
                Some(name) => at(name, reason),
                None => SinkError::permanent(reason),
            }
        }
    })
}

/// librdkafka's own words, without what the crate puts around them.
fn words_of(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientCreation(words) => words.clone(),
        other => other.to_string(),
    }
}

/// An error at a property of the table.
fn at(name: &str, reason: String) -> SinkError {
    SinkError::permanent(reason).option(format!("librdkafka.{name}"))
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::serde_json::json;
    use audit_plugin_api::{SinkOptions, testing};

    use super::*;

    fn settings(librdkafka: Value) -> Result<Settings, SinkError> {
        settings_beside(None, librdkafka)
    }

    fn settings_beside(durability: Option<&str>, librdkafka: Value) -> Result<Settings, SinkError> {
        let options =
            json!({"topic": "t", "bootstrap_servers": ["a:9092", "b:9092"], "librdkafka": librdkafka});
        let durability = durability.map(str::to_owned);
        let context = Context { config_dir: "/etc/audit".into(), durability, ..testing::context() };
        Settings::new(KafkaOptions::from_json(options).unwrap(), &context)
    }

    fn refusal(librdkafka: Value) -> (String, String) {
        let error = settings(librdkafka).err().unwrap();
        (error.option.unwrap_or_default(), error.reason)
    }

    #[test]
    fn the_defaults_are_those_of_an_audit_trail() {
        let settings = settings(json!({})).unwrap();
        let config = |name| settings.config.get(name).unwrap();
        assert_eq!((config("acks"), config("enable.idempotence")), ("all", "true"));
        assert_eq!((config("message.timeout.ms"), config("bootstrap.servers")), ("60000", "a:9092,b:9092"));
        assert_eq!(settings.weakened, [""; 0]);
    }

    #[test]
    fn nested_tables_and_quoted_names_mean_the_same_property() {
        for table in [json!({"linger.ms": 7}), json!({"linger": {"ms": "7"}})] {
            assert_eq!(settings(table).unwrap().config.get("linger.ms"), Some("7"));
        }
        assert_eq!(refusal(json!({"linger.ms": [7]})).0, "librdkafka.linger.ms");
    }

    #[test]
    fn librdkafka_checks_names_values_and_what_does_not_go_together() {
        let (option, reason) = refusal(json!({"lingre.ms": 7}));
        assert_eq!(option, "librdkafka.lingre.ms");
        assert!(reason.contains("No such configuration property: \"lingre.ms\""), "{reason}");
        let (option, reason) = refusal(json!({"compression.type": "zip"}));
        assert_eq!(option, "librdkafka.compression.type");
        assert!(reason.contains("Invalid value \"zip\""), "{reason}");
        let (option, reason) = refusal(json!({"enable.idempotence": true, "acks": 1}));
        assert_eq!(option, "librdkafka.enable.idempotence");
        assert!(reason.contains("`acks` must be set to `all`"), "{reason}");
        let (option, reason) = refusal(json!({"security.protocol": "ssl", "ssl.ca.location": "no-such.pem"}));
        assert_eq!(option, "librdkafka.ssl.ca.location");
        assert!(reason.starts_with("/etc/audit/no-such.pem cannot be used: No such file"), "{reason}");
    }

    #[test]
    fn what_would_break_the_sinks_promises_is_refused_with_what_to_do() {
        for (name, instead) in REFUSED {
            let (option, reason) = refusal(json!({ name: "1" }));
            assert_eq!(option, format!("librdkafka.{name}"));
            assert!(reason.ends_with(instead), "{reason}");
        }
    }

    #[test]
    fn weaker_properties_are_named_and_take_idempotence_with_them() {
        let settings = |table| settings(table).unwrap();
        let weak = settings(json!({"acks": 1}));
        assert_eq!((weak.weakened.len(), weak.config.get("enable.idempotence")), (2, Some("false")));
        assert_eq!(settings(json!({"enable.idempotence": false})).weakened.len(), 1);
        assert_eq!(settings(json!({"max.in.flight": 10})).weakened.len(), 1);
        assert_eq!(settings(json!({"acks": "all"})).weakened.len(), 0);
        let tls = json!({"ssl": {"endpoint.identification.algorithm": "none"}, "enable.ssl.certificate.verification": false});
        assert_eq!(settings(tls).weakened.len(), 2);
    }

    #[test]
    fn fewer_acknowledgements_than_all_are_refused_where_events_have_to_outlive_loss_of_power_only() {
        let beside = |durability, acks: &Value| settings_beside(Some(durability), json!({ "acks": acks }));
        for acks in [json!(1), json!("0")] {
            let refused = beside("disk", &acks).err().unwrap();
            assert_eq!(refused.option.as_deref(), Some("librdkafka.acks"), "{acks}");
            assert!(beside("process", &acks).is_ok(), "{acks}");
        }
        for acks in [json!("all"), json!(-1)] {
            assert!(beside("disk", &acks).is_ok(), "{acks}");
        }
    }

    #[test]
    fn weaker_properties_are_named_however_librdkafka_lets_them_be_spelled() {
        for spelling in ["0", "f", "F", "False", "FALSE", "false"] {
            for name in ["enable.idempotence", "enable.ssl.certificate.verification"] {
                assert_eq!(
                    settings(json!({ name: spelling })).unwrap().weakened.len(),
                    1,
                    "{name}={spelling}"
                );
            }
        }
        for (name, value, count) in [
            ("ssl.endpoint.identification.algorithm", "NONE", 1),
            ("acks", "0x1", 2),
            ("acks", "ALL", 0),
            ("retries", "0x0", 1),
            ("max.in.flight", "0xa", 1),
            ("enable.idempotence", "t", 0),
        ] {
            assert_eq!(settings(json!({ name: value })).unwrap().weakened.len(), count, "{name}={value}");
        }
    }

    #[test]
    fn timeouts_and_topics_that_cannot_be_are_refused() {
        let context = testing::context();
        for (name, value) in
            [("delivery_timeout", json!(0)), ("delivery_timeout", json!(1e9)), ("topic", json!(""))]
        {
            let mut options = json!({"topic": "t", "bootstrap_servers": "a:9092"});
            options[name] = value;
            let error = Settings::new(KafkaOptions::from_json(options).unwrap(), &context).err().unwrap();
            assert_eq!(error.option.as_deref(), Some(name));
        }
    }
}
