//! Every command of the README is run: those of the program here, those of cargo by `.ci/run`. So is its test with the fake
//! producer, and each cell of its table of guarantees leads to tests that are there.

use std::collections::BTreeMap;
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

/// The cells of a row of a table, without those outside of it.
fn cells(row: &str) -> Option<Vec<&str>> {
    let row = row.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").map(str::trim).collect())
}

/// What `docs/guarantees.md` says of one cell: what is lost, comes twice, comes out of order, and what shows it.
fn guarantees(page: &str) -> BTreeMap<&str, [&str; 4]> {
    let rows = page.lines().filter(|line| line.contains("<a id=")).map(|row| {
        let cells = cells(row).unwrap_or_else(|| panic!("no row: {row}"));
        let [code, _mode, lost, twice, order, shown] = cells[..] else { panic!("six cells: {row}") };
        let (anchor, code) = code.split_once("</a>").expect("an anchor and a code");
        assert_eq!(anchor, format!("<a id=\"{}\">", code.to_lowercase()));
        (code, [lost, twice, order, shown])
    });
    rows.collect()
}

/// What is between backticks and reads like the path of a test.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|code| code.contains("::"))
}

/// Whether the test of this path, as `docs/guarantees.md` writes it, is there and runs with the others.
fn is_a_test(path: &str) -> bool {
    let (place, name) = path.rsplit_once("::").expect("a path");
    let file = match place.split_once("::") {
        Some(("cli", file)) => format!("tests/cli/{file}.rs"),
        Some(("library", file)) => format!("tests/library/{file}.rs"),
        Some(("pipeline", file)) => format!("host/src/pipeline/tests/{file}.rs"),
        Some(("event", file)) => format!("host/src/event/{file}.rs"),
        Some(("spool", file)) => format!("host/src/spool/tests/{file}.rs"),
        None if place == "file" => "plugins/file/src/sink/tests.rs".to_owned(),
        _ => panic!("nobody knows where {path} is"),
    };
    let code = text(&file);
    let Some(before) = code.find(&format!("fn {name}(")).map(|at| &code[..at]) else { return false };
    let attributes = before.trim_end_matches(' ').lines().rev().take_while(|line| !line.trim().is_empty());
    let attributes: Vec<&str> = attributes.map(str::trim).filter(|line| line.starts_with("#[")).collect();
    attributes.contains(&"#[test]") && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn each_cell_of_the_guarantees_leads_to_tests_that_are_there() {
    let (readme, page) = (text("README.md"), text("docs/guarantees.md"));
    let mut guarantees = guarantees(&page);
    let missing: Vec<&str> =
        tests_in(&page).filter(|test| !test.ends_with("::NAME") && !is_a_test(test)).collect();
    assert!(missing.is_empty(), "docs/guarantees.md names tests that are not there: {missing:#?}");
    let table = readme.lines().skip_while(|line| !line.starts_with("| what happens |")).skip(2);
    for row in table.map_while(cells) {
        assert_eq!(row.len(), 4, "{row:?}");
        for cell in &row[1..] {
            if *cell == "there is no spool" {
                continue;
            }
            let (says, link) = cell.rsplit_once(" [").unwrap_or_else(|| panic!("{cell} leads nowhere"));
            let code = link.split(']').next().expect("a code");
            assert_eq!(link, format!("{code}](docs/guarantees.md#{})", code.to_lowercase()));
            let found = guarantees.remove(code);
            let [lost, twice, order, shown] =
                found.unwrap_or_else(|| panic!("{code} is not there, or twice"));
            let said = [("**lost: ", lost, "**"), ("twice: ", twice, ""), ("out of order: ", order, "")];
            let said = said.iter().filter(|(_, what, _)| *what != "\u{2013}");
            let said: Vec<_> = said.map(|(kind, what, end)| format!("{kind}{what}{end}")).collect();
            let expected = if said.is_empty() { "nothing".to_owned() } else { said.join("; ") };
            assert_eq!(says, expected, "{code}");
            assert!(tests_in(shown).next().is_some(), "{code} names no test");
        }
    }
    assert!(guarantees.is_empty(), "no cell of the README leads to {:?}", guarantees.keys());
}
