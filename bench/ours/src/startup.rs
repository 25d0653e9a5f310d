//! How long a start takes, what loading a plugin costs, and what memory is used at rest.

use std::io;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Outcome, Places, Report, Table, bars, decimal, sizes,
};

/// What stands in the box, the largest last.
const PLUGINS: [&str; 4] =
    ["libaudit_sink_print.so", "libaudit_sink_fake.so", "libaudit_sink_file.so", "libaudit_sink_kafka.so"];
/// Of these it is told what a load is made of: the size that most have, and the largest.
const TAKEN_APART: [&str; 2] = [PLUGINS[2], PLUGINS[3]];
/// What a load is made of.
const PARTS: [&str; 3] = ["sha256", "copy", "dlopen"];
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
         process. Its parts are done alone, as the loader does them, each in a fresh process too: SHA-256 of bytes in memory, the \
         copy into sealed memory without the hash, dlopen of such a copy. *Beside these* is the load less these: checks and \
         handshake, and below zero by what a large plugin gains where it is hashed while it is copied. Medians; *noise* is half of the span of the rounds.",
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

    let parts = TAKEN_APART.map(|plugin| PARTS.map(|part| part_of_load(plugin, part)));
    let entrants = [&PLUGINS.map(load), parts.as_flattened()].concat();
    let contest = Contest::run(&entrants, rounds);
    let loads = PLUGINS.map(|plugin| contest.of(plugin));
    let mut table = Table::new(["plugin", "MB", "load ms", "allowed ms", "noise"]);
    for standing in loads {
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
    report.table("Parts of a load", &parts_table(&contest));
    let all = starts.standings.iter().chain(loads);
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
    let over = loads.iter().filter_map(|standing| standing.median(|o| Some(millis(o)? / allowed(o)?)));
    report.goal(Goal::at_most(
        "load against 1 ms + 0.7 ms a MB, the worst plugin",
        "≤ 1",
        1.0,
        over.reduce(f64::max),
        decimal,
    ));
    report.write()
}

/// What a load is made of, and how much the load is beside these parts.
fn parts_table(contest: &Contest) -> Table {
    let mut table = Table::new([
        "plugin",
        "SHA-256 ms",
        "sealed copy ms",
        "dlopen ms",
        "beside these ms",
        "noise of the three",
    ]);
    for plugin in TAKEN_APART {
        let parts = PARTS.map(|part| contest.of(&part_name(plugin, part)));
        let took: Option<Vec<f64>> = parts.iter().map(|part| part.median(millis)).collect();
        let (Some(took), Some(load)) = (took, contest.of(plugin).median(millis)) else {
            let reason = parts.iter().find_map(|part| part.failure.clone());
            table.row([plugin.to_owned(), reason.unwrap_or_default()]);
            continue;
        };
        let rest = load - took.iter().sum::<f64>();
        let shown = took.iter().chain([&rest]).map(|took| decimal(*took));
        let noise = parts.map(|part| part.noise(millis)).join(", ");
        table.row([plugin.to_owned()].into_iter().chain(shown).chain([noise]));
    }
    table
}

fn part_name(plugin: &str, part: &str) -> String {
    format!("{plugin}, {part}")
}

fn part_of_load(plugin: &str, part: &str) -> Entrant {
    of_plugin(&part_name(plugin, part), Case::of("part").with("part", part), plugin)
}

fn load(plugin: &str) -> Entrant {
    of_plugin(plugin, Case::of("load"), plugin)
}

/// One that does something with a plugin, if it is built.
fn of_plugin(name: &str, case: Case, plugin: &str) -> Entrant {
    let entrant = Entrant::own(name, case.with("plugin", plugin)).without_file();
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
