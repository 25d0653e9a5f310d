//! Brokers that are down when the process is killed: the spool has what they miss.

use audit_tests::Running;
use audit_tests::oracle::{Counters, Summary, id_of};
use rustix::process::Signal;

use crate::arrived::Arrived;
use crate::cluster::{Cluster, say};
use crate::delivery::canonical_lines;
use crate::{TOPIC, kafka_dir};

/// Asks for the summary until it says this. Each answer is waited for.
fn ask_until(running: &mut Running, done: impl Fn(&Counters) -> bool) {
    loop {
        running.signal(Signal::USR1);
        let said = running.wait_for("audit-host: accepted=");
        if done(&Summary::of(said.trim_end()).totals) {
            return;
        }
    }
}

#[test]
fn what_a_killed_process_has_accepted_while_brokers_were_down_is_delivered_by_the_next() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 3);
    let dir = kafka_dir(&cluster.servers(), "delivery_timeout = 3\n[buffer]\nspool_dir = \"spool\"\n");
    let lines = canonical_lines();
    let (before, meanwhile) = lines.split_at(2000);
    let mut running = dir.audit_host(&["run"]).start();
    running.send(&(before.join("\n") + "\n"));
    ask_until(&mut running, |totals| totals.count("delivered") > 0);
    cluster.kill(1);
    running.send(&(meanwhile.join("\n") + "\n"));
    ask_until(&mut running, |totals| totals.count("accepted") == lines.len() as u64);
    running.signal(Signal::KILL);
    assert_eq!(running.end().status, 128 + 9);
    cluster.resume(1);
    let ran = dir.audit_host(&["run"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let totals = Summary::of(ran.summary()).totals;
    let recovered = totals.count("recovered");
    assert!(recovered >= meanwhile.len() as u64, "nobody could take them: {ran:?}");
    assert_eq!((totals.count("delivered"), totals.count("lost")), (recovered, 0), "{ran:?}");
    let consumed = cluster.consume(TOPIC);
    let Arrived { lines: arrived, duplicates } = Arrived::new(&consumed);
    assert!(lines.iter().all(|line| id_of(line).and_then(|id| arrived.get(id)) == Some(&line.as_str())));
    assert_eq!(arrived.len(), lines.len());
    say(&format!(
        "killed while its broker was down: accepted={} recovered={recovered} consumed={} duplicates={duplicates}",
        lines.len(),
        consumed.len()
    ));
}
