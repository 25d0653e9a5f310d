//! Consecutive events of a batch.

use audit_plugin_api::Batch;

/// Consecutive events of a batch.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    batch: Batch<'a>,
    start: usize,
    end: usize,
}

impl<'a> Section<'a> {
    /// All of them.
    pub fn whole(batch: &Batch<'a>) -> Self {
        Self { batch: *batch, start: 0, end: batch.len() }
    }

    /// Position of the first one within the batch.
    pub fn start(self) -> usize {
        self.start
    }

    /// How many.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As many of the first events as are this many bytes long at most, with their newlines.
    pub fn first_bytes(self, bytes: u64) -> Self {
        let count = self.ends().take_while(|&end| end <= bytes).count();
        Self { end: self.start + count, ..self }
    }

    /// The first one.
    pub fn first_event(self) -> Self {
        Self { end: self.end.min(self.start + 1), ..self }
    }

    /// What follows `first`, which are the first ones of these.
    pub fn behind(self, first: Self) -> Self {
        Self { start: first.end, ..self }
    }

    /// Where each line ends behind its newline, counted in bytes from the first.
    pub fn ends(self) -> impl Iterator<Item = u64> + 'a {
        let mut end = 0;
        self.batch.raw_events()[self.start..self.end].iter().map(move |event| {
            end += u64::from(event.len) + 1;
            end
        })
    }

    /// The lines, with their newlines: as few slices as possible.
    pub fn slices(self) -> Vec<&'a [u8]> {
        if self.len() == self.batch.len() {
            return self.batch.runs().to_vec();
        }
        let events = &self.batch.raw_events()[self.start..self.end];
        events
            .chunk_by(|one, next| one.run == next.run)
            .map(|same| {
                let (first, last) = (same[0], same[same.len() - 1]);
                let range = first.offset as usize..last.offset as usize + last.len as usize + 1;
                self.batch.runs().get(first.run as usize).and_then(|run| run.get(range)).unwrap_or_default()
            })
            .collect()
    }
}
