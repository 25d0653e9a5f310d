//! audit-host beside what a user would pick instead.

use std::fs;
use std::io;
use std::path::PathBuf;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Outcome, Places, Report, Standing, Table, bars, count, decimal, nanos,
    sizes::{self, MANY},
    spell_producers,
};

const OURS: &str = "audit-host";
const GENERAL_MANAGER: &str = "general_manager FileAuditLogger (Python)";
/// Name in the table, contender of `audit-bench-peers`, events.
const RUST: [(&str, &str, u64); 5] = [
    ("tracing + tracing-appender", "tracing", USUAL),
    ("slog-async + slog-json", "slog", USUAL),
    ("flexi_logger async", "flexi_logger", USUAL),
    ("spdlog-rs async", "spdlog-rs", MANY),
    ("emit + emit_file", "emit", USUAL),
];
/// Name in the table, program and what it does with lines, of the contender `command`.
const COMMANDS: [(&str, &str, &str); 6] = [
    ("`audit-host run`, JSON checked, written canonical", "audit-host", "parse"),
    ("`audit-host run`, general_manager's own 5,000 lines", "audit-host", "anew"),
    ("rsyslog, lines through", "rsyslog", "pass"),
    ("syslog-ng, lines through", "syslog-ng", "pass"),
    ("rsyslog, JSON parsed and made anew", "rsyslog", "parse"),
    ("syslog-ng, JSON parsed and made anew", "syslog-ng", "parse"),
];
/// What cannot be had, and why.
const ABSENT: [(&str, &str); 3] = [
    ("quill (C++)", "no package of Debian 12 or cargo"),
    ("Fluent Bit", "no package of Debian 12, cargo, pip or npm"),
    ("Vector", "no package of Debian 12, cargo, pip or npm (what bears its name there is something else)"),
];
/// What is not fast enough for `MANY`.
const USUAL: u64 = 1_000_000;
const RATE: u64 = 64_000;

/// `audit-bench peers`.
pub fn run() -> io::Result<()> {
    let mut report = Report::new("peers", "Beside what a user would pick instead");
    report.say(
        "The event of 384 bytes as a line, to a file, without fsync; every peer is given its own id and time as audit-host makes \
         them (which is cheaper than what its user would take), and is set up to lose nothing where it can be. Throughput is from \
         the first call until everything is written, over as many *events* as the column says: the fast ones as many as \
         audit-host, so that what is had once weighs the same; latency is of 192 k calls (Python: 100 k) at 64 k events/s, all \
         producers together, timer included. CPU is the whole process. Every line is counted, every 997th compared with the \
         event. In each round every contender ran once, in a process of its own; medians, and *noise* is half of the span of the \
         rounds' events a second with one producer.",
    );
    let rounds = sizes::rounds();
    report.say_rounds(rounds);
    let libraries = Contest::run(&libraries(), rounds);
    report.table("Libraries", &library_table(&libraries));
    let commands = Contest::run(&commands(), rounds);
    report.say(
        "A program's lines come from memory through a pipe (audit-host, which is timed from its start to its end) or a socket of \
         this machine (the services, whose start and end do not count). syslog-ng 3.38 makes every value a text, and lists one text.",
    );
    report.table("Programs", &command_table(&commands));
    picture(&mut report, &libraries, &commands)?;
    goals(&mut report, &libraries, &commands);
    report.write()
}

/// Everyone's program, or why it is not there.
fn program(names: &[&str]) -> Result<Vec<PathBuf>, String> {
    let places = Places::new();
    let peers = places.file("target/bench/peers");
    names.iter().try_for_each(|name| installed(name))?;
    Ok(match names {
        ["rust"] => vec![places.file("target/bench/release/audit-bench-peers")],
        ["spdlog"] => vec![peers.join("spdlog_async")],
        [_, script] => vec![peers.join("venv/bin/python"), places.file("bench/python").join(script)],
        _ => return Err("it is not set up".into()),
    })
}

/// Whether `bench/install-peers` found it, else why not.
fn installed(name: &str) -> Result<(), String> {
    match fs::read_to_string(Places::new().file("target/bench/peers").join(format!("{name}.missing"))) {
        Ok(reason) => Err(reason.trim().to_owned()),
        Err(_) => Ok(()),
    }
}

fn libraries() -> Vec<Entrant> {
    let mut entrants = Vec::new();
    let mut add = |name: &str, contender: &str, program: Option<Result<Vec<PathBuf>, String>>, usual: u64| {
        for (what, producers) in [("rate", 1), ("rate", 4), ("paced", 1), ("paced", 4)] {
            let case = Case::of(contender).with("producers", producers);
            let case = match what {
                "rate" => case.with("events", sizes::events(usual)),
                _ => case
                    .with("events", sizes::events(usual.min(3 * RATE)))
                    .with("timed", 1)
                    .with("pace", format!("spin:{RATE}")),
            };
            let entrant = Entrant::own(&key(name, what, producers), case);
            entrants.push(match &program {
                Some(program) => entrant.program(program.clone()),
                None => entrant,
            });
        }
    };
    add(OURS, "logger", None, MANY);
    for (name, contender, usual) in RUST {
        add(name, contender, Some(program(&["rust"])), usual);
    }
    add("spdlog async (C++)", "spdlog", Some(program(&["spdlog"])), MANY);
    add(GENERAL_MANAGER, "", Some(program(&["python", "general_manager_file.py"])), USUAL / 10);
    add("logging.QueueHandler (Python)", "", Some(program(&["python", "queue_handler.py"])), USUAL / 10);
    entrants
}

fn commands() -> Vec<Entrant> {
    let entrant = |(name, program, mode)| {
        let usual = if program != OURS && mode == "parse" { MANY / 10 } else { MANY };
        let case = Case::of("command")
            .with("program", program)
            .with("lines", mode)
            .with("input", if mode == "anew" { "real" } else { "measured" })
            .with("events", sizes::events(usual));
        let entrant = Entrant::own(name, case);
        let own = entrant.program.clone();
        entrant.program(installed(program).and(own))
    };
    COMMANDS.into_iter().map(entrant).collect()
}

fn key(name: &str, what: &str, producers: u64) -> String {
    format!("{name}, {what}, {producers}")
}

fn events(outcome: &Outcome) -> Option<f64> {
    Some(outcome.events as f64)
}

fn rate(outcome: &Outcome) -> Option<f64> {
    Some(outcome.rate())
}

fn p50(outcome: &Outcome) -> Option<f64> {
    Some(outcome.latency?.p50 as f64)
}

fn p99(outcome: &Outcome) -> Option<f64> {
    Some(outcome.latency?.p99 as f64)
}

fn names() -> Vec<String> {
    let mut names = vec![OURS.to_owned()];
    names.extend(RUST.map(|(name, ..)| name.to_owned()));
    names.extend(["spdlog async (C++)", GENERAL_MANAGER, "logging.QueueHandler (Python)"].map(str::to_owned));
    names
}

fn library_table(contest: &Contest) -> Table {
    let mut table = Table::new([
        "who",
        "events",
        "events/s, 1",
        "events/s, 4",
        "CPU µs an event, 1",
        "memory MiB, 1 / 4",
        "p50 / p99, 1",
        "p50 / p99, 4",
        "bytes a line",
        "noise",
        "written",
    ]);
    for name in names() {
        let of = |what, producers| contest.of(&key(&name, what, producers));
        if let Some(reason) = &of("rate", 1).failure {
            table.row([name.clone(), reason.clone()]);
            continue;
        }
        let show = |figure: Option<f64>, how: fn(f64) -> String| figure.map_or_else(|| "–".into(), how);
        let peak = |producers| {
            show(of("rate", producers).median(|o| Some(o.peak_kib as f64 / 1024.0)), |m| format!("{m:.0}"))
        };
        let latency = |producers| {
            let standing = of("paced", producers);
            format!("{} / {}", show(standing.median(p50), nanos), show(standing.median(p99), nanos))
        };
        table.row([
            name.clone(),
            show(of("rate", 1).median(events), count),
            show(of("rate", 1).median(rate), count),
            show(of("rate", 4).median(rate), count),
            show(of("rate", 1).median(|outcome| Some(outcome.cpu_micros())), decimal),
            format!("{} / {}", peak(1), peak(4)),
            latency(1),
            latency(4),
            line_bytes(of("rate", 1)),
            of("rate", 1).noise(rate),
            written(&[of("rate", 1), of("rate", 4), of("paced", 1), of("paced", 4)]),
        ]);
    }
    table.row([ABSENT[0].0.to_owned(), ABSENT[0].1.to_owned()]);
    table
}

fn command_table(contest: &Contest) -> Table {
    let mut table = Table::new([
        "program",
        "events",
        "events/s",
        "CPU µs an event",
        "memory MiB",
        "bytes a line",
        "noise",
        "written",
    ]);
    for standing in &contest.standings {
        if let Some(reason) = &standing.failure {
            table.row([standing.name.clone(), reason.clone()]);
            continue;
        }
        let show = |figure: Option<f64>, how: fn(f64) -> String| figure.map_or_else(|| "–".into(), how);
        table.row([
            standing.name.clone(),
            show(standing.median(events), count),
            show(standing.median(rate), count),
            show(standing.median(|outcome| Some(outcome.cpu_micros())), decimal),
            show(standing.median(|o| Some(o.peak_kib as f64 / 1024.0)), |m| format!("{m:.0}")),
            line_bytes(standing),
            standing.noise(rate),
            standing.written(),
        ]);
    }
    for (name, reason) in &ABSENT[1..] {
        table.row([(*name).to_owned(), (*reason).to_owned()]);
    }
    table
}

fn line_bytes(standing: &Standing) -> String {
    let checked = &standing.checked;
    checked.bytes.checked_div(checked.lines).map_or_else(|| "–".into(), |bytes| bytes.to_string())
}

/// What became of the events in all runs of one contender.
fn written(standings: &[&Standing]) -> String {
    let missing: u64 = standings.iter().map(|standing| standing.missing).sum();
    if missing == 0 {
        return standings[0].written();
    }
    let counts: Vec<String> = standings.iter().map(|standing| standing.missing.to_string()).collect();
    format!(
        "**lost {}** (full, 1 / 4; paced, 1 / 4), {}",
        counts.join(" / "),
        standings[0].checked.content.as_str()
    )
}

fn picture(report: &mut Report, libraries: &Contest, commands: &Contest) -> io::Result<()> {
    let mut groups: Vec<Bar> = names()
        .into_iter()
        .map(|name| {
            let of = |producers| libraries.of(&key(&name, "rate", producers)).median(rate);
            Bar { values: vec![of(1), of(4)], label: name }
        })
        .collect();
    groups.extend(
        commands.standings.iter().map(|standing| Bar {
            label: standing.name.replace('`', ""),
            values: vec![standing.median(rate)],
        }),
    );
    report.picture("peers", "Events a second, against peers", |path| {
        bars(path, "events a second, end to end", &["1 producer", "4 producers"], &groups)
    })?;
    let latencies: Vec<Bar> = names()
        .into_iter()
        .map(|name| {
            let standing = libraries.of(&key(&name, "paced", 1));
            Bar { values: vec![standing.median(p50), standing.median(p99)], label: name }
        })
        .collect();
    report.picture("peers-latency", "Latency of a call, against peers", |path| {
        bars(path, "nanoseconds of a call, 1 producer, 64 k events/s", &["p50", "p99"], &latencies)
    })
}

fn goals(report: &mut Report, libraries: &Contest, commands: &Contest) {
    let ratio = |other: &str, producers, what, figure: fn(&Outcome) -> Option<f64>| {
        let of = |name: &str| libraries.of(&key(name, what, producers));
        of(OURS).ratio(of(other), figure)
    };
    let peers = || names().into_iter().skip(1);
    for producers in [1, 4] {
        let least = peers().filter_map(|peer| ratio(&peer, producers, "rate", rate)).reduce(f64::min);
        let what = format!("events/s against the best peer, {}", spell_producers(producers));
        report.goal(Goal::at_least(&what, "≥ 3", 3.0, least, decimal));
    }
    for producers in [1, 4] {
        let what = format!("events/s against general_manager, {}", spell_producers(producers));
        report.goal(Goal::at_least(
            &what,
            "≥ 55",
            55.0,
            ratio(GENERAL_MANAGER, producers, "rate", rate),
            decimal,
        ));
    }
    for (quantile, figure) in [("p50", p50 as fn(&Outcome) -> Option<f64>), ("p99", p99)] {
        for producers in [1, 4] {
            let rust = RUST.iter().filter_map(|(peer, ..)| ratio(peer, producers, "paced", figure));
            let what =
                format!("{quantile} against the best Rust peer, paced, {}", spell_producers(producers));
            report.goal(Goal::at_most(&what, "≤ 0.3", 0.3, rust.reduce(f64::max), decimal));
        }
    }
    let [ours, _, rsyslog, _, parsing @ ..] = COMMANDS.map(|(name, ..)| name);
    report.goal(Goal::at_least(
        "`audit-host run`",
        "≥ 2 M events/s",
        2e6,
        commands.of(ours).median(rate),
        count,
    ));
    let against = |other: &str| commands.of(ours).ratio(commands.of(other), rate);
    report.goal(Goal::at_least(
        "against rsyslog passing lines through",
        "≥ 3",
        3.0,
        against(rsyslog),
        decimal,
    ));
    for other in parsing {
        report.goal(Goal::at_least(&format!("against {other}"), "≥ 20", 20.0, against(other), decimal));
    }
}
