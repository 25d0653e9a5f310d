//! How long a start takes, what loading a plugin costs, and what memory is used at rest.

use std::io;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Outcome, Places, Report, Table, bars, decimal, sizes,
};

/// What stands in the box, the largest last.
const PLUGINS: [&str; 4] =
    ["libaudit_sink_print.so", "libaudit_sink_fake.so", "libaudit_sink_file.so", "libaudit_sink_kafka.so"];
/// Name in the table, what is said about the plugin.
const STARTS: [(&str, &str); 3] = [
    ("pinned", "pinned"),
    ("not pinned, probe in a child process", "auto"),
    ("not pinned, no probe", "never"),
];
const IDLE: &str = "a program that embeds the library, file sink, after its first event";

/// `audit-bench startup`.
pub fn run() -> io::Result<()> {
    let mut report = Report::new("startup", "Start, load and rest");
    report.say(
        "*First delivery* is from the start of `audit-host run` (file sink, `.so`) with one event in its pipe until that event is \
         in the file, *end* until the program has ended; *rest* is its resident memory while it waits for input. A load is from \
         the plugin's path to its module, against its pin: checks, sealed copy with its hash, dlopen, handshake; each in a fresh \
         process. Medians; *noise* is half of the span of the rounds.",
    );
    let rounds = 4 * sizes::rounds();
    report.say_rounds(rounds);
    let starts = Contest::run(
        &STARTS
            .map(|(name, probe)| Entrant::own(name, Case::of("start").with("probe", probe)).without_file()),
        rounds,
    );
    let mut table = Table::new(["start", "first delivery ms", "end ms", "rest MiB", "noise"]);
    for standing in &starts.standings {
        let show = |figure: Option<f64>| figure.map_or_else(|| "–".into(), decimal);
        match &standing.failure {
            Some(reason) => table.row([standing.name.clone(), reason.clone()]),
            None => table.row([
                standing.name.clone(),
                show(standing.median(millis)),
                show(standing.median(|outcome| Some(outcome.more.get("end")? * 1e3))),
                show(standing.median(rest)),
                standing.noise(millis),
            ]),
        }
    }
    report.table("Start", &table);

    let entrants: Vec<Entrant> = PLUGINS.iter().map(|plugin| load(plugin)).collect();
    let loads = Contest::run(&entrants, rounds);
    let mut table = Table::new(["plugin", "MB", "load ms", "allowed ms", "noise"]);
    for standing in &loads.standings {
        match (&standing.failure, standing.median(millis), standing.median(allowed)) {
            (None, Some(took), Some(allowed)) => table.row([
                standing.name.clone(),
                decimal(standing.median(megabytes).unwrap_or(0.0)),
                decimal(took),
                decimal(allowed),
                standing.noise(millis),
            ]),
            (reason, ..) => table.row([standing.name.clone(), reason.clone().unwrap_or_default()]),
        }
    }
    report.table("Load", &table);
    let all = starts.standings.iter().chain(&loads.standings);
    let groups: Vec<Bar> = all
        .map(|standing| Bar { label: standing.name.clone(), values: vec![standing.median(millis)] })
        .collect();
    report.picture("startup", "Start and load", |path| bars(path, "milliseconds", &["ms"], &groups))?;

    let idle = Contest::run(
        &[Entrant::own(IDLE, Case::of("idle").with("seconds", 0.1)).without_file()],
        sizes::rounds(),
    );
    let mut table = Table::new(["memory at rest", "MiB"]);
    table.row([IDLE.to_owned(), idle.of(IDLE).median(rest).map_or_else(|| "–".into(), decimal)]);
    table.row([
        "`audit-host run`, waiting".to_owned(),
        starts.of("pinned").median(rest).map_or_else(|| "–".into(), decimal),
    ]);
    report.table("Rest", &table);

    let pinned = starts.of("pinned").median(millis);
    report.goal(Goal::at_most("start to first delivery, pinned, ms", "≤ 10 ms", 10.0, pinned, decimal));
    let over =
        loads.standings.iter().filter_map(|standing| standing.median(|o| Some(millis(o)? / allowed(o)?)));
    report.goal(Goal::at_most(
        "load against 1 ms + 0.7 ms a MB, the worst plugin",
        "≤ 1",
        1.0,
        over.reduce(f64::max),
        decimal,
    ));
    report.write()
}

fn load(plugin: &str) -> Entrant {
    let entrant = Entrant::own(plugin, Case::of("load").with("plugin", plugin)).without_file();
    if Places::new().built().join(plugin).exists() {
        entrant
    } else {
        entrant.program(Err("not built: run the README's first command".into()))
    }
}

fn millis(outcome: &Outcome) -> Option<f64> {
    Some(outcome.seconds * 1e3)
}

fn megabytes(outcome: &Outcome) -> Option<f64> {
    outcome.more.get("megabytes").copied()
}

fn allowed(outcome: &Outcome) -> Option<f64> {
    Some(1.0 + 0.7 * megabytes(outcome)?)
}

fn rest(outcome: &Outcome) -> Option<f64> {
    Some(outcome.more.get("resident_kib")? / 1024.0)
}
