//! What the sink's page says under *Try it*.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit_tests::Dir;

use crate::PLUGIN;
use crate::delivery::canonical_lines;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace").to_owned()
}

#[test]
fn the_kafka_of_the_compose_file_is_that_of_the_tests() {
    let pom = include_str!("pom.xml");
    let version = pom
        .split("<artifactId>kafka_2.13</artifactId>")
        .nth(1)
        .and_then(|rest| rest.split(['<', '>']).nth(2));
    let version = version.expect("a version");
    let compose = include_str!("../../plugins/kafka/compose.yaml");
    assert!(compose.contains(&format!("image: apache/kafka:{version}\n")), "not {version}: {compose}");
}

#[test]
#[ignore = "needs a JDK and Maven: .ci/kafka runs it"]
fn one_command_goes_from_the_configuration_to_messages_in_a_consumer() {
    let dir = Dir::empty();
    dir.install(PLUGIN);
    let test = std::env::current_exe().expect("a test knows its own path");
    let program =
        test.parent().and_then(Path::parent).expect("a test is in a folder of a folder").join("audit-host");
    // It lies beside its plugins.
    let copy = dir.path("plugins/audit-host");
    std::fs::copy(&program, &copy).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let output = Command::new(root().join("plugins/kafka/try"))
        .arg("maven")
        .env("AUDIT_HOST", &copy)
        .output()
        .expect("the script starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {err}", output.status);
    assert!(err.contains("accepted=5000 delivered=5000 "), "{err}");
    let seen: BTreeSet<&str> = out.lines().filter_map(|line| line.split_once('\t')?.1.into()).collect();
    let lines = canonical_lines();
    assert_eq!(seen, lines.iter().map(String::as_str).collect());
}
