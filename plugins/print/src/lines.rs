//! The lines of a batch, as Python's `print` would print them.

use audit_plugin_api::{Batch, Event, SinkError};

use crate::line::Parts;
use crate::python::{push_bool, push_tuple};

/// Lines that are to be printed. Keeps its memory from batch to batch.
#[derive(Default)]
pub struct Lines {
    /// The lines, each with its newline.
    pub text: Vec<u8>,
    /// Where each line ends, behind its newline.
    pub ends: Vec<usize>,
}

impl Lines {
    /// Makes the lines `prefix action granted attributes`. Stops with an error at an event that cannot be read; the
    /// lines before it are made.
    pub fn print(&mut self, batch: &Batch<'_>, prefix: &str) -> Result<(), SinkError> {
        self.clear();
        for event in batch.events() {
            self.push(prefix, event).ok_or_else(|| {
                let reason = format!("event {} is not a canonical line", event.event_id());
                SinkError::permanent(reason).after(self.ends.len() as u32)
            })?;
        }
        Ok(())
    }

    /// Notes where the canonical lines of the batch end; makes no text.
    pub fn measure(&mut self, batch: &Batch<'_>) {
        self.clear();
        let mut end = 0;
        for event in batch.events() {
            end += event.json().len() + 1;
            self.ends.push(end);
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, prefix: &str, event: Event<'_>) -> Option<()> {
        let parts = Parts::find(event.json())?;
        self.text.extend_from_slice(prefix.as_bytes());
        self.text.push(b' ');
        self.text.extend_from_slice(parts.action.as_bytes());
        self.text.push(b' ');
        push_bool(event.granted(), &mut self.text);
        self.text.push(b' ');
        push_tuple(parts.attributes(), &mut self.text);
        self.text.push(b'\n');
        self.ends.push(self.text.len());
        Some(())
    }
}
