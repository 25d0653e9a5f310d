//! Apache Kafka, and a consumer that is not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Consumed;

/// A cluster of Apache Kafka; ended when this is dropped.
pub struct Real {
    folder: TempDir,
}

impl Real {
    pub fn start(brokers: i32) -> Self {
        let real = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        real.broker_script("start", &brokers.to_string());
        real
    }

    /// The address of a listener, PLAINTEXT, SASL, TLS or SASL_TLS, or the version of KAFKA.
    pub fn named(&self, name: &str) -> String {
        let env = std::fs::read_to_string(self.path("env")).expect("what broker.sh has written");
        let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {env}")).to_owned()
    }

    /// A file of the cluster, such as `ca.pem`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[&str]) {
        let replicas = self.named("PLAINTEXT").split(',').count().to_string();
        let partitions = partitions.to_string();
        let mut arguments = vec![topic, &partitions, &replicas];
        arguments.extend(settings);
        self.client("create", &arguments);
    }

    /// Gives a user permissions on a topic.
    pub fn allow(&self, topic: &str, user: &str, operations: &[&str]) {
        let mut arguments = vec![topic, user];
        arguments.extend(operations);
        self.client("allow", &arguments);
    }

    pub fn command(&self, command: &str, broker: i32) {
        self.broker_script(command, &broker.to_string());
    }

    pub fn leader(&self, topic: &str) -> i32 {
        self.client("leader", &[topic]).trim().parse().expect("a node")
    }

    pub fn consume(&self, topic: &str) -> Vec<Consumed> {
        let lines = self.client("consume", &[topic]);
        lines.lines().map(consumed).collect()
    }

    fn broker_script(&self, command: &str, argument: &str) {
        let folder = self.folder.path().to_str().expect("a path of ours");
        run(Command::new(file("broker.sh")).args([command, folder, argument]));
    }

    fn client(&self, command: &str, arguments: &[&str]) -> String {
        let python = std::env::var("AUDIT_KAFKA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let bootstrap = self.named("PLAINTEXT");
        run(Command::new(python).arg(file("client.py")).args([command, &bootstrap]).args(arguments))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // A test that fails shall still say why it did.
        let _ = Command::new(file("broker.sh")).arg("stop").arg(self.folder.path()).status();
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join(name)
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Partition, offset, key, value, headers.
fn consumed(line: &str) -> Consumed {
    let message: Value = serde_json::from_str(line).expect("a line of client.py");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Consumed {
        partition: message[0].as_i64().and_then(|partition| partition.try_into().ok()).expect("a partition"),
        key: text(&message[2]),
        value: text(&message[3]).expect("a value"),
        headers: message[4]
            .as_object()
            .expect("headers")
            .iter()
            .map(|(name, value)| (name.clone(), text(value).expect("text")))
            .collect(),
    }
}
