//! The sinks of a store: each gets every run.

use std::sync::{Arc, OnceLock, Weak};

use super::run::Run;
use super::sink_state::SinkState;
use super::store::{Store, StoreEvents};

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

    /// Gives a run to every sink.
    pub fn push(&self, run: &Arc<Run>) {
        self.each(|sink| sink.push(run));
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
        self.0.each(|sink| sink.lock().notify_work(sink));
    }

    fn relieve(&self) {
        let Some(members) = self.0.members.get() else { return };
        let Some(store) = members.store.upgrade() else { return };
        let mut optional = Vec::new();
        self.0.each(|sink| {
            if !sink.settings.required {
                optional.push(sink.clone());
            }
        });
        if optional.is_empty() {
            return;
        }
        // Also when all the sinks hang, somebody has to turn chunks into runs, which can be dropped.
        while store.collect(&mut |run| self.0.push(run)) {}
        let budget = store.budget();
        let room = budget.capacity() - budget.capacity() / 8;
        for sink in optional {
            let mut state = sink.lock();
            let dropped = state.delivery.drop_waiting(&mut || budget.used() <= room);
            if dropped > 0 {
                tracing::warn!(
                    sink = sink.settings.name,
                    dropped,
                    "the store is full: the sink is not required, and dropped what it had not taken"
                );
                state.notify_settled(&sink);
            }
        }
    }
}
