//! Users and TLS. Mock brokers know neither, so all of this is for Apache Kafka.

use audit_tests::Dir;

use crate::cluster::Cluster;
use crate::real::Real;
use crate::refusals::{EVENT, assert_refused, run};
use crate::{PLUGIN, TOPIC, kafka_dir};

fn real() -> Real {
    let Cluster::Real(real) = Cluster::start(1) else {
        panic!("mock brokers know neither users nor TLS: set AUDIT_KAFKA=real");
    };
    real.create_topic(TOPIC, 1, &[]);
    real
}

/// The sink delivers an event, and shows nobody this password.
fn assert_delivers(dir: &Dir, password: &str) {
    let checked = run(dir, &["check", "--probe"], "");
    assert_eq!(checked.status, 0, "{checked:?}");
    let ran = run(dir, &["run"], EVENT);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("accepted=1 delivered=1 "), "{ran:?}");
    assert!(!format!("{checked:?}{ran:?}").contains(password), "{ran:?}");
}

#[test]
#[ignore = "mock brokers know neither users nor TLS: .ci/kafka runs it against Apache Kafka"]
fn users_and_authorities_that_are_wrong_are_refused_in_words_and_right_ones_deliver() {
    let real = real();
    real.allow(TOPIC, "writer", &["WRITE", "DESCRIBE"]);
    real.allow(TOPIC, "reader", &["READ", "DESCRIBE"]);
    let sasl = |user: &str, password: &str| {
        let dir = kafka_dir(
            &real.named("SASL"),
            "[audit_logger.options.librdkafka]\n\"security.protocol\" = \"sasl_plaintext\"\n\
             \"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"USER\"\n\"sasl.password\" = \"${file:password}\"\n"
                .replace("USER", user)
                .as_str(),
        );
        dir.write("password", password);
        dir
    };
    let tls = |ca: &str| {
        kafka_dir(
            &real.named("TLS"),
            &format!(
                "[audit_logger.options.librdkafka]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = {:?}\n",
                real.path(ca)
            ),
        )
    };
    for wrong in [sasl("writer", "wrong-secret"), sasl("nobody", "writer-secret")] {
        assert_refused(&wrong, &["Authentication failed"]);
    }
    assert_refused(&sasl("reader", "reader-secret"), &["may not write to the topic `permission-events`"]);
    assert_refused(&tls("other-ca.pem"), &["certificate verify failed"]);
    // Users without a certificate are anonymous there, and may write.
    for right in [sasl("writer", "writer-secret"), tls("ca.pem")] {
        assert_delivers(&right, "writer-secret");
    }
    assert_eq!(real.consume(TOPIC).len(), 2);
}

/// The first two examples of the sink's page, with names of the test; the password's file is `secret`.
fn documented(real: &Real) -> Dir {
    let page = include_str!("../../plugins/kafka/README.md");
    let mut blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let mut text = format!("{}{}", blocks.next().expect("the first one"), blocks.next().expect("security"));
    for (documented, here) in [
        ("[\"kafka-1:9092\", \"kafka-2:9092\"]", format!("{:?}", real.named("SASL_TLS"))),
        ("/run/secrets/kafka", "secret".to_owned()),
    ] {
        assert_eq!(text.matches(documented).count(), 1, "{documented} in {text}");
        text = text.replace(documented, &here);
    }
    let dir = Dir::empty();
    dir.install(PLUGIN);
    dir.write("audit.toml", text);
    dir.write("ca.pem", std::fs::read(real.path("ca.pem")).expect("what broker.sh has made"));
    dir
}

#[test]
#[ignore = "mock brokers know neither users nor TLS: .ci/kafka runs it against Apache Kafka"]
fn the_documented_example_of_security_works_and_its_password_is_never_shown() {
    let real = real();
    real.allow(TOPIC, "audit", &["WRITE", "DESCRIBE"]);
    let dir = documented(&real);
    dir.write("secret", "audit-secret\n");
    assert_delivers(&dir, "audit-secret");
    assert_eq!(real.consume(TOPIC).len(), 1);
    dir.write("secret", "wrong-secret\n");
    assert_refused(&dir, &["Authentication failed"]);
    // librdkafka tells all it knows.
    let config = dir.read("audit.toml") + "\"debug\" = \"all\"\n";
    dir.write("audit.toml", config);
    for arguments in [&["run"][..], &["check", "--probe"], &["check", "--probe", "--format", "json"]] {
        let arguments = [&["--log-level", "debug"], arguments].concat();
        let ran = run(&dir, &arguments, EVENT);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("sasl.password = [redacted]"), "its properties are in the log: {ran:?}");
        assert!(!format!("{ran:?}").contains("wrong-secret"), "{ran:?}");
    }
}
