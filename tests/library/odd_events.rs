//! Events that are legal, and that others get wrong: through the real program into a real file, and in again.

use audit_tests::Dir;

const FILE: &str =
    "[audit_logger]\nclass = \"file.FileAuditLogger\"\n[audit_logger.options]\npath = \"audit.ndjson\"\n";

/// Runs these lines of input into a file; returns the summary and the file.
fn run(input: &str) -> (String, String) {
    let dir = Dir::with(FILE);
    let ran = dir.audit_host(&["run"]).input(input).run();
    (ran.summary().trim_start_matches("audit-host: ").to_owned(), dir.read("audit.ndjson"))
}

fn summary(delivered: usize, rejected: usize) -> String {
    format!(
        "accepted={delivered} delivered={delivered} retried=0 dead_lettered=0 dropped=0 rejected={rejected} lost=0"
    )
}

fn with_metadata(metadata: &str) -> String {
    format!(r#"{{"action":"read","granted":true,"metadata":{{"x":{metadata}}}}}"#)
}

/// What stands behind `"x":` in the metadata of a canonical line.
fn metadata_of(line: &str) -> &str {
    let start = line.find(r#""metadata":{"x":"#).expect("a canonical line") + r#""metadata":{"x":"#.len();
    &line[start..line.len() - 2]
}

fn levels(count: usize) -> String {
    // The object that holds it is the first level.
    "[".repeat(count - 1) + &"]".repeat(count - 1)
}

#[test]
fn odd_values_come_out_as_the_contract_says_and_the_output_is_its_own_input() {
    let every_plane: String = (0..=0x10_ffff)
        .step_by(61)
        .filter_map(char::from_u32)
        .filter(|c| *c >= ' ' && !"\"\\".contains(*c))
        .collect();
    let plain = format!("\"{every_plane}\"");
    let text = format!("\"{}\"", "x".repeat(900 << 10));
    let deep = levels(100);
    let cases = [
        (r#""a\nb\u000ac\r\u0000\u001F""#, r#""a\nb\nc\r\u0000\u001f""#),
        (r#""\ud83d\ude00 \ud800 \uDFFF\/""#, "\"😀 \\ud800 \\udfff/\""),
        (r#"{"k": 1, "k": 2, "a":0}"#, r#"{"k":1,"k":2,"a":0}"#),
        (
            "[1e999, -0.0, 123456789012345678901234567890, 1E+2]",
            "[1e999,-0.0,123456789012345678901234567890,1E+2]",
        ),
        (plain.as_str(), plain.as_str()),
        (text.as_str(), text.as_str()),
        (deep.as_str(), deep.as_str()),
    ];
    let input: Vec<String> = cases.iter().map(|(given, _)| with_metadata(given)).collect();
    let (first_summary, first) = run(&input.join("\n"));
    assert_eq!(first_summary, summary(cases.len(), 0));
    for (line, (given, expected)) in first.lines().zip(cases) {
        assert!(metadata_of(line) == expected, "{given:.80} became {line:.400}");
    }
    let (second_summary, second) = run(&first);
    assert_eq!(second_summary, summary(cases.len(), 0));
    assert!(second == first, "what came out went in and came out differently");
}

#[test]
fn what_is_too_large_too_deep_or_no_number_is_rejected_and_loses_nothing_else() {
    let bad = [
        with_metadata(&format!("\"{}\"", "x".repeat(1 << 20))),
        with_metadata(&levels(101)),
        with_metadata("NaN"),
        with_metadata("-Infinity"),
        with_metadata("01"),
        r#"{"action":"read","granted":true,"grantde":true}"#.into(),
        r#"{"action":"read","action":"read","granted":true}"#.into(),
        r#"{"granted":true}"#.into(),
        r#"{"action":"read"}"#.into(),
    ];
    let good = with_metadata("1");
    let lines: Vec<&str> = bad.iter().flat_map(|bad| [good.as_str(), bad]).chain([good.as_str()]).collect();
    let (ran, file) = run(&lines.join("\n"));
    assert_eq!(ran, summary(bad.len() + 1, bad.len()));
    assert!(file.lines().all(|line| metadata_of(line) == "1"));
}

#[test]
fn the_real_events_come_out_the_same_when_they_go_in_again() {
    let real = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/permission-events.ndjson");
    let (ran, first) = run(&std::fs::read_to_string(real).expect("the example is there"));
    assert_eq!(ran, summary(5000, 0));
    let (ran, second) = run(&first);
    assert_eq!(ran, summary(5000, 0));
    assert!(second == first);
}

#[test]
fn a_panic_in_a_thread_of_the_sinks_own_is_a_line_in_the_log_and_no_text_beside_it() {
    let dir =
        Dir::with("[audit_logger]\nclass = \"test.Panicking\"\n[audit_logger.options]\nin = \"thread\"\n");
    let ran = dir
        .audit_host(&["--log-format", "json", "run"])
        .input("{\"action\":\"read\",\"granted\":true}\n")
        .run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let told = ran
        .stderr
        .lines()
        .find(|line| line.contains("a thread of the plugin panicked at "))
        .unwrap_or_default();
    assert!(told.starts_with('{') && told.contains("test.Panicking"), "{ran:?}");
    assert!(!ran.stderr.lines().any(|line| line.starts_with("thread '")), "{ran:?}");
}
