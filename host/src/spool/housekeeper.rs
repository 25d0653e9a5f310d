//! The thread that has segments ready before they are needed, and gives back those that are finished.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::leasing::Leasing;
use super::segment::Segment;
use super::stock::Stock;

/// What there is to do for the housekeeper.
#[derive(Default)]
pub struct Jobs {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Default)]
struct List {
    finished: Vec<Arc<Segment>>,
    prepare: bool,
    stop: bool,
}

impl Jobs {
    /// Nobody holds this segment any more.
    pub fn note_finished(&self, segment: Arc<Segment>) {
        self.lock().finished.push(segment);
        self.changed.notify_one();
    }

    /// A segment was taken: the next one should be ready.
    pub fn ask_to_prepare(&self) {
        self.lock().prepare = true;
        self.changed.notify_one();
    }

    /// The housekeeper is to end.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// Takes the segments that are finished.
    pub fn take_finished(&self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.lock().finished)
    }

    /// Waits for something to do: finished segments, and whether to prepare one. `None` when it is to end.
    fn next(&self) -> Option<(Vec<Arc<Segment>>, bool)> {
        let mut list = self.lock();
        loop {
            if list.stop {
                return None;
            }
            if list.prepare || !list.finished.is_empty() {
                return Some((std::mem::take(&mut list.finished), std::mem::take(&mut list.prepare)));
            }
            list = self.changed.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what there is to do until it is told to stop.
pub fn run(jobs: &Jobs, stock: &Stock, leasing: &Leasing) {
    // What could not be deleted is tried again with the next one.
    let mut undeleted = Vec::new();
    while let Some((finished, prepare)) = jobs.next() {
        // Again and again: each of the others may take a while, in which threads go on to new segments.
        leasing.detach_surplus();
        if prepare {
            stock.prepare();
        }
        undeleted.extend(finished);
        undeleted.retain(|segment| {
            leasing.detach_surplus();
            !give_back(segment, stock, leasing, Reuse::Yes)
        });
    }
    for segment in undeleted {
        jobs.note_finished(segment);
    }
}

/// Whether a finished segment may be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// If it is fit for that.
    Yes,
    /// It is deleted.
    No,
}

/// Gives back the space of a finished segment. Whether that succeeded.
pub fn give_back(segment: &Arc<Segment>, stock: &Stock, leasing: &Leasing, reuse: Reuse) -> bool {
    leasing.forget(segment);
    let mapped = segment.detach();
    segment.folder.close(&segment.name);
    let is_fit = reuse == Reuse::Yes && leasing.owns(&segment.folder) && !segment.is_retired();
    let is_reused = is_fit && stock.recycle(&segment.path(), mapped);
    if !is_reused && let Err(error) = segment.folder.disk().remove(&segment.path()) {
        // A segment that could not be recycled may have got its new name, and was deleted with it.
        if error.kind() != std::io::ErrorKind::NotFound {
            tracing::warn!(
                "{}: the finished segment could not be deleted: {error}",
                segment.path().display()
            );
            return false;
        }
    }
    stock.note_gone(segment.bytes);
    if segment.folder.note_removed() && !leasing.owns(&segment.folder) {
        segment.folder.leave();
    }
    true
}
