//! How fast events reach brokers: `cargo bench -p audit-tests --bench kafka` prints a table.
//!
//! In turn, on the same brokers, with the same properties, payloads and keys: the sink through the host, loops over bare
//! librdkafka, rdkafka's own producer, and `rdkafka_performance`, librdkafka's own benchmark, which is compiled from the
//! source that comes with the crate. A run lasts from the first message to the last delivery report; the table has medians
//! over all rounds; its ratios are to the first line, and its CPU time is that of an event in this process (with the mock,
//! where that is used) and its children. With `AUDIT_KAFKA=real` the brokers are Apache Kafka, else librdkafka's mock in this process.
//! `AUDIT_KAFKA_ROUNDS` and `AUDIT_KAFKA_MESSAGES` change the number of rounds and messages.

#[path = "bench/bare.rs"]
mod bare;
#[allow(dead_code)]
mod cluster;
#[path = "bench/contenders.rs"]
mod contenders;
#[allow(dead_code)]
mod mock;
#[path = "bench/performance.rs"]
mod performance;
#[allow(dead_code)]
mod real;

use cluster::Cluster;
use contenders::{CONTENDERS, Load};

const TOPIC: &str = "permission-events";

fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let rounds = number("AUDIT_KAFKA_ROUNDS", 5).max(1);
    let messages = number("AUDIT_KAFKA_MESSAGES", 500_000);
    let performance = performance::build();
    for partitions in [1, 3] {
        let cluster = Cluster::start(1);
        cluster.create_topic(TOPIC, partitions);
        let load = Load::new(cluster.servers(), messages, performance.clone());
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); CONTENDERS.len()];
        let mut costs: Vec<Vec<f64>> = vec![Vec::new(); CONTENDERS.len()];
        for round in 0..=rounds {
            for (index, (_, run)) in CONTENDERS.iter().enumerate() {
                let before = cpu_seconds();
                let rate = messages as f64 / run(&load).as_secs_f64();
                let cost = (cpu_seconds() - before) * 1e6 / messages as f64;
                // The first round warms brokers and caches up.
                if round > 0 {
                    rates[index].push(rate);
                    costs[index].push(cost);
                }
            }
        }
        let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
        let one_minute = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "{partitions} partition(s), {messages} messages of {} bytes, medians of {rounds} rounds, load {}",
            load.payload_bytes(),
            one_minute.split(' ').next().unwrap_or("?")
        );
        println!("  {:<52} {:>10} {:>21} {:>6} {:>8}", "", "events/s", "least to most", "ratio", "CPU µs");
        for (index, (name, _)) in CONTENDERS.iter().enumerate() {
            let (least, most) = (rates[index][0], rates[index][rates[index].len() - 1]);
            println!(
                "  {name:<52} {:>10.0} {:>21} {:>6.2} {:>8.2}",
                medians[index],
                format!("{least:.0} to {most:.0}"),
                medians[index] / medians[0],
                median(&mut costs[index])
            );
        }
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Processor time of this process and its children so far.
fn cpu_seconds() -> f64 {
    let mut sum = 0.0;
    for who in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: there is a place for the answer, which is whole when the call succeeds.
        let usage = unsafe {
            assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
            usage.assume_init()
        };
        for time in [usage.ru_utime, usage.ru_stime] {
            sum += time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        }
    }
    sum
}
