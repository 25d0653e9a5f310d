//! A batch that was made by hand.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::event::write_line;
use crate::{Batch, Deadline, HeldRuns, Hold, PermissionAuditEvent, RawEvent, Timestamp};

/// A batch that was made by hand; [`TestBatch::lend`] hands it out as a sink gets it.
///
/// Its sequence numbers count from 1, and an event without id or time gets one now.
#[derive(Clone, Debug)]
pub struct TestBatch {
    id: u64,
    attempt: u32,
    deadline: Deadline,
    runs: Arc<Runs>,
    events: Vec<RawEvent>,
}

#[derive(Clone, Debug, Default)]
struct Runs(Vec<Vec<u8>>);

impl TestBatch {
    /// A batch of these events, in one run; first attempt, a minute to write it.
    pub fn new(events: &[PermissionAuditEvent]) -> Self {
        let batch = Self {
            id: 1,
            attempt: 1,
            deadline: Deadline::after(Duration::from_secs(60)),
            runs: Arc::default(),
            events: Vec::new(),
        };
        batch.run(events)
    }

    /// Adds a further run of events.
    #[must_use]
    pub fn run(mut self, events: &[PermissionAuditEvent]) -> Self {
        let runs = &mut Arc::make_mut(&mut self.runs).0;
        let mut lines = Vec::new();
        for event in events {
            let sequence = self.events.len() as u64 + 1;
            let event_id = event.event_id.unwrap_or_else(Uuid::now_v7);
            let timestamp = event.timestamp.unwrap_or_else(Timestamp::now);
            let entry = write_line(event, sequence, event_id, timestamp, &mut lines);
            self.events.push(RawEvent { run: runs.len() as u32, ..entry });
        }
        runs.push(lines);
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    /// Sets the attempt.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// The bytes of all runs, one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.runs.0.concat()
    }

    /// Hands it out.
    pub fn lend<R>(&self, take: impl FnOnce(&Batch<'_>) -> R) -> R {
        let runs: Vec<&[u8]> = self.runs.0.iter().map(Vec::as_slice).collect();
        take(&Batch::new(self.id, self.attempt, self.deadline, &runs, &self.events, self))
    }

    /// How many handles on its bytes sinks still hold.
    pub fn holds(&self) -> usize {
        Arc::strong_count(&self.runs) - 1
    }
}

impl Hold for TestBatch {
    fn hold(&self) -> Arc<dyn HeldRuns> {
        self.runs.clone()
    }
}

impl HeldRuns for Runs {
    fn run(&self, index: usize) -> &[u8] {
        self.0.get(index).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    #[test]
    fn events_are_found_in_their_runs_and_decode_to_what_they_were() {
        let first = PermissionAuditEvent::new(Action::Read, true).manager("Project").user_id("7");
        let second = PermissionAuditEvent::new(Action::Delete, false).bypassed(true);
        let batch = TestBatch::new(&[first.clone(), second.clone()]).run(std::slice::from_ref(&second));
        batch.lend(|batch| {
            assert_eq!((batch.len(), batch.runs().len()), (3, 2));
            let events: Vec<_> = batch.events().collect();
            assert_eq!(events[0].manager_escaped(), Some(b"Project".as_slice()));
            assert_eq!(events[0].user_id_escaped(), Some(b"7".as_slice()));
            assert_eq!(events[1].manager_escaped(), None);
            assert!(events[0].granted() && !events[0].bypassed());
            assert!(!events[2].granted() && events[2].bypassed());
            assert_eq!(events.iter().map(|event| event.sequence()).collect::<Vec<_>>(), [1, 2, 3]);
            let decoded = events[2].decode().unwrap();
            assert_eq!(decoded.event_id, Some(events[2].event_id()));
            assert_eq!((decoded.action, decoded.bypassed), (Action::Delete, true));
            assert_eq!(batch.event(3).map(|event| event.sequence()), None);
        });
    }

    #[test]
    fn held_json_outlives_the_batch() {
        let event = PermissionAuditEvent::new(Action::Read, true);
        let batch = TestBatch::new(std::slice::from_ref(&event)).run(&[event]);
        let (held, line) = batch.lend(|batch| {
            let event = batch.event(1).unwrap();
            assert_eq!(batch.hold().run(1), batch.runs()[1]);
            (batch.hold().json(&event), event.json().to_vec())
        });
        assert_eq!(batch.holds(), 1);
        drop(batch);
        assert_eq!(held.to_vec(), line);
        assert_eq!(line.last(), Some(&b'}'));
    }

    #[test]
    fn an_entry_beyond_its_run_is_an_empty_line() {
        let mut batch = TestBatch::new(&[PermissionAuditEvent::new(Action::Read, true)]);
        batch.events[0].len += 100;
        batch.events.push(RawEvent { run: 9, ..batch.events[0] });
        batch.events.push(RawEvent { offset: u32::MAX, len: u32::MAX, ..batch.events[0] });
        batch.lend(|batch| assert!(batch.events().all(|event| event.json().is_empty())));
    }
}
