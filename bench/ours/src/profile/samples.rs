//! Samples that `perf` took, counted.

use std::collections::BTreeMap;

use bench_harness::Table;

/// What is shown of a thread, and of a system call.
const MOST: usize = 8;
const MOST_FUNCTIONS: usize = 3;
/// Less than this share of all samples is not shown.
const LEAST: f64 = 0.005;
/// Of frames of the kernel, those that say only that it is one.
const ENTRIES: [&str; 4] = ["entry_SYSCALL_64_after_hwframe", "do_syscall_64", "x64_sys_call", "[unknown]"];

/// Samples of a case, by thread.
#[derive(Default)]
pub struct Samples(BTreeMap<String, Thread>);

/// Samples of all threads of one name.
#[derive(Default)]
struct Thread {
    /// By function.
    user: BTreeMap<String, u64>,
    /// By why it is in the kernel, and function.
    kernel: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A function of a program's own, or a system call, with the largest functions in it.
struct Run<'a> {
    what: String,
    samples: u64,
    mostly: Vec<(&'a String, &'a u64)>,
}

impl Samples {
    /// Adds what `perf script` says: for each sample the thread, then its frames, the innermost first.
    pub fn add(&mut self, script: &str) {
        for sample in script.split("\n\n") {
            let mut lines = sample.lines().map(str::trim).filter(|line| !line.is_empty());
            let Some(name) = lines.next() else { continue };
            let frames: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
            let Some(&(_, function)) = frames.first() else { continue };
            let thread = self.0.entry(name.to_owned()).or_default();
            let kernel: Vec<&str> =
                frames.iter().take_while(|(at, _)| is_kernel(at)).map(|(_, function)| *function).collect();
            let counts = match &*kernel {
                [] => &mut thread.user,
                kernel => thread.kernel.entry(why(kernel)).or_default(),
            };
            *counts.entry(function.to_owned()).or_default() += 1;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().map(Thread::all).sum()
    }

    /// Whether any of them is in the kernel: perf leaves those out, and says nothing, where its user may not see them.
    pub fn see_the_kernel(&self) -> bool {
        self.0.values().any(|thread| !thread.kernel.is_empty())
    }

    /// Threads and what they run, where each sample stands for so many nanoseconds of an event.
    pub fn table(&self, nanos: f64) -> Table {
        let mut table = Table::new(["thread, and what it runs", "share", "ns an event", "mostly"]);
        let share = |samples: u64| samples as f64 / self.count() as f64;
        let cost = |samples: u64| format!("{:.0}", samples as f64 * nanos);
        let percent = |samples| format!("{:.1} %", 100.0 * share(samples));
        for (name, thread) in largest(self.0.iter(), |(_, thread)| thread.all()) {
            let (user, kernel) = (thread.in_user(), thread.in_kernel());
            if share(user + kernel) < LEAST {
                continue;
            }
            let bold = |text: String| format!("**{text}**");
            let both = format!("user {}, kernel {}", percent(user), percent(kernel));
            table.row([bold(name.clone()), bold(percent(user + kernel)), bold(cost(user + kernel)), both]);
            for run in thread.runs().into_iter().take(MOST).filter(|run| share(run.samples) >= LEAST) {
                let mostly: Vec<String> = run
                    .mostly
                    .iter()
                    .filter(|(_, samples)| share(**samples) >= LEAST / 5.0)
                    .map(|(function, samples)| format!("`{function}` {}", percent(**samples)))
                    .collect();
                table.row([run.what, percent(run.samples), cost(run.samples), mostly.join(", ")]);
            }
        }
        table
    }
}

impl Thread {
    /// What it runs, the most first.
    fn runs(&self) -> Vec<Run<'_>> {
        let own = self.user.iter().map(|(function, samples)| Run {
            what: format!("`{function}`"),
            samples: *samples,
            mostly: Vec::new(),
        });
        let calls = self.kernel.iter().map(|(why, functions)| {
            let mut mostly = largest(functions.iter(), |(_, samples)| **samples);
            mostly.truncate(MOST_FUNCTIONS);
            Run { what: format!("kernel: {why}"), samples: functions.values().sum(), mostly }
        });
        largest(own.chain(calls), |run| run.samples)
    }

    fn all(&self) -> u64 {
        self.in_user() + self.in_kernel()
    }

    fn in_user(&self) -> u64 {
        self.user.values().sum()
    }

    fn in_kernel(&self) -> u64 {
        self.kernel.values().flat_map(BTreeMap::values).sum()
    }
}

/// The largest first.
fn largest<T>(all: impl Iterator<Item = T>, samples: impl Fn(&T) -> u64) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(|each| std::cmp::Reverse(samples(each)));
    all
}

fn is_kernel(address: &str) -> bool {
    address.len() == 16 && address.starts_with("ffff")
}

/// Why a thread is in the kernel, to judge by these frames, the innermost first.
fn why(frames: &[&str]) -> String {
    let Some(entry) = frames.iter().rev().find(|frame| !ENTRIES.contains(frame)) else {
        return "entry and exit".into();
    };
    match *entry {
        "asm_exc_page_fault" => "page fault".into(),
        entry if entry.starts_with("asm_") => "interrupt".into(),
        entry => {
            let call = ["__x64_sys_", "__do_sys_", "ksys_", "do_sys_", "vm_", "do_"]
                .iter()
                .find_map(|prefix| entry.strip_prefix(prefix));
            let call = call.unwrap_or(entry);
            call.strip_suffix("_pgoff").unwrap_or(call).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `perf script` has it.
    const SCRIPT: &str = "audit-bench \n\t    7f0000001000 record <impl Store>\n\t    7f0000002000 [unknown]\n\n\
        audit-sink \n\tffffffff81000003 copy\n\tffffffff81000002 do_writev\n\tffffffff81000001 do_syscall_64\n\
        \tffffffff81000000 entry_SYSCALL_64_after_hwframe\n\t    7f0000003000 append\n\n\
        audit-sink \n\tffffffff81000004 clear_page\n\tffffffff81000005 asm_exc_page_fault\n\t    7f0000003000 append\n\n";

    #[test]
    fn a_sample_counts_for_its_function_and_in_the_kernel_for_why_it_is_there() {
        let mut samples = Samples::default();
        samples.add(SCRIPT);
        assert_eq!(samples.count(), 3);
        assert_eq!(samples.0["audit-bench"].user["record <impl Store>"], 1);
        let sink = &samples.0["audit-sink"];
        assert_eq!((sink.in_user(), sink.in_kernel()), (0, 2));
        assert_eq!((sink.kernel["writev"]["copy"], sink.kernel["page fault"]["clear_page"]), (1, 1));
    }

    #[test]
    fn a_system_call_has_the_name_that_programs_know() {
        for frame in ["__x64_sys_mmap", "vm_mmap_pgoff", "ksys_mmap_pgoff"] {
            assert_eq!(why(&["clear_page", frame, "do_syscall_64", ENTRIES[0]]), "mmap");
        }
        assert_eq!(why(&["do_syscall_64", ENTRIES[0]]), "entry and exit");
        assert_eq!(why(&["handle_softirqs", "asm_sysvec_apic_timer_interrupt"]), "interrupt");
    }
}
