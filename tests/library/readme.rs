//! Every command of the README is run: those of the program here, those of cargo by `.ci/run`. So is its test with the fake
//! producer.

use std::path::Path;

use audit_tests::Dir;

fn text(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace");
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a first part").to_owned())
        .collect()
}

#[test]
fn every_command_of_the_program_works_as_the_readme_says() {
    let readme = text("README.md");
    let dir = Dir::with(&blocks(&readme, "toml")[0]);
    dir.write("events.ndjson", text("examples/permission-events.ndjson"));
    let mut commands = 0;
    for command in blocks(&readme, "sh").iter().flat_map(|block| block.lines()) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.split_first() {
            Some((&"audit-host", arguments)) => {
                let ran = dir.audit_host(arguments).run();
                assert_eq!(ran.status, 0, "{command}: {ran:?}");
                commands += 1;
            }
            Some((&"cargo", _)) => {
                let starts = [
                    "cargo build --release --workspace && target/release/audit-host run ",
                    "cargo test --workspace",
                ];
                assert!(
                    starts.iter().any(|start| command.starts_with(start)),
                    "{command} is not run by .ci/run"
                );
            }
            _ => panic!("nobody runs this command of the README: {command}"),
        }
    }
    assert!(commands >= 8, "only {commands} commands were found");
    assert_eq!(dir.lines("audit.ndjson").len(), 5000, "`run` has delivered");
}

mod events_reach_kafka {
    include!("events_reach_kafka.rs");

    #[test]
    fn the_test_with_the_fake_producer_passes_as_the_readme_has_it() {
        let readme = super::text("README.md");
        assert!(
            super::blocks(&readme, "rust").iter().any(|block| block == include_str!("events_reach_kafka.rs"))
        );
        events_reach_kafka(&super::Dir::new().path("")).expect("it passes");
    }
}

#[test]
fn ci_runs_the_two_commands_of_the_readme() {
    let ci = text(".ci/run");
    for command in ["readme 'cargo build'", "readme 'cargo test'"] {
        assert!(ci.contains(command), "{command}");
    }
}

#[test]
fn the_configuration_in_the_tree_uses_the_folder_that_the_build_fills() {
    let config: toml::Table = text("audit.toml").parse().expect("TOML");
    assert_eq!(config["plugins"]["dirs"][0].as_str(), Some("target/release"));
}
