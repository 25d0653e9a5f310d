//! Opening every sink, or none.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use audit_plugin_api::SinkError;
use crossbeam_channel::{RecvTimeoutError, bounded};

use super::backlog::{Recovered, hand_out, open_spool};
use super::close::Closing;
use super::record::Turnstile;
use super::shares::Shares;
use super::{Pipeline, SinkSetup};
use crate::config::{BufferSettings, DeliverySettings, Secrets, SinkSettings};
use crate::pipeline::budget::Budget;
use crate::pipeline::counters::Tally;
use crate::pipeline::dead_letters::DeadLetters;
use crate::pipeline::error::{OpenError, SinkOpenError};
use crate::pipeline::fanout::{Fanout, FanoutEvents};
use crate::pipeline::pool::Pool;
use crate::pipeline::run::MAX_SINKS;
use crate::pipeline::sink_state::{Phase, SinkParts, SinkState, seconds};
use crate::pipeline::spooled::Bodies;
use crate::pipeline::store::{Store, StoreParts};
use crate::pipeline::supervisor::{Watch, supervise};
use crate::pipeline::worker::Worker;
use crate::spool::{Disk, RealDisk};

impl Pipeline {
    /// Opens every sink; if one cannot be opened, those that were are closed again.
    pub fn open(
        setups: Vec<SinkSetup>,
        buffer: BufferSettings,
        delivery: DeliverySettings,
        secrets: Secrets,
    ) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), setups, buffer, delivery, secrets)
    }

    /// As [`Pipeline::open`], with the spool on this disk.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        setups: Vec<SinkSetup>,
        buffer: BufferSettings,
        delivery: DeliverySettings,
        secrets: Secrets,
    ) -> Result<Self, OpenError> {
        if let Some(surplus) = setups.get(MAX_SINKS) {
            let error = SinkError::permanent(format!("a logger has at most {MAX_SINKS} sinks"));
            return Err(refuse(&surplus.settings, error));
        }
        let tally = Arc::new(Tally::new(setups.len()));
        let fanout = Arc::new(Fanout::default());
        let wakes = |settings: &SinkSettings| settings.use_worker && settings.batch_size == 1;
        let pool = Arc::new(Pool::new(buffer.capacity_bytes));
        let shares = Shares::of(&buffer);
        let memory = Arc::new(Budget::new(shares.lines));
        let names = setups.iter().map(|setup| setup.settings.name.clone()).collect();
        let bodies = Arc::new(Bodies::new(pool.clone(), memory.clone()));
        let opened = match &buffer.spool {
            None => None,
            Some(settings) => {
                Some(open_spool(disk, settings, &buffer, shares.segments, names, bodies.clone())?)
            }
        };
        let recovered = opened.as_ref().map_or_else(
            || Recovered::nothing(setups.len()),
            |opened| Recovered::count(&opened.backlog, setups.len()),
        );
        let (spool, budget, backlog) = match opened {
            Some(opened) => (Some(opened.room), opened.budget, Some(opened.backlog)),
            None => (None, memory.clone(), None),
        };
        if spool.is_none() {
            pool.prepare_chunks();
        }
        let wake_every_event = setups.iter().any(|setup| wakes(&setup.settings));
        let sinks = setups.len();
        let parts = StoreParts {
            sinks,
            wake_every_event,
            max_event_bytes: buffer.max_event_bytes,
            budget,
            memory,
            pool,
            spool,
            tally: tally.clone(),
        };
        let store = Arc::new(Store::new(parts, Box::new(FanoutEvents(fanout.clone()))));
        let dead_letters = Arc::new(DeadLetters::new(delivery.dead_letter_path.clone()));
        let (watch, woken) = Watch::new();
        let new_sink = |(index, SinkSetup { mut settings, factory }): (usize, SinkSetup)| {
            if !settings.use_worker {
                settings.batch_size = 1;
            }
            Arc::new(SinkState::new(SinkParts {
                index,
                settings,
                factory,
                timing: delivery.clone(),
                store: store.clone(),
                dead_letters: dead_letters.clone(),
                secrets: secrets.clone(),
                watch: Arc::downgrade(&watch),
            }))
        };
        let sinks: Vec<_> = setups.into_iter().enumerate().map(new_sink).collect();
        if store.spool.is_some() {
            // All batches that can be out at once take half of the memory; the other half is for what comes next.
            let batches: usize = sinks.iter().map(|sink| sink.settings.max_in_flight.max(1)).sum();
            let batch_bytes = store.memory.capacity() / 2 / batches;
            sinks.iter().for_each(|sink| sink.lock().delivery.limit_batch_bytes(batch_bytes));
        }
        fanout.set(&store, &sinks);
        let write_through = sinks.iter().any(|sink| !sink.settings.use_worker);
        let shortest = delivery.write_timeout.min(delivery.open_timeout);
        let supervised = supervise(&sinks, shortest, &watch, woken);
        let pipeline = Self {
            store,
            sinks,
            tally,
            recovered,
            buffer,
            shutdown_timeout: delivery.shutdown_timeout,
            turnstile: write_through.then(Turnstile::default),
            reported: Mutex::new(0),
            closing: Mutex::new(Closing::No),
            closed: Condvar::new(),
            _watch: watch,
        };
        for (index, sink) in pipeline.sinks.iter().enumerate() {
            let supervised = supervised.as_ref().map_err(no_thread);
            if let Err(error) = supervised.and_then(|()| open_sink(sink, delivery.open_timeout)) {
                let error = refuse(&sink.settings, sink.masked(error));
                for unopened in &pipeline.sinks[index..] {
                    let mut state = unopened.lock();
                    state.epoch += 1;
                    state.end(Phase::Closed, "the sink was not opened");
                }
                let _ = pipeline.close(delivery.shutdown_timeout);
                return Err(error);
            }
        }
        if let Some(backlog) = backlog {
            hand_out(&pipeline.store, &pipeline.tally, backlog, &bodies);
        }
        Ok(pipeline)
    }
}

fn refuse(settings: &SinkSettings, error: SinkError) -> OpenError {
    let SinkSettings { name, class, .. } = settings.clone();
    SinkOpenError { name, class, error: Box::new(error) }.into()
}

fn no_thread(error: &io::Error) -> SinkError {
    SinkError::retryable(format!("no thread for it: {error}"))
}

/// Opens a sink in a thread of its own, since it may hang.
fn open_sink(sink: &Arc<SinkState>, timeout: Duration) -> Result<(), SinkError> {
    let (sender, opened) = bounded(1);
    let to_open = sink.clone();
    let thread = std::thread::Builder::new().name("audit-sink".into());
    let spawned = thread.spawn(move || match Worker::open(to_open) {
        Ok(worker) => {
            if sender.send(Ok(())).is_ok() {
                drop(sender);
                worker.run();
            }
        }
        Err(error) => {
            let _ = sender.send(Err(error));
        }
    });
    spawned.map_err(|error| no_thread(&error))?;
    opened.recv_timeout(timeout).unwrap_or_else(|error| {
        Err(SinkError::retryable(match error {
            RecvTimeoutError::Timeout => {
                format!("open did not return within open_timeout = {}", seconds(timeout))
            }
            RecvTimeoutError::Disconnected => "its thread ended while it was opened".into(),
        }))
    })
}
