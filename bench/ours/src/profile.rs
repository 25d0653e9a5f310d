//! Where the time of the processor goes, by `perf`.

mod samples;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bench_harness::{
    Case, Contest, Entrant, Outcome, Places, Report, Table, count, decimal,
    sizes::{self, MANY},
};

use samples::Samples;

/// Samples a second of each core.
const HERTZ: u64 = 4999;
const NO_KERNEL: &str = "perf saw nothing of the kernel: be root, or set kernel.perf_event_paranoid to 1 and \
     kernel.kptr_restrict to 0";

/// `audit-bench profile`.
pub fn run() -> io::Result<()> {
    let perf = Perf::find()?;
    let mut report = Report::new("profile", "Where the time goes");
    report.say(
        "Samples of the processor's time (`perf record -e cpu-clock`), opening and closing included; shares are of all samples of \
         the case, *ns an event* is that share of its CPU time. `audit-bench` are the threads that record. *kernel* with a system \
         call is all that the kernel does in it, *mostly* in which of its functions; what it does with interrupts turned off is \
         counted where it turns them on again. A function that the compiler has put into another is counted as the other. Shares \
         below half a per cent are left out.",
    );
    let rounds = sizes::rounds();
    report.say_rounds(rounds);
    let mut profiles = cases().map(|(name, case)| (perf.entrant(name, case), Samples::default(), Vec::new()));
    for _ in 0..rounds {
        for (entrant, samples, outcomes) in &mut profiles {
            let contest = Contest::run(std::slice::from_ref(entrant), 1);
            let standing = contest.of(&entrant.name);
            if let Some(reason) = &standing.failure {
                return Err(io::Error::other(format!("{}: {reason}", entrant.name)));
            }
            samples.add(&perf.script(&entrant.name)?);
            if !samples.see_the_kernel() {
                return Err(io::Error::other(NO_KERNEL));
            }
            outcomes.extend(standing.outcomes.clone());
        }
    }
    let mut table =
        Table::new(["case", "events", "events/s while it is recorded", "CPU µs an event", "samples"]);
    for (entrant, samples, outcomes) in &profiles {
        let sum = |figure: fn(&Outcome) -> f64| outcomes.iter().map(figure).sum::<f64>();
        let events = sum(|outcome| outcome.events as f64);
        table.row([
            entrant.name.clone(),
            count(entrant.case.events() as f64),
            count(events / sum(|outcome| outcome.seconds)),
            decimal(sum(|outcome| outcome.cpu_seconds) * 1e6 / events),
            samples.count().to_string(),
        ]);
    }
    report.table("Cases", &table);
    for (entrant, samples, outcomes) in &profiles {
        let events: u64 = outcomes.iter().map(|outcome| outcome.events).sum();
        report.table(&entrant.name, &samples.table(1e9 / HERTZ as f64 / events as f64));
    }
    report.write()
}

/// Cases of `throughput` and `floor`.
fn cases() -> [(&'static str, Case); 5] {
    let logger = |events, producers: u64| {
        Case::of("logger").with("events", sizes::events(events)).with("producers", producers)
    };
    let spooled = |room: u64| logger(MANY, 1).with("mode", "process").with("room", room);
    [
        ("file, 1 producer", logger(MANY, 1)),
        ("file, 4 producers", logger(MANY, 4)),
        ("process, 64 MiB of room, 1 producer", spooled(64 << 20)),
        ("process, 1 GiB of room, 1 producer", spooled(1 << 30)),
        ("disk, 32 producers", logger(MANY / 20, 32).with("mode", "disk")),
    ]
}

/// The program, and the folder where it keeps what it recorded.
struct Perf {
    folder: PathBuf,
}

impl Perf {
    fn find() -> io::Result<Self> {
        let folder = Places::new().file("target/bench/profile");
        fs::create_dir_all(&folder)?;
        let perf = Self { folder };
        // The sink is loaded from memory, where its symbols are not found: its file is known by its build id.
        let sink = Places::new().built().join("libaudit_sink_file.so");
        let known = perf.command().args(["buildid-cache", "--add"]).arg(sink).status();
        known.map_err(|_| io::Error::other("there is no perf (Debian: apt-get install linux-perf)"))?;
        Ok(perf)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("perf");
        command.arg("--buildid-dir").arg(self.folder.join("buildid")).stdin(Stdio::null());
        command
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name.replace([' ', ','], "")).with_extension("data")
    }

    /// The case, recorded.
    fn entrant(&self, name: &str, case: Case) -> Entrant {
        let entrant = Entrant::own(name, case);
        let own = entrant.program.clone();
        let hertz = HERTZ.to_string();
        let words =
            ["perf", "record", "-q", "-N", "--buildid-mmap", "-g", "-e", "cpu-clock", "-F", &hertz, "-o"];
        let perf = words.map(PathBuf::from).into_iter().chain([self.data(name), "--".into()]);
        entrant.program(own.map(|own| perf.chain(own).collect()))
    }

    /// Its samples as text: for each the thread, then its frames, the innermost first.
    fn script(&self, name: &str) -> io::Result<String> {
        let mut command = self.command();
        command.args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(self.data(name));
        let output = command.stderr(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("perf script ended with {}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
