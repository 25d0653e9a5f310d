//! The page of what `bench/instructions` counted.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use bench_harness::{Bar, Places, Report, Table, bars};

/// `audit-bench instructions`.
pub fn run() -> io::Result<()> {
    let places = Places::new();
    let read = |path| {
        let error = |error| io::Error::other(format!("{path}, which bench/instructions makes: {error}"));
        fs::read_to_string(places.file(path)).map_err(error)
    };
    let measured = read("target/bench/instructions.measured")?;
    let baseline = counts(&read("bench/instructions.baseline")?);
    let mut report = Report::new("instructions", "Instructions");
    report.say(
        "Counted by callgrind, which does not depend on what else the machine does: `record` (id and frame) and `worker` (canonical \
         lines of frames) for an event of 384 bytes, `loader` for one load of the file sink against its pin (checks, sealed copy \
         with its hash, dlopen, handshake). `.ci/run` fails where one is more than 2 % over its baseline, \
         `bench/instructions.baseline`.",
    );
    let mut table = Table::new(["path", "instructions", "baseline", "change"]);
    let mut groups = Vec::new();
    for (path, count) in counts(&measured) {
        let was = baseline.get(&path).copied().unwrap_or(count);
        table.row([
            path.clone(),
            count.to_string(),
            was.to_string(),
            format!("{:+.2} %", (count / was - 1.0) * 100.0),
        ]);
        groups.push(Bar { label: path, values: vec![Some(count)] });
    }
    report.table("Counts", &table);
    report.picture("instructions", "Instructions", |path| {
        bars(path, "instructions", &["instructions"], &groups)
    })?;
    report.write()
}

fn counts(text: &str) -> BTreeMap<String, f64> {
    let words = text.lines().filter_map(|line| line.split_once(' '));
    words.filter_map(|(path, count)| Some((path.to_owned(), count.parse().ok()?))).collect()
}
