//! Sinks that do not come back.

use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError, Written};

use super::stage::*;
use crate::pipeline::FlushOutcome;

const SHORT: Duration = Duration::from_millis(20);

fn impatient() -> Setting {
    Setting::with(|setting| {
        setting.delivery.write_timeout = SHORT;
        setting.delivery.shutdown_timeout = SHORT;
        setting.delivery.open_timeout = SHORT;
    })
}

/// A sink whose first instance hangs in a write until the gate opens.
fn hung_at_first(gate: &Gate) -> Actor {
    let hangs = gate.clone();
    Actor::new("a").on_write(move |writing| {
        if writing.instance == 1 {
            hangs.pass();
        }
        Ok(Written::Delivered)
    })
}

#[test]
fn a_hung_write_is_abandoned_and_its_events_go_to_a_fresh_instance_as_possible_duplicates() {
    let gate = Gate::default();
    let stage = impatient().open(vec![hung_at_first(&gate)]);
    stage.record(0..10);
    assert_eq!(stage.see_batch(0), Vec::from_iter(0..10));
    let again = stage.see_until(0, |seen| matches!(seen, Seen::Write { .. }));
    let expected =
        Seen::Write { instance: 2, batch: 2, attempt: 2, numbers: Vec::from_iter(0..10), doubtful: true };
    assert_eq!(again, expected);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    // What it says after all is ignored, its instance is never touched again.
    gate.open();
    stage.record(10..20);
    assert_eq!(stage.see_batch(0), Vec::from_iter(10..20));
    let counts = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((counts.delivered, counts.retried, counts.lost), (20, 10, 0));
    assert!(!stage.seen(0).contains(&Seen::Drop(1)));
}

#[test]
fn acknowledgements_of_an_abandoned_instance_are_ignored() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let stage = impatient().open(vec![Actor::new("a").on_write(move |writing| match writing.instance {
        1 => {
            hangs.pass();
            writing.acknowledge(0, 10, AckStatus::Permanent);
            Ok(Written::Delivered)
        }
        _ => Ok(Written::Pending { taken: 10 }),
    })]);
    let first = stage.host(0);
    stage.record(0..10);
    stage.see_batch(0);
    stage.see_batch(0);
    for batch in 0..4 {
        acknowledge(&first, batch, 0, 10, AckStatus::Permanent);
    }
    gate.open();
    eventually(|| stage.pipeline.counts().in_flight == 10);
    acknowledge(&stage.host(0), 2, 0, 10, AckStatus::Delivered);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
}

#[test]
fn flush_and_close_return_in_time_whatever_hangs() {
    for what in ["write", "flush", "close", "drop", "open"] {
        let gate = Gate::default();
        let hangs = |here: &'static str| {
            let gate = gate.clone();
            move || {
                if here == what {
                    gate.pass();
                }
            }
        };
        let (write, flush, close, drop, open) =
            (hangs("write"), hangs("flush"), hangs("close"), hangs("drop"), hangs("open"));
        let stage = Stage::open(vec![
            Actor::new("a")
                .on_open(move |instance| {
                    if instance > 1 {
                        open();
                    }
                    Ok(())
                })
                .on_write(move |writing| {
                    write();
                    match (what, writing.instance) {
                        ("open" | "drop", 1) => Err(SinkError::reopen("stale")),
                        _ => Ok(Written::Delivered),
                    }
                })
                .on_flush(move |_| {
                    flush();
                    Ok(())
                })
                .on_close(move |_| {
                    close();
                    Ok(())
                })
                .on_drop(move |_| drop()),
        ]);
        stage.record(0..3);
        if what == "close" {
            assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
        } else {
            let outcome = stage.pipeline.flush(SHORT).unwrap();
            assert!(matches!(outcome, FlushOutcome::TimedOut { .. }), "{what}: {outcome:?}");
            stage.see_until(0, |seen| match seen {
                Seen::Write { .. } => what == "write",
                Seen::Flush(_) => what == "flush",
                Seen::Drop(_) => what == "drop",
                Seen::Open(instance) => what == "open" && *instance == 2,
                _ => false,
            });
        }
        let report = stage.pipeline.close(SHORT).unwrap();
        assert_eq!(report.totals.accepted, 3, "{what}");
        assert_eq!(report.totals.queued + report.totals.in_flight + report.totals.lost, 0, "{what}");
        let expected = if matches!(what, "flush" | "close") { 3 } else { 0 };
        assert_eq!(report.totals.delivered, expected, "{what}");
        assert_eq!(stage.letters().len() as u64, 3 - expected, "{what}");
        assert!(!report.sinks[0].failures.is_empty(), "{what}");
        gate.open();
    }
}

#[test]
fn a_sink_is_failed_after_three_abandoned_calls_and_the_others_get_everything_meanwhile() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let hung = Actor::new("hung").on_write(move |_| {
        hangs.pass();
        Ok(Written::Delivered)
    });
    let stage = impatient().open(vec![hung, Actor::new("good")]);
    stage.record(0..30);
    eventually(|| stage.pipeline.failed_sink().is_some());
    assert_eq!(stage.pipeline.failed_sink().unwrap().0, "hung");
    stage.record(30..40);
    eventually(|| stage.pipeline.sink_counts()[1].1.delivered == 40);
    let opened = stage.seen(0).into_iter().filter(|seen| matches!(seen, Seen::Open(_))).count();
    assert_eq!(opened, 3);
    match stage.pipeline.flush(LONG).unwrap() {
        FlushOutcome::TimedOut { remaining } => assert_eq!(remaining, [("hung".to_owned(), 40)]),
        outcome => panic!("{outcome:?}"),
    }
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!((report.totals.dead_lettered, report.totals.queued), (40, 0));
    assert_eq!(stage.dead_numbers("hung"), Vec::from_iter(0..40));
    assert_eq!(stage.numbers(1), Vec::from_iter(0..40));
    gate.open();
}

#[test]
fn an_abandoned_flush_is_a_failed_flush() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let stage = impatient().open(vec![Actor::new("a").on_flush(move |instance| {
        if instance == 1 {
            hangs.pass();
        }
        Ok(())
    })]);
    stage.record(0..3);
    match stage.pipeline.flush(LONG).unwrap() {
        FlushOutcome::Failed { given_up: 0, sinks } => {
            assert!(sinks[0].1.contains("was abandoned"), "{sinks:?}")
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    gate.open();
}

#[test]
fn an_abandoned_inspection_and_an_abandoned_drop_do_not_end_the_sink() {
    let gate = Gate::default();
    let (asked, dropped) = (gate.clone(), gate.clone());
    let stage = impatient().open(vec![
        Actor::new("a")
            .on_inspect(move |_| {
                asked.pass();
                Ok(().into())
            })
            .on_drop(move |instance| {
                if instance == 2 {
                    dropped.pass();
                }
            })
            .on_write(|writing| match writing.instance {
                2 => Err(SinkError::panicked("boom")),
                _ => Ok(Written::Delivered),
            }),
    ]);
    assert!(stage.pipeline.inspect("a", "state").is_err());
    stage.see_until(0, |seen| *seen == Seen::Open(2));
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert!(stage.seen(0).contains(&Seen::Drop(2)));
    gate.open();
}

#[test]
fn a_sink_that_hangs_when_it_is_opened_first_is_an_error_and_those_opened_before_are_closed() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let (sender, closed) = crossbeam_channel::unbounded();
    let good = Actor::new("good").on_close(move |_| {
        sender.send(()).unwrap();
        Ok(())
    });
    let hung = Actor::new("hung").on_open(move |_| {
        hangs.pass();
        Ok(())
    });
    let error = impatient().try_open(vec![good, hung]).err().expect("an error");
    assert!(error.to_string().starts_with("sink `hung` "), "{error}");
    assert!(error.to_string().contains("open did not return within open_timeout = 0.02 s"), "{error}");
    assert_eq!(closed.try_iter().count(), 1);
    gate.open();
}

#[test]
fn what_a_hung_sink_held_no_longer_counts_in_the_bound_when_it_is_settled() {
    let gate = Gate::default();
    let stage = impatient().open(vec![hung_at_first(&gate)]);
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.pipeline.used_bytes(), 0);
    gate.open();
}

#[test]
fn a_worker_that_breaks_is_replaced_and_flush_and_close_do_not_hang() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|writing| {
        assert!(writing.instance > 1, "a defect of the host, for this test");
        Ok(Written::Delivered)
    })]);
    stage.record(0..3);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.delivered, 3);
}

#[test]
fn a_worker_that_breaks_every_time_makes_the_sink_fail() {
    let stage =
        Stage::open(vec![Actor::new("a").on_write(|_| panic!("a defect of the host, for this test"))]);
    stage.record(0..3);
    assert!(matches!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::TimedOut { .. }));
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!((report.totals.dead_lettered, report.totals.lost), (3, 0));
}
