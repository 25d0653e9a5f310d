//! How long a caller waits in `record()`.

use std::io;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Latency, Outcome, Report, Standing, Table, bars, decimal, nanos, sizes,
};

/// Events a second of the paced rows, all producers together.
const RATE: u64 = 64_000;
const PRODUCERS: [u64; 3] = [1, 2, 4];
const TIMER: &str = "timer alone";
/// Who is measured: the name, the contender, the durability.
const WHO: [(&str, &str, &str); 5] = [
    ("memory", "logger", "memory"),
    ("process", "logger", "process"),
    ("disk", "logger", "disk"),
    ("floor", "floor", ""),
    (TIMER, "clock", ""),
];

/// `audit-bench latency`.
pub fn run() -> io::Result<()> {
    let mut report = Report::new("latency", "How long `record()` takes");
    let rounds = sizes::rounds();
    let contest = Contest::run(&entrants(), rounds);
    report.say(&format!(
        "The file sink, loaded as a `.so`; the event of 384 bytes, and where it says *real* the 5,000 events of general_manager \
         in turn. Each call is timed by the processor's counter and kept in an HDR histogram of three digits; what the timer \
         takes is in every figure, and stands in its own row. The *floor* reads the clock, makes an id and copies the fields \
         into a touched buffer. Paced is {RATE} events a second, all producers together, each at its own moment (`disk`: \
         saturated only, since each call waits for the disk). Saturated, a call waits when the store is full. The counter of some \
         processors moves in steps (10 ns on AMD's): p50 is one of them, *mean to p99*, of all calls but the slowest \
         hundredth, lies between. Medians of the rounds, in each of which every row ran once in a process \
         of its own; *noise* is half of the span of the rounds' p50."
    ));
    report.say_rounds(rounds);
    for (heading, pace) in [("Paced", "paced"), ("Saturated", "full")] {
        report.table(heading, &table(&contest, pace));
    }
    picture(&mut report, &contest)?;
    goals(&mut report, &contest);
    report.write()
}

fn name(who: &str, pace: &str, producers: u64) -> String {
    format!("{who}, {pace}, {producers}")
}

fn entrants() -> Vec<Entrant> {
    let mut entrants = Vec::new();
    for producers in PRODUCERS {
        for (who, contender, mode) in WHO {
            let case = Case::of(contender).with("timed", 1).with("producers", producers);
            let case = if mode.is_empty() { case } else { case.with("mode", mode) };
            let events = sizes::events(if mode == "disk" { 10_000 } else { 1_000_000 });
            let full = case.clone().with("events", events);
            let paced = case.with("pace", format!("spin:{RATE}")).with("events", sizes::events(5 * RATE));
            let mut cases = vec![("full", full)];
            if mode != "disk" {
                cases.push(("paced", paced));
            }
            for (pace, case) in cases {
                let entrant = Entrant::own(&name(who, pace, producers), case);
                entrants.push(if mode.is_empty() { entrant.without_file() } else { entrant });
            }
        }
    }
    let real = Case::of("logger").with("timed", 1).with("input", "real");
    let paced = real.with("pace", format!("spin:{RATE}")).with("events", sizes::events(5 * RATE));
    entrants.push(Entrant::own(&name("memory, real", "paced", 1), paced));
    entrants
}

fn table(contest: &Contest, pace: &str) -> Table {
    let mut table =
        Table::new(["who", "producers", "p50", "p99", "p99.9", "max", "mean to p99", "noise", "written"]);
    for producers in PRODUCERS {
        for who in WHO.iter().map(|(who, ..)| *who).chain(["memory, real"]) {
            let name = name(who, pace, producers);
            let Some(standing) = contest.find(&name) else { continue };
            let mut cells = vec![who.to_owned(), producers.to_string()];
            match &standing.failure {
                Some(reason) => cells.push(reason.clone()),
                None => {
                    cells.extend(QUANTILES.map(|(_, of)| show(at(standing, of))));
                    cells.push(
                        standing.median(mean).map_or_else(|| "–".into(), |mean| format!("{mean:.1} ns")),
                    );
                    cells.push(standing.noise(|outcome| Some(outcome.latency?.p50 as f64)));
                    cells.push(standing.written());
                }
            }
            table.row(cells);
        }
    }
    table
}

type Quantile = fn(&Latency) -> u64;
const QUANTILES: [(&str, Quantile); 4] =
    [("p50", |l| l.p50), ("p99", |l| l.p99), ("p99.9", |l| l.p999), ("max", |l| l.max)];

fn figure(of: Quantile) -> impl Fn(&Outcome) -> Option<f64> + Copy {
    move |outcome| Some(of(outcome.latency.as_ref()?) as f64)
}

fn mean(outcome: &Outcome) -> Option<f64> {
    Some(outcome.latency?.mean_to_p99)
}

fn at(standing: &Standing, of: Quantile) -> Option<f64> {
    standing.median(figure(of))
}

fn show(nanoseconds: Option<f64>) -> String {
    nanoseconds.map_or_else(|| "–".into(), nanos)
}

fn picture(report: &mut Report, contest: &Contest) -> io::Result<()> {
    let groups: Vec<Bar> = ["paced", "full"]
        .into_iter()
        .flat_map(|pace| {
            WHO.iter().flat_map(move |(who, ..)| PRODUCERS.map(|producers| name(who, pace, producers)))
        })
        .filter_map(|name| contest.find(&name))
        .filter(|standing| !standing.name.starts_with(TIMER))
        .map(|standing| Bar {
            label: standing.name.clone(),
            values: QUANTILES[..3].iter().map(|(_, of)| at(standing, *of)).collect(),
        })
        .collect();
    report.picture("latency", "Quantiles of record()", |path| {
        bars(
            path,
            "nanoseconds in record(), by durability, pace and producers",
            &["p50", "p99", "p99.9"],
            &groups,
        )
    })
}

fn goals(report: &mut Report, contest: &Contest) {
    let [p50, p99, p999, _] = QUANTILES.map(|(_, of)| of);
    let paced = |who, producers| contest.of(&name(who, "paced", producers));
    let memory = |of, producers| at(paced("memory", producers), of);
    let against = |who, other| paced(who, 1).ratio(paced(other, 1), figure(p50));
    report.goal(Goal::at_most("p50, memory, paced, 1 producer", "≤ 110 ns", 110.0, memory(p50, 1), nanos));
    report.goal(Goal::at_most(
        "the same against the floor",
        "≤ 1.5",
        1.5,
        against("memory", "floor"),
        decimal,
    ));
    report.goal(Goal::at_most("p99, memory, paced, 1 producer", "≤ 650 ns", 650.0, memory(p99, 1), nanos));
    report.goal(Goal::at_most("p99, memory, paced, 4 producers", "≤ 900 ns", 900.0, memory(p99, 4), nanos));
    report.goal(Goal::at_most(
        "p99.9, memory, paced, 1 producer",
        "≤ 2.5 µs",
        2_500.0,
        memory(p999, 1),
        nanos,
    ));
    report.goal(Goal::at_most(
        "p99.9, memory, paced, 4 producers",
        "≤ 2.5 µs",
        2_500.0,
        memory(p999, 4),
        nanos,
    ));
    report.goal(Goal::at_most(
        "mean to p99, process against memory",
        "≤ 1.25",
        1.25,
        paced("process", 1).ratio(paced("memory", 1), mean),
        decimal,
    ));
    report.goal(Goal::at_most(
        "p50, process against memory",
        "≤ 1.25",
        1.25,
        against("process", "memory"),
        decimal,
    ));
}
