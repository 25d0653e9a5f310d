//! How fast events reach a sink, and what that costs.

use std::io;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Outcome, Report, Standing, Table, bars, count, decimal, lines,
    sizes::{self, MANY},
    spell_producers,
};

const USUAL: u64 = 1_000_000;
/// Events a second where the share of a core is measured.
const RATE: u64 = 64_000;
/// What memory may be on top of `capacity_bytes`, and `capacity_bytes`, in MiB.
const MEMORY: f64 = 64.0 + 16.0;
/// `spool_max_bytes` that is as much room as memory mode has.
const CAPACITY: u64 = 64 << 20;
/// Rows with that.
const LIKE_MEMORY: &str = "process, 64 MiB of room";

/// `audit-bench throughput`.
pub fn run() -> io::Result<()> {
    let mut report = Report::new("throughput", "Events a second, and what they cost");
    report.say(
        "From the first `record()` until `close()` has returned, everything delivered; the event of 384 bytes, *real*: the \
         5,000 events of general_manager in turn. CPU is that of the whole process, callers included; memory the most that it \
         had resident, program and mapped files included. Sinks are loaded as `.so` files; `fsync` is off. Every row ran once \
         a round in a process of its own; every line is counted, every 997th compared. Medians; *noise* is half of the span of \
         the rounds' events a second. In memory mode there is room for 64 MiB of events, and callers wait when it is full; the \
         spool has 1 GiB: callers wait later, and what they are ahead is written to pages that were never used before. In rows \
         that say *64 MiB of room* `spool_max_bytes` is that.",
    );
    let sections = [("Sinks", sinks()), ("Batch sizes", batches()), ("Durability", durability())];
    let all: Vec<Entrant> = sections.iter().flat_map(|(_, entrants)| entrants.clone()).collect();
    let rounds = sizes::rounds();
    report.say_rounds(rounds);
    let contest = Contest::run(&all, rounds);
    for (heading, entrants) in &sections {
        report.table(heading, &table(entrants.iter().map(|entrant| contest.of(&entrant.name))));
    }
    report.picture("throughput", "Events a second", |path| {
        bars(
            path,
            "events a second, end to end",
            &["events/s"],
            &contest.standings.iter().map(bar).collect::<Vec<_>>(),
        )
    })?;
    let growing = growing(&mut report)?;
    let quiet = quiet(&mut report);
    goals(&mut report, &contest, &growing, &quiet);
    report.write()
}

fn logger(events: u64, producers: u64) -> Case {
    Case::of("logger").with("events", sizes::events(events)).with("producers", producers)
}

fn sinks() -> Vec<Entrant> {
    let mut entrants: Vec<Entrant> = [1, 2, 4]
        .map(|producers| Entrant::own(&format!("file, {producers}"), logger(MANY, producers)))
        .into();
    entrants.push(Entrant::own("file, real, 1", logger(USUAL, 1).with("input", "real")));
    for producers in [1, 4] {
        let print = logger(USUAL, producers).with("sink", "print").with("stderr", "null");
        entrants.push(Entrant::own(&format!("print to /dev/null, {producers}"), print).without_file());
        let fake = logger(USUAL / 10, producers).with("sink", "fake");
        entrants.push(Entrant::own(&format!("fake (keeps all), {producers}"), fake).without_file());
    }
    let other = |contender| Case::of(contender).with("events", sizes::events(MANY));
    entrants.push(Entrant::own("file linked in, 1", other("linked")));
    entrants.push(Entrant::own("floor: frames, lines, write(2)", other("frames")));
    entrants
}

fn batches() -> Vec<Entrant> {
    let sizes = [1, 10, 100, 1_000, 10_000];
    let case = |batch, producers| {
        let events = if batch == 1 { USUAL / 10 } else { USUAL };
        Entrant::own(
            &format!("batch_size {batch}, {producers}"),
            logger(events, producers).with("batch", batch),
        )
    };
    sizes.into_iter().flat_map(|batch| [case(batch, 1), case(batch, 4)]).collect()
}

fn durability() -> Vec<Entrant> {
    let case = |name: &str, mode: &'static str, events, room: u64| {
        [1, 2, 4].map(|producers| {
            let case = logger(events, producers).with("mode", mode).with("room", room);
            Entrant::own(&format!("{name}, {producers}"), case)
        })
    };
    [
        case(LIKE_MEMORY, "process", MANY, CAPACITY),
        case("process", "process", MANY, 1 << 30),
        case("disk", "disk", USUAL / 50, 1 << 30),
    ]
    .concat()
}

fn rate(outcome: &Outcome) -> Option<f64> {
    Some(outcome.rate())
}

fn cpu(outcome: &Outcome) -> Option<f64> {
    Some(outcome.cpu_micros())
}

fn peak(outcome: &Outcome) -> Option<f64> {
    Some(outcome.peak_kib as f64 / 1024.0)
}

fn table<'a>(standings: impl Iterator<Item = &'a Standing>) -> Table {
    let mut table =
        Table::new(["what, producers", "events/s", "CPU s per M events", "memory MiB", "noise", "written"]);
    for standing in standings {
        table.row(match &standing.failure {
            Some(reason) => vec![standing.name.clone(), reason.clone()],
            None => vec![
                standing.name.clone(),
                show(standing.median(rate), count),
                show(standing.median(cpu), decimal),
                show(standing.median(peak), |mebibytes| format!("{mebibytes:.0}")),
                standing.noise(rate),
                match standing.checked.lines {
                    0 => delivered(standing),
                    _ => standing.written(),
                },
            ],
        });
    }
    table
}

/// What a sink without a file says it delivered.
fn delivered(standing: &Standing) -> String {
    match standing.outcomes.iter().all(|outcome| outcome.delivered == Some(outcome.events)) {
        true => "all delivered".into(),
        false => "**not all delivered**".into(),
    }
}

fn show(figure: Option<f64>, how: fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".into(), how)
}

fn bar(standing: &Standing) -> Bar {
    Bar { label: standing.name.clone(), values: vec![standing.median(rate)] }
}

/// The cost of 10^4 to 10^7 events, or `BENCH_LARGEST`, into a file that rotates, so that it fits into memory.
fn growing(report: &mut Report) -> io::Result<Contest> {
    let largest =
        std::env::var("BENCH_LARGEST").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let counts = (4..).map(|power| 10_u64.pow(power)).take_while(|events| *events <= sizes::events(largest));
    let entrants: Vec<Entrant> = counts
        .map(|events| {
            let case = Case::of("logger").with("events", events).with("max_bytes", 256 << 20);
            Entrant::own(&format!("{} events", count(events as f64)), case).without_file()
        })
        .collect();
    let contest = Contest::run(&entrants, sizes::rounds().min(3));
    report.table(
        "Cost of many events (1 producer, a file that rotates at 256 MiB)",
        &table(contest.standings.iter()),
    );
    let points = |figure: fn(&Outcome) -> f64| -> Vec<(f64, f64)> {
        let all = contest.standings.iter();
        all.filter_map(|standing| {
            let events = standing.median(|outcome| Some(outcome.events as f64))?;
            Some((events, standing.median(|outcome| Some(figure(outcome)))?))
        })
        .collect()
    };
    report.picture("linear", "Cost of many events", |path| {
        let series = [
            ("seconds", points(|outcome| outcome.seconds)),
            ("CPU seconds", points(|outcome| outcome.cpu_seconds)),
        ];
        lines(path, ("events", "seconds"), &series)
    })?;
    Ok(contest)
}

/// What a logger costs that has nothing or little to do.
fn quiet(report: &mut Report) -> Contest {
    let paced = |contender| {
        let events = sizes::events(3 * RATE);
        Case::of(contender).with("events", events).with("pace", format!("sleep:{RATE}"))
    };
    let entrants = [
        Entrant::own("idle", Case::of("idle")).without_file(),
        Entrant::own("64 k events/s", paced("logger")),
        Entrant::own("its callers alone", paced("clock")).without_file(),
    ];
    let contest = Contest::run(&entrants, sizes::rounds().min(3));
    let mut table = Table::new(["what", "share of a core", "memory MiB"]);
    for standing in &contest.standings {
        table.row([
            standing.name.clone(),
            show(standing.median(share), percent),
            show(standing.median(peak), |m| format!("{m:.0}")),
        ]);
    }
    report.table("Little to do (callers wake each millisecond)", &table);
    contest
}

fn share(outcome: &Outcome) -> Option<f64> {
    Some(outcome.cpu_seconds / outcome.seconds * 100.0)
}

fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

fn goals(report: &mut Report, contest: &Contest, growing: &Contest, quiet: &Contest) {
    let of = |name: &str| contest.of(name);
    let ratio = |one: &str, other: &str| of(one).ratio(of(other), rate);
    report.goal(Goal::at_least(
        "file, 1 producer",
        "≥ 3.5 M events/s",
        3.5e6,
        of("file, 1").median(rate),
        count,
    ));
    report.goal(Goal::at_least(
        "file, 4 producers",
        "≥ 4 M events/s",
        4e6,
        of("file, 4").median(rate),
        count,
    ));
    report.goal(Goal::at_most(
        "CPU, file, 1 producer",
        "≤ 0.45 µs an event",
        0.45,
        of("file, 1").median(cpu),
        decimal,
    ));
    report.goal(Goal::at_most(
        "CPU, file, 4 producers",
        "≤ 0.45 µs an event",
        0.45,
        of("file, 4").median(cpu),
        decimal,
    ));
    report.goal(Goal::at_most(
        "time of the `.so` against linked in",
        "≤ 1.01",
        1.01,
        ratio("file linked in, 1", "file, 1"),
        decimal,
    ));
    for (room, name) in [("as much room", LIKE_MEMORY), ("1 GiB of room", "process")] {
        for producers in [1, 4] {
            report.goal(Goal::at_least(
                &format!("`process` with {room} against memory, {}", spell_producers(producers)),
                "≥ 0.85",
                0.85,
                ratio(&format!("{name}, {producers}"), &format!("file, {producers}")),
                decimal,
            ));
        }
    }
    let memory =
        [of("file, 1"), of("file, 4"), of("print to /dev/null, 4")].map(|standing| standing.median(peak));
    let memory = memory.into_iter().chain(growing.standings.iter().map(|standing| standing.median(peak)));
    let most = memory.flatten().reduce(f64::max);
    report.goal(Goal::at_most(
        "memory in memory mode",
        "≤ capacity_bytes + 16 MiB = 80 MiB",
        MEMORY,
        most,
        decimal,
    ));
    let (first, last) = (growing.standings.get(1), growing.standings.last());
    let per_event = |standing: Option<&Standing>| standing.and_then(|standing| standing.median(cpu));
    let linear = per_event(last).zip(per_event(first)).map(|(last, first)| last / first);
    report.goal(Goal::at_most(
        "CPU an event, most events against 10^5",
        "linear (≤ 1.1)",
        1.1,
        linear,
        decimal,
    ));
    report.goal(Goal::at_most(
        "idle, of a core",
        "nothing (≤ 0.01 %)",
        0.01,
        quiet.of("idle").median(share),
        percent,
    ));
    let (all, callers) =
        (quiet.of("64 k events/s").median(share), quiet.of("its callers alone").median(share));
    let own = all.zip(callers).map(|(all, callers)| all - callers);
    report.goal(Goal::at_most(
        "64 k events/s, without its callers' waking",
        "≤ 5 % of a core",
        5.0,
        own,
        percent,
    ));
}
