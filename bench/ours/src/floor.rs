//! What nobody can go below: copies, system calls, JSON, channels, the disk; and audit-host beside them.

use std::io;

use bench_harness::{
    Bar, Case, Contest, Entrant, Goal, Outcome, Report, Standing, Table, bars, count, decimal, sizes,
    spell_producers,
};

const USUAL: u64 = 1_000_000;
/// Callers of `durability = "disk"`, each of which waits for its event: so many can share a sync.
const GROUPS: [u64; 3] = [1, 4, 32];

/// `audit-bench floor`.
pub fn run() -> io::Result<()> {
    let mut report = Report::new("floor", "The floor");
    report.say(
        "What a call, a copy or the disk costs alone, by one thread without a queue, on the same bytes as audit-host, in the \
         same rounds. *JSON* is serde_json of the same struct with the same id and time; *frames and lines* is what audit-host \
         does between the caller and the file, without its queue; *hop* is a number through a bounded channel to a thread that \
         throws it away. *Threads that share an fdatasync* are a sketch of group commit and nothing else: each puts its line into \
         a buffer under a mutex and sleeps until the one thread that syncs has brought it to the disk. *Events a flush* are those \
         against the flushes that the disk counts, which are for whoever syncs: only a quiet machine's mean anything. Medians; \
         *noise* is half of the span of the rounds.",
    );
    let rounds = sizes::rounds();
    report.say_rounds(rounds);
    let (fast, durable) = (entrants(), durable());
    let contest = Contest::run(&[fast.clone(), durable.clone()].concat(), rounds);
    let mut table = Table::new(["what", "ns an event", "events/s", "noise", "written"]);
    for standing in fast.iter().map(|entrant| contest.of(&entrant.name)) {
        table.row(row(standing, vec![standing.noise(rate), standing.written()]));
    }
    report.table("Figures", &table);
    let mut table = Table::new(["what", "ns an event", "events/s", "events a flush", "noise", "written"]);
    for standing in durable.iter().map(|entrant| contest.of(&entrant.name)) {
        let flushed = show(standing.median(events_a_flush), |events| format!("{events:.1}"));
        table.row(row(standing, vec![flushed, standing.noise(rate), standing.written()]));
    }
    report.table("The disk", &table);
    report.table("Group commit, events/s against each other", &shares(&contest));
    let groups: Vec<Bar> = contest
        .standings
        .iter()
        .map(|standing| Bar { label: standing.name.clone(), values: vec![standing.median(rate)] })
        .collect();
    report
        .picture("floor", "Events a second", |path| bars(path, "events a second", &["events/s"], &groups))?;
    goals(&mut report, &contest);
    report.write()
}

fn entrants() -> Vec<Entrant> {
    let case = |contender| Case::of(contender).with("events", sizes::events(USUAL));
    vec![
        Entrant::own("copy of the line", case("copied").with("write", 0)).without_file(),
        Entrant::own("copy and write(2)", case("copied")).without_file(),
        Entrant::own("JSON and write(2)", case("serde")),
        Entrant::own("frames and lines and write(2)", case("frames")),
        Entrant::own("audit-host, 1 producer", case("logger")),
        Entrant::own("audit-host, 4 producers", case("logger").with("producers", 4)),
        Entrant::own("hop, crossbeam", case("hop").with("channel", "crossbeam")).without_file(),
        Entrant::own("hop, std", case("hop").with("channel", "std")).without_file(),
    ]
}

fn durable() -> Vec<Entrant> {
    let entrants = GROUPS.map(|group| {
        let case = |contender| Case::of(contender).with("events", sizes::events(5_000 * group.min(8)));
        let of_many = |contender| case(contender).with("producers", group);
        [
            Entrant::own(&synced_name(group), case("synced").with("group", group)).without_file(),
            Entrant::own(&shared_name(group), of_many("shared")).without_file(),
            Entrant::own(&disk_name(group), of_many("logger").with("mode", "disk")),
        ]
    });
    entrants.into_iter().flatten().collect()
}

fn synced_name(group: u64) -> String {
    format!("fdatasync for each {group}")
}

fn shared_name(group: u64) -> String {
    format!("threads that share an fdatasync, {group}")
}

fn disk_name(group: u64) -> String {
    format!("audit-host, disk, {}", spell_producers(group))
}

fn rate(outcome: &Outcome) -> Option<f64> {
    Some(outcome.rate())
}

fn events_a_flush(outcome: &Outcome) -> Option<f64> {
    outcome.flushes.filter(|flushes| *flushes > 0).map(|flushes| outcome.events as f64 / flushes as f64)
}

/// A row: what it is and its speed, and more.
fn row(standing: &Standing, more: Vec<String>) -> Vec<String> {
    let mut cells = vec![standing.name.clone()];
    match &standing.failure {
        Some(reason) => cells.push(reason.clone()),
        None => {
            cells.push(show(standing.median(|outcome| Some(1e9 / outcome.rate())), |ns| format!("{ns:.0}")));
            cells.push(show(standing.median(rate), count));
            cells.extend(more);
        }
    }
    cells
}

/// How much of the distance between audit-host and the disk is the sketch's too.
fn shares(contest: &Contest) -> Table {
    let mut table = Table::new(["callers", "sketch / fdatasync alone", "audit-host / sketch"]);
    for group in GROUPS {
        let [disk, sketch, ours] =
            [synced_name(group), shared_name(group), disk_name(group)].map(|name| contest.of(&name));
        let ratio = |one: &Standing, other| show(one.ratio(other, rate), decimal);
        table.row([group.to_string(), ratio(sketch, disk), ratio(ours, sketch)]);
    }
    table
}

fn show(figure: Option<f64>, how: fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".into(), how)
}

fn goals(report: &mut Report, contest: &Contest) {
    let against = |one: &str, other: &str| contest.of(one).ratio(contest.of(other), rate);
    for (what, floor) in
        [("JSON by serde_json", "JSON and write(2)"), ("its own lines", "frames and lines and write(2)")]
    {
        for producers in ["1 producer", "4 producers"] {
            let ratio = against(&format!("audit-host, {producers}"), floor);
            report.goal(Goal::at_least(
                &format!("against {what} and `write(2)`, {producers}"),
                "≥ 0.7",
                0.7,
                ratio,
                decimal,
            ));
        }
    }
    for group in GROUPS {
        let ratio = against(&disk_name(group), &synced_name(group));
        report.goal(Goal::at_least(
            &format!("`disk` against fdatasync for each {group}"),
            "≥ 0.9",
            0.9,
            ratio,
            decimal,
        ));
    }
}
