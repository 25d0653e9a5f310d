//! The order in which events arrive.

use std::thread;

use crossbeam_channel::{Sender, unbounded};

use audit_plugin_api::{AckStatus, SinkError, Written};

use super::sharing::sharing;
use super::stage::*;
use crate::spool::memory_disk::MemoryDisk;

/// Records from 4 threads at once; returns what the sink says it delivered.
fn record_from_four_threads(each: u64, sink: impl FnOnce(Sender<u64>) -> Actor) -> Vec<u64> {
    let setting = Setting::with(|setting| {
        setting.buffer.capacity_bytes = 64 << 10;
        setting.buffer.max_event_bytes = 16 << 10;
    });
    record_from_four_threads_in(setting, each, sink)
}

fn record_from_four_threads_in(
    setting: Setting,
    each: u64,
    sink: impl FnOnce(Sender<u64>) -> Actor,
) -> Vec<u64> {
    let (sender, delivered) = unbounded();
    let stage = setting.open(vec![sink(sender)]);
    thread::scope(|scope| {
        for part in 0..4 {
            let stage = &stage;
            scope.spawn(move || stage.record(part * 100_000..part * 100_000 + each));
        }
    });
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.lost), (4 * each, 0));
    delivered.try_iter().collect()
}

fn deliver(numbers: &[u64], sender: &Sender<u64>) {
    numbers.iter().for_each(|number| sender.send(*number).unwrap());
}

#[track_caller]
fn assert_in_order(delivered: &[u64], each: u64) {
    for part in 0..4 {
        let own: Vec<u64> = delivered.iter().copied().filter(|number| number / 100_000 == part).collect();
        let expected: Vec<u64> = (part * 100_000..part * 100_000 + each).collect();
        assert_eq!(own, expected);
    }
}

#[test]
fn what_a_thread_recorded_arrives_in_its_order() {
    let delivered = record_from_four_threads(5000, |sender| {
        Actor::new("a").on_write(move |writing| {
            deliver(writing.numbers, &sender);
            Ok(Written::Delivered)
        })
    });
    assert_in_order(&delivered, 5000);
}

#[test]
fn what_a_thread_recorded_arrives_in_its_order_also_where_all_threads_write_into_one_chunk() {
    let delivered = record_from_four_threads_in(sharing(&MemoryDisk::default()), 2000, |sender| {
        Actor::new("a").on_write(move |writing| {
            deliver(writing.numbers, &sender);
            Ok(Written::Delivered)
        })
    });
    assert_in_order(&delivered, 2000);
}

#[test]
fn what_a_thread_recorded_arrives_in_its_order_also_with_retries() {
    let delivered = record_from_four_threads(500, |sender| {
        Actor::new("a").on_write(move |writing| match (writing.numbers[0] % 5, writing.batch.attempt()) {
            (0, 1) => Err(SinkError::retryable("busy")),
            (1, 1) => {
                deliver(&writing.numbers[..1], &sender);
                Err(SinkError::retryable("busy").after(1))
            }
            (2, 1) if writing.numbers.len() > 1 => Err(SinkError::permanent("not sure which")),
            (3, 1) => Err(SinkError::reopen("stale")),
            _ => {
                deliver(writing.numbers, &sender);
                Ok(Written::Delivered)
            }
        })
    });
    assert_in_order(&delivered, 500);
}

#[test]
fn what_a_thread_recorded_arrives_in_its_order_at_a_pending_sink_with_one_batch_in_flight() {
    let delivered = record_from_four_threads(300, |sender| {
        Actor::new("a").on_write(move |writing| {
            let (host, batch, len) = (writing.host.clone(), writing.batch.id(), writing.batch.len() as u32);
            let status = if writing.numbers[0] % 3 == 0 && writing.batch.attempt() == 1 {
                AckStatus::Retryable
            } else {
                deliver(writing.numbers, &sender);
                AckStatus::Delivered
            };
            thread::spawn(move || {
                for index in (0..len).rev() {
                    acknowledge(&host, batch, index, 1, status);
                }
            });
            Ok(Written::Pending { taken: len })
        })
    });
    assert_in_order(&delivered, 300);
}

#[test]
fn sequences_are_unique_and_increase_for_a_thread() {
    let (sender, sequences) = crossbeam_channel::unbounded();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |writing| {
        for (event, number) in writing.batch.events().zip(writing.numbers) {
            sender.send((number / 100_000, event.sequence())).unwrap();
        }
        Ok(Written::Delivered)
    })]);
    thread::scope(|scope| {
        for part in 0..4 {
            let stage = &stage;
            scope.spawn(move || stage.record(part * 100_000..part * 100_000 + 5000));
        }
    });
    stage.pipeline.close(LONG).unwrap();
    let mut all: Vec<(u64, u64)> = sequences.try_iter().collect();
    for part in 0..4 {
        let own = all.iter().filter(|(of, _)| *of == part).map(|(_, sequence)| sequence);
        assert!(own.is_sorted_by(|before, after| before < after));
    }
    all.sort_by_key(|(_, sequence)| *sequence);
    all.dedup_by_key(|(_, sequence)| *sequence);
    assert_eq!(all.len(), 20_000);
}
