//! The sinks of a store: each gets every run.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use super::delivery::Delivery;
use super::run::Run;
use super::sink_state::{Phase, SinkState};
use super::store::{Store, StoreEvents};

/// Room in a spool comes back only when a sink has flushed, and segment by segment: so many runs at a time are dropped
/// for it, which is about a small segment.
const ROOM_RUNS: u32 = 8;

/// The sinks of a store. Known to it only weakly: the pipeline owns both.
#[derive(Default)]
pub struct Fanout {
    members: OnceLock<Members>,
}

struct Members {
    store: Weak<Store>,
    sinks: Vec<Weak<SinkState>>,
}

impl Fanout {
    /// Says once who they are.
    pub fn set(&self, store: &Arc<Store>, sinks: &[Arc<SinkState>]) {
        let sinks = sinks.iter().map(Arc::downgrade).collect();
        let _ = self.members.set(Members { store: Arc::downgrade(store), sinks });
    }

    /// Has every worker look for work.
    pub fn wake(&self) {
        self.each(|sink| sink.lock().notify_work(sink));
    }

    fn each(&self, mut act: impl FnMut(&Arc<SinkState>)) {
        for sink in self.members.get().iter().flat_map(|members| &members.sinks) {
            if let Some(sink) = sink.upgrade() {
                act(&sink);
            }
        }
    }
}

/// What the store calls.
pub struct FanoutEvents(pub Arc<Fanout>);

impl StoreEvents for FanoutEvents {
    fn wake(&self) {
        self.0.wake();
    }

    fn hand_out(&self, run: &Arc<Run>) {
        self.0.each(|sink| sink.push(run));
    }

    fn lose(&self, run: &Arc<Run>, damaged: &[Range<u32>]) -> Vec<Range<u32>> {
        let mut lost = Vec::new();
        self.0.each(|sink| {
            let mut state = sink.lock();
            lost.extend(state.delivery.lose_damaged(run, damaged));
            state.notify_work(sink);
            state.notify_settled(sink);
        });
        // Each once, though several sinks have lost it.
        lost.sort_unstable_by_key(|lost| lost.start);
        let mut end = 0;
        for lost in &mut lost {
            lost.start = lost.start.max(end);
            end = end.max(lost.end);
        }
        lost
    }

    fn drain_to(&self, position: u64) {
        self.0.each(|sink| {
            let mut state = sink.lock();
            if state.phase == Phase::Running {
                state.delivery.request_close(position);
                state.notify_work(sink);
            }
        });
    }

    fn relieve(&self, bytes: usize) {
        let Some(members) = self.0.members.get() else { return };
        let Some(store) = members.store.upgrade() else { return };
        let sinks: Vec<_> = members.sinks.iter().filter_map(Weak::upgrade).collect();
        let (required, optional): (Vec<_>, Vec<_>) =
            sinks.into_iter().partition(|sink| sink.settings.required);
        if optional.is_empty() {
            return;
        }
        // Also when all the sinks hang, somebody has to turn chunks into runs, which can be dropped.
        store.collect_all();
        let budget = &store.budget;
        // Some more than is needed, so that not every event comes here.
        let spare = bytes.max(budget.capacity() / 8);
        // What a required sink still needs would take as much room without the others.
        let droppable = |run: &Run| required.iter().all(|sink| run.is_settled_at(sink.index));
        let wanted_to = || {
            let settled_to = required.iter().map(|sink| sink.lock().delivery.settled_to());
            settled_to.min().unwrap_or(u64::MAX)
        };
        if let Some(spool) = &store.spool {
            let let_go = optional.iter().map(|sink| sink.make_room(wanted_to(), |_| {}));
            if let_go.max() >= Some(spool.segment_bytes()) {
                // A segment is given back in a moment: nothing need be dropped for it.
                return;
            }
        }
        let mut to_drop = if store.spool.is_some() { ROOM_RUNS } else { u32::MAX };
        while !budget.has_room(spare) && to_drop > 0 {
            to_drop -= 1;
            let oldest = |sink: &Arc<SinkState>| {
                let state = sink.lock();
                state.delivery.oldest_waiting().filter(|run| droppable(run)).map(Run::behind)
            };
            let Some(behind) = optional.iter().filter_map(oldest).min() else { break };
            for sink in &optional {
                sink.make_room(wanted_to(), |delivery| delivery.drop_before(behind));
            }
        }
        if !budget.has_room(bytes) {
            let now = Instant::now();
            let drop_in_flight = |delivery: &mut Delivery| delivery.drop_in_flight(now, &droppable);
            for sink in &optional {
                sink.make_room(wanted_to(), drop_in_flight);
            }
        }
    }
}
