//! How fast events reach brokers: `cargo bench -p audit-tests --bench kafka` prints a table.
//!
//! In turn, on the same brokers, with the same properties, payloads and keys: the sink through the host and alone, loops over
//! bare librdkafka, and `rdkafka_performance`, librdkafka's own benchmark, which is compiled from the source that comes with
//! the crate. Rows are grouped by what their messages carry beside the payload. A run lasts from the first message to the last
//! delivery report; the table has medians over all rounds. Ratios are taken within each round, since what else the machine
//! does hits a round as a whole, and are to the first row of the group. With `AUDIT_KAFKA=real` the brokers are Apache Kafka,
//! else librdkafka's mock in this process. `AUDIT_KAFKA_ROUNDS` and `AUDIT_KAFKA_MESSAGES` change the number of rounds and
//! messages; numbers of rows as arguments (`-- 0 1`), and `AUDIT_KAFKA_PARTITIONS`, measure only these.

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
use contenders::{CONTENDERS, Contender, Load, Run};

const TOPIC: &str = "permission-events";

fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let rounds = number("AUDIT_KAFKA_ROUNDS", 5).max(1);
    let messages = number("AUDIT_KAFKA_MESSAGES", 500_000);
    // Cargo adds `--bench`.
    let wanted: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let rows: Vec<usize> =
        (0..CONTENDERS.len()).filter(|row| wanted.is_empty() || wanted.contains(row)).collect();
    let performance = performance::build();
    let partitions = number("AUDIT_KAFKA_PARTITIONS", 0) as i32;
    let topics = if partitions > 0 { vec![partitions] } else { vec![1, 3] };
    for partitions in topics {
        let cluster = Cluster::start(1);
        cluster.create_topic(TOPIC, partitions);
        let load = Load::new(cluster.servers(), messages, performance.clone());
        let rate = |run: Run| messages as f64 / run.took.as_secs_f64();
        let mut measured: Vec<Vec<Run>> = vec![Vec::new(); CONTENDERS.len()];
        for round in 0..=rounds {
            for &row in &rows {
                let run = (CONTENDERS[row].run)(&load, CONTENDERS[row].shape);
                // The first round warms brokers and caches up.
                if round > 0 {
                    measured[row].push(run);
                }
            }
        }
        let one_minute = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "{partitions} partition(s), {messages} messages of {} bytes, medians of {rounds} rounds, load {}",
            load.payload_bytes(),
            one_minute.split(' ').next().unwrap_or("?")
        );
        println!(
            "     {:<52} {:>10} {:>21} {:>8} {:>12} {:>21}",
            "", "events/s", "least to most", "CPU µs", "of row", "least to most"
        );
        for &row in &rows {
            let Contender { name, shape, against, .. } = CONTENDERS[row];
            let name = format!("{}: {name}", shape.name);
            let rates = sorted(measured[row].iter().map(|&run| rate(run)));
            let costs = sorted(measured[row].iter().map(|run| run.cpu.as_secs_f64() * 1e6 / messages as f64));
            let pairs = measured[row].iter().zip(&measured[against]);
            let ratios = sorted(pairs.map(|(&run, &other)| rate(run) / rate(other)));
            print!(
                "  {row}  {name:<52} {:>10.0} {:>21} {:>8.2}",
                median(&rates),
                format!("{:.0} to {:.0}", rates[0], rates[rates.len() - 1]),
                median(&costs)
            );
            if against != row && !ratios.is_empty() {
                print!(
                    " {:>5.2} of {against:<3} {:>21}",
                    median(&ratios),
                    format!("{:.2} to {:.2}", ratios[0], ratios[ratios.len() - 1])
                );
            }
            println!();
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
