//! `use_worker = false`: whoever records is the worker.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::sink_state::{Phase, SinkState, State};
use super::worker::{Turn, Worker};

/// Where the worker of a sink waits for whoever records.
#[derive(Default)]
pub struct DirectSlot {
    worker: Mutex<Option<Worker>>,
    returned: Condvar,
}

impl DirectSlot {
    /// Puts a worker there.
    pub fn put(&self, worker: Worker) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
        self.returned.notify_one();
    }

    /// Takes the worker, once nobody else works.
    fn take(&self, deadline: Option<Instant>) -> Option<Worker> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(worker) = worker.take() {
                return Some(worker);
            }
            worker = match deadline {
                None => self.returned.wait(worker).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left =
                        deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                    self.returned.wait_timeout(worker, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Delivers everything before `position` in this thread. What is not delivered by the deadline is dead-lettered; the
/// error says why.
pub fn write_through(sink: &Arc<SinkState>, position: u64, deadline: Instant) -> Result<(), String> {
    let Some(slot) = &sink.direct else { return Ok(()) };
    // Not before the deadline of whoever works now: what waits must be settled by somebody.
    let Some(mut worker) = slot.take(None) else { return Err("the sink is busy".into()) };
    let given_up = |state: &State| state.delivery.given_up();
    let before = {
        let mut state = sink.lock();
        state.delivery.hurry(position);
        given_up(&state)
    };
    let mut patient = true;
    let ended = loop {
        let mut state = sink.lock();
        if state.delivery.settled_to() >= position || state.phase != Phase::Running {
            break false;
        }
        if patient && Instant::now() >= deadline {
            patient = false;
            let reason = "not delivered within block_timeout".to_owned();
            state.delivery.give_up(&reason, Instant::now());
        }
        drop(state);
        match worker.turn() {
            Turn::Did => {}
            Turn::Idle(idle) if patient => sink.wait_for_work(worker.epoch(), idle.at_most(deadline)),
            Turn::Idle(idle) => sink.wait_for_work(worker.epoch(), idle),
            Turn::Ended => break true,
        }
    };
    let state = sink.lock();
    let result = if given_up(&state) > before || state.delivery.settled_to() < position {
        Err(state.last_doom.clone().unwrap_or_else(|| "the sink is failed".into()))
    } else {
        Ok(())
    };
    drop(state);
    if !ended {
        slot.put(worker);
    }
    result
}

/// Has a thread work until `done`, so that whoever waits for a flush or a close can stop waiting.
pub fn work_aside(
    sink: &Arc<SinkState>,
    done: impl Fn(&State) -> bool + Send + 'static,
) -> std::io::Result<()> {
    let sink = sink.clone();
    std::thread::Builder::new().name("audit-sink".into()).spawn(move || {
        let Some(slot) = &sink.direct else { return };
        let Some(mut worker) = slot.take(None) else { return };
        while !done(&sink.lock()) {
            match worker.turn() {
                Turn::Did => {}
                Turn::Idle(idle) => sink.wait_for_work(worker.epoch(), idle),
                Turn::Ended => return,
            }
        }
        slot.put(worker);
    })?;
    Ok(())
}
