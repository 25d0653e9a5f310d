//! Questions and orders for sinks, and what they report.

use std::thread;
use std::time::Duration;

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{SinkError, Written};

use super::stage::*;
use crate::config::Secrets;
use crate::pipeline::FlushOutcome;

#[test]
fn a_question_is_answered_between_other_calls() {
    let stage = Stage::open(vec![Actor::new("a")]);
    let answer = stage.pipeline.inspect("a", "state").unwrap();
    assert_eq!((answer.reply, answer.age), (json!({ "asked": "state" }), Duration::ZERO));
    let error = stage.pipeline.inspect("b", "state").unwrap_err();
    assert_eq!(error.reason, "there is no sink `b`; there are: a");
}

#[test]
fn a_busy_sink_is_answered_for_from_its_last_reply_with_its_age() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| {
        waits.pass();
        Ok(Written::Delivered)
    })]);
    stage.pipeline.inspect("a", "state").unwrap();
    stage.record(0..10);
    stage.see_batch(0);
    let answer = stage.pipeline.inspect("a", "state").unwrap();
    assert_eq!(answer.reply, json!({ "asked": "state" }));
    assert!(answer.age > Duration::ZERO);
    let error = stage.pipeline.inspect("a", "other").unwrap_err();
    assert_eq!(error.reason, "the sink is busy, and has not answered this before");
    gate.open();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    // Nobody waits for those answers any more.
    assert!(!stage.seen(0).iter().any(|seen| matches!(seen, Seen::Inspect(_))));
    assert_eq!(stage.pipeline.inspect("a", "other").unwrap().age, Duration::ZERO);
}

#[test]
fn a_closed_sink_is_answered_for_from_its_last_reply() {
    let stage = Stage::open(vec![Actor::new("a")]);
    stage.pipeline.inspect("a", "state").unwrap();
    stage.pipeline.close(LONG).unwrap();
    assert_eq!(stage.pipeline.inspect("a", "state").unwrap().reply, json!({ "asked": "state" }));
    let error = stage.pipeline.inspect("a", "other").unwrap_err();
    assert_eq!(error.reason, "the sink is closed or failed");
}

#[test]
fn an_order_is_carried_out_and_an_order_that_came_too_late_is_withdrawn() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![
        Actor::new("a")
            .on_control(|request| match request["control"].as_str() {
                Some("reopen") => Ok(json!({ "reopened": true })),
                _ => Err(SinkError::unsupported("control")),
            })
            .on_write(move |_| {
                waits.pass();
                Ok(Written::Delivered)
            }),
    ]);
    let reopen = json!({ "control": "reopen" });
    assert_eq!(stage.pipeline.control("a", &reopen, LONG).unwrap(), json!({ "reopened": true }));
    let error = stage.pipeline.control("a", &json!({ "control": "dance" }), LONG).unwrap_err();
    assert_eq!(error.reason, "unsupported: control");
    stage.record(0..10);
    stage.see_batch(0);
    let late = stage.pipeline.control("a", &reopen, Duration::from_millis(5)).unwrap_err();
    assert_eq!(late.reason, "the sink is busy");
    gate.open();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert!(!stage.seen(0).iter().any(|seen| matches!(seen, Seen::Control(_))));
}

#[test]
fn a_panic_over_a_question_replaces_the_instance() {
    let stage = Stage::open(vec![Actor::new("a").on_inspect(|request| match request.as_str() {
        "bad" => Err(SinkError::panicked("boom")),
        _ => Ok(json!(1)),
    })]);
    assert_eq!(stage.pipeline.inspect("a", "bad").unwrap_err().reason, "boom");
    stage.see_until(0, |seen| *seen == Seen::Drop(1));
    stage.see_until(0, |seen| *seen == Seen::Open(2));
    stage.record(0..3);
    assert!(stage.pipeline.close(LONG).unwrap().is_clean());
}

#[test]
fn who_waits_for_an_answer_is_told_when_the_sink_is_closed() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![Actor::new("a").on_close(move |_| {
        waits.pass();
        Ok(())
    })]);
    let pipeline = stage.pipeline.clone();
    let closer = thread::spawn(move || pipeline.close(LONG).unwrap());
    stage.see_until(0, |seen| *seen == Seen::Close(1));
    let pipeline = stage.pipeline.clone();
    let asker = thread::spawn(move || pipeline.control("a", &json!({}), LONG));
    eventually(|| stage.pipeline.waiting_requests(0) == 1);
    gate.open();
    assert!(asker.join().unwrap().is_err());
    closer.join().unwrap();
}

#[test]
fn secrets_are_masked_in_answers_and_reports() {
    let setting = Setting::with(|setting| {
        setting.secrets = Secrets::from_iter(["hunter2".to_owned()]);
    });
    let stage = setting.open(vec![
        Actor::new("a")
            .on_inspect(|_| Ok(json!({ "url": ["x://hunter2@y"] })))
            .on_control(|_| Err(SinkError::permanent("bad password hunter2"))),
    ]);
    assert_eq!(stage.pipeline.inspect("a", "state").unwrap().reply, json!({ "url": ["x://***@y"] }));
    let error = stage.pipeline.control("a", &json!({}), LONG).unwrap_err();
    assert_eq!(error.reason, "bad password ***");
    assert_eq!(stage.pipeline.failed_sink(), None);
    stage.host(0).report(&json!({ "state": "failed", "reason": "hunter2 expired" }));
    assert_eq!(stage.pipeline.failed_sink(), Some(("a".into(), "*** expired".into())));
}

#[test]
fn what_a_replaced_instance_reports_is_ignored() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|writing| match writing.instance {
        1 => Err(SinkError::reopen("stale")),
        _ => Ok(Written::Delivered),
    })]);
    let first = stage.host(0);
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    first.report(&json!({ "state": "failed" }));
    assert_eq!(stage.pipeline.failed_sink(), None);
    stage.host(0).report(&json!({ "state": "failed" }));
    assert_eq!(stage.pipeline.failed_sink(), Some(("a".into(), "it gave no reason".into())));
}

#[test]
fn a_sink_asks_for_a_longer_ack_timeout_in_its_report() {
    let setting = Setting::with(|setting| setting.delivery.ack_timeout = Duration::from_millis(10));
    let stage = setting.open(vec![Actor::new("a").on_write(|writing| match writing.batch.attempt() {
        1 => Ok(Written::Pending { taken: 10 }),
        _ => panic!("offered again"),
    })]);
    stage.host(0).report(&json!({ "ack_timeout": 3600.0 }));
    stage.record(0..10);
    stage.see_batch(0);
    let timed_out = stage.pipeline.flush(Duration::from_millis(50)).unwrap();
    assert_eq!(timed_out, FlushOutcome::TimedOut { remaining: vec![("a".into(), 10)] });
    acknowledge(&stage.host(0), 1, 0, 10, audit_plugin_api::AckStatus::Delivered);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
}
