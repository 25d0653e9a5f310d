//! Accepting events.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use audit_plugin_api::PermissionAuditEvent;

use super::{BURIAL_PATIENCE, Pipeline, deadline_after};
use crate::config::WhenFull;
use crate::pipeline::error::RecordError;
use crate::pipeline::record::{Patience, Record, Refused};
use crate::pipeline::sink_state::{Phase, SinkState, seconds};
use crate::pipeline::store::Store;
use crate::pipeline::worker::in_callback;

/// Lets one thread at a time record, where sinks are written through.
#[derive(Default)]
pub struct Turnstile {
    busy: Mutex<bool>,
    free: Condvar,
}

/// Which way an event goes into the store.
type Into = fn(&Store, Record<'_>, Patience<'_>) -> Result<(), Refused>;

struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    fn pass(&self, timeout: Duration) -> Option<Turn<'_>> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.free.wait_timeout_while(busy, timeout, |busy| *busy);
        let (mut busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_free = !std::mem::replace(&mut *busy, true);
        is_free.then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}

impl Pipeline {
    /// Accepts an event, as `[buffer]` says; returns when it is accepted (with `use_worker = false`: delivered).
    pub fn record(&self, event: &PermissionAuditEvent) -> Result<(), RecordError> {
        let patience = match self.buffer.when_full {
            WhenFull::Block => Patience::Progress(self.buffer.block_timeout),
            WhenFull::Fail => Patience::None,
        };
        self.accept(Record::Event(event), patience)
    }

    /// Accepts an event or a canonical line; returns when it is accepted (with `use_worker = false`: delivered). One that
    /// is not accepted counts as rejected, unless the caller was told to stop while it waited.
    pub fn accept(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        self.accept_as(record, patience, Store::record)
    }

    /// As [`Pipeline::accept`], but what is to be on the disk first is not waited for: [`Pipeline::sync`] does that for
    /// many events at once.
    pub fn accept_unsynced(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        self.accept_as(record, patience, Store::record_unsynced)
    }

    /// Waits until what was accepted before is as durable as `[buffer]` says; that is at once where nothing has to be on
    /// the disk first.
    pub fn sync(&self, patience: Patience<'_>) -> Result<(), RecordError> {
        self.store.sync(patience).map_err(|refused| self.refused(refused))
    }

    fn accept_as(&self, record: Record<'_>, patience: Patience<'_>, into: Into) -> Result<(), RecordError> {
        match &self.turnstile {
            // From a sink's own callback: waiting for that sink would never end, so it is delivered later.
            Some(turnstile) if !in_callback(self.store.id()) => {
                self.accept_in_turn(turnstile, record, patience, into)
            }
            _ => match into(&self.store, record, patience) {
                Ok(()) => Ok(()),
                Err(refused) => self.refuse(refused, patience),
            },
        }
    }

    fn accept_in_turn(
        &self,
        turnstile: &Turnstile,
        record: Record<'_>,
        patience: Patience<'_>,
        into: Into,
    ) -> Result<(), RecordError> {
        let Some(_turn) = turnstile.pass(self.buffer.block_timeout) else {
            return self.refuse(Refused::Full, patience);
        };
        let sinks = self.sinks.iter().filter(|sink| !sink.settings.use_worker);
        let sinks: Vec<_> = sinks.map(|sink| (sink, sink.lock().delivery.given_up())).collect();
        match into(&self.store, record, patience) {
            Ok(()) => self.write_through(sinks),
            Err(refused) => self.refuse(refused, patience),
        }
    }

    /// Counts what is refused. Apart, so that an accepted event moves nothing of the size of an error.
    #[cold]
    #[inline(never)]
    fn refuse(&self, refused: Refused, patience: Patience<'_>) -> Result<(), RecordError> {
        let was_stopped = matches!(patience, Patience::UntilStopped(_));
        let is_accepted = matches!(refused, Refused::NotDurable(_));
        let is_put_off = was_stopped && matches!(refused, Refused::Full | Refused::Spool(_));
        if !is_accepted && !is_put_off {
            self.tally.reject();
        }
        Err(self.refused(refused))
    }

    fn refused(&self, refused: Refused) -> RecordError {
        match refused {
            Refused::Closed => RecordError::Closed,
            Refused::Full => self.full(),
            Refused::TooLarge(size) => RecordError::TooLarge { size, limit: self.store.max_event_bytes },
            Refused::Spool(reason) => RecordError::Spool(*reason),
            Refused::NotDurable(reason) => RecordError::NotDurable(*reason),
        }
    }

    fn full(&self) -> RecordError {
        let budget = &self.store.budget;
        RecordError::Full { used: budget.used(), capacity: budget.capacity() }
    }

    /// Waits until these sinks, which had given up so many events before, have settled what is recorded.
    fn write_through(&self, sinks: Vec<(&Arc<SinkState>, u64)>) -> Result<(), RecordError> {
        let position = self.store.seal();
        let deadline = deadline_after(self.buffer.block_timeout);
        for (sink, _) in &sinks {
            let mut state = sink.lock();
            state.delivery.hurry(position);
            state.notify_work(sink);
        }
        let mut result = Ok(());
        for (sink, given_up_before) in sinks {
            sink.wait_until(deadline, |state| {
                state.delivery.settled_to() >= position || state.phase != Phase::Running
            });
            let mut why = None;
            if sink.lock().delivery.settled_to() < position {
                why = Some(self.give_up_waiting(sink));
            }
            let state = sink.lock();
            if state.delivery.given_up() > given_up_before || state.delivery.settled_to() < position {
                let reason = state.last_doom.clone().or(why).unwrap_or_default();
                result = Err(RecordError::Undelivered(reason));
            }
        }
        result
    }

    /// The caller waits no longer: what it recorded becomes a dead letter. Says why.
    fn give_up_waiting(&self, sink: &SinkState) -> String {
        let reason = match sink.lock().phase {
            Phase::Running => {
                format!("not delivered within block_timeout = {}", seconds(self.buffer.block_timeout))
            }
            Phase::Failed => "the sink is failed".into(),
            Phase::Closed => "the sink is closed".into(),
        };
        // The worker may hang in a call, and cannot be relied on for any of this.
        self.store.collect_all();
        sink.give_up(&reason);
        sink.bury_doomed();
        // Unless it was quicker.
        sink.wait_until(deadline_after(BURIAL_PATIENCE), |state| !state.delivery.is_burying());
        reason
    }

    /// Counts something that was never accepted, such as a line of input that is no event.
    pub fn reject(&self) {
        self.tally.reject();
    }
}
