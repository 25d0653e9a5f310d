//! How fast events reach brokers: `cargo bench -p audit-tests --bench kafka` prints a table.
//!
//! In turn, on the same brokers, with the same properties, payloads and keys: the sink through the host, loops over bare
//! librdkafka, rdkafka's own producer, and `rdkafka_performance`, librdkafka's own benchmark, which is compiled from the
//! source that comes with the crate. A run lasts from the first message to the last delivery report; the table has medians
//! over all rounds. With `AUDIT_KAFKA=real` the brokers are Apache Kafka, else librdkafka's mock in this process.
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
        for round in 0..=rounds {
            for (index, (_, run)) in CONTENDERS.iter().enumerate() {
                let rate = messages as f64 / run(&load).as_secs_f64();
                // The first round warms brokers and caches up.
                if round > 0 {
                    rates[index].push(rate);
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
        for ((name, _), (median, rates)) in CONTENDERS.iter().zip(medians.iter().zip(&rates)) {
            let (least, most) = (rates[0], rates[rates.len() - 1]);
            println!(
                "  {name:<52} {median:>10.0}/s  ({least:.0} to {most:.0})  {:.2} of the bare loop",
                median / medians[0]
            );
        }
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
