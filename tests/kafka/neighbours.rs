//! The plugin beside a librdkafka and an OpenSSL that the host has linked itself: this test program has.

use std::fs;

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_plugin_api::{Action, PermissionAuditEvent};
use audit_tests::built;
use object::{Object, ObjectSymbol};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::{PATIENCE, PLUGIN, TOPIC, kafka_dir};

#[test]
fn the_plugin_exports_one_symbol() {
    let bytes = fs::read(built(PLUGIN)).expect("the plugin");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let exported: Vec<_> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    assert_eq!(exported, ["audit_sinks_of_audit_sink_kafka"]);
}

#[test]
fn a_host_with_a_librdkafka_of_its_own_sends_through_both() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1);
    let mut own = ClientConfig::new();
    own.set("client.id", "the host's own");
    // Both make a TLS handshake, each with its own OpenSSL, where the brokers know TLS.
    let (servers, more) = match &cluster {
        Cluster::Real(real) => {
            let ca = real.path("ca.pem").to_str().expect("a path of ours").to_owned();
            own.set("security.protocol", "ssl").set("ssl.ca.location", &ca);
            (
                real.named("TLS"),
                format!("librdkafka = {{ \"security.protocol\" = \"ssl\", \"ssl.ca.location\" = {ca:?} }}"),
            )
        }
        Cluster::Mock(mock) => (mock.servers(), String::new()),
    };
    let own: BaseProducer = own.set("bootstrap.servers", &servers).create().expect("a producer");
    let send = |payload: &str| {
        own.send(BaseRecord::to(TOPIC).key("own").payload(payload)).expect("a queued message");
        own.flush(PATIENCE).expect("a delivered message");
    };
    send("before");
    let dir = kafka_dir(&servers, &more);
    let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
    let logger = Logger::open(config, &Loading::default()).expect("the sink opens");
    for number in 0..100 {
        let event = PermissionAuditEvent::new(Action::Read, true).user_id(number.to_string());
        logger.record(&event).expect("the event is accepted");
    }
    send("meanwhile");
    let report = logger.close(PATIENCE).expect("not in a callback");
    assert!(report.is_clean() && report.totals.delivered == 100, "{report:?}");
    send("after");
    let consumed = cluster.consume(TOPIC);
    let (own, ours): (Vec<_>, Vec<_>) =
        consumed.iter().partition(|message| message.key.as_deref() == Some("own"));
    let own: Vec<_> = own.iter().map(|message| message.value.as_str()).collect();
    assert_eq!((own, ours.len()), (vec!["before", "meanwhile", "after"], 100));
}
