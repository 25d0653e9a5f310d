//! An instance of a class, as its host sees it.
//!
//! Nothing that a plugin answers makes this panic: an answer that cannot be used becomes a retryable [`SinkError`].

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use serde_json::Value;

use super::reply::{Reply, ask_for_extension};
use super::services::hold;
use super::wire::{RUNS_ON_STACK, RawBatch, nanoseconds, status};
use super::{RawBytes, RawClass};
use crate::{Batch, Deadline, Delivered, RawEvent, RawExtension, SinkError, Written};

/// An instance of a class. Dropping it ends it in the plugin; an abandoned one is to be leaked.
pub struct Instance {
    pub(super) class: &'static RawClass,
    pub(super) instance: NonNull<c_void>,
}

// SAFETY: an instance holds a `Sink`, which is `Send`, and a `Host`, which is `Send` and `Sync`.
unsafe impl Send for Instance {}

impl Instance {
    /// Hands it a batch.
    pub fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let mut on_stack = [RawBytes::NONE; RUNS_ON_STACK];
        let on_heap: Vec<RawBytes>;
        let runs = batch.runs();
        let runs = if runs.len() <= RUNS_ON_STACK {
            for (raw, run) in on_stack.iter_mut().zip(runs) {
                *raw = RawBytes::lend(run);
            }
            &on_stack[..runs.len()]
        } else {
            on_heap = runs.iter().map(|run| RawBytes::lend(run)).collect();
            &on_heap
        };
        let holder = batch.holder();
        let raw = RawBatch {
            size: size_of::<RawBatch>() as u32,
            entry_size: size_of::<RawEvent>() as u32,
            id: batch.id(),
            attempt: batch.attempt(),
            reserved: 0,
            remaining: nanoseconds(batch.deadline().remaining()),
            runs: runs.as_ptr(),
            run_count: runs.len(),
            events: batch.raw_events().as_ptr().cast(),
            event_count: batch.len(),
            holder: ptr::from_ref(&holder).cast(),
            hold,
        };
        let mut reply = Reply::default();
        let mut taken = 0;
        // SAFETY: the instance is this plugin's own, `&mut self` is the only one who calls it, and all arguments live until
        // the call has returned.
        let status = unsafe {
            (self.class.write_batch)(
                self.instance.as_ptr(),
                ptr::from_ref(&raw).cast(),
                &mut taken,
                &reply.lend(),
            )
        };
        match status {
            status::OK => Ok(Written::Delivered),
            status::PENDING if taken as usize <= batch.len() => Ok(Written::Pending { taken }),
            status::PENDING => Err(SinkError::retryable(format!(
                "the sink says that it took {taken} events of a batch of {}",
                batch.len()
            ))),
            _ => Err(usable(reply.into_error(status), batch.len())),
        }
    }

    /// Makes everything durable that it answered with `Delivered`.
    pub fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let mut reply = Reply::default();
        let remaining = nanoseconds(deadline.remaining());
        // SAFETY: as in `write_batch`.
        let status = unsafe { (self.class.flush)(self.instance.as_ptr(), remaining, &reply.lend()) };
        reply.into_nothing(status)
    }

    /// Closes it; drop it afterwards.
    pub fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let mut reply = Reply::default();
        let remaining = nanoseconds(deadline.remaining());
        // SAFETY: as in `write_batch`.
        let status = unsafe { (self.class.close)(self.instance.as_ptr(), remaining, &reply.lend()) };
        reply.into_nothing(status)
    }

    /// Asks it to do something, e.g. `{"control": "reopen"}`.
    pub fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        let mut reply = Reply::default();
        let request = request.to_string();
        let remaining = nanoseconds(deadline.remaining());
        // SAFETY: as in `write_batch`.
        let status = unsafe {
            (self.class.control)(
                self.instance.as_ptr(),
                RawBytes::lend(request.as_bytes()),
                remaining,
                &reply.lend(),
            )
        };
        reply.into_value(status)
    }

    /// Asks about its state.
    pub fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        let mut reply = Reply::default();
        // SAFETY: as in `write_batch`.
        let status = unsafe {
            (self.class.inspect)(self.instance.as_ptr(), RawBytes::lend(request.as_bytes()), &reply.lend())
        };
        reply.into_value(status)
    }

    /// Asks it for an extension.
    pub fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        // SAFETY: the instance is this plugin's own, and `Instance` is not `Sync`; the rest lives until the call returned.
        ask_for_extension(|out| unsafe {
            (self.class.extension)(self.instance.as_ptr(), RawBytes::lend(id.as_bytes()), version, out)
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A panic in it was told to the host's log by the plugin itself, and there is nobody else to tell.
        let mut reply = Reply::default();
        // SAFETY: the instance is this plugin's own, and never used again.
        unsafe { (self.class.drop)(self.instance.as_ptr(), &reply.lend()) };
    }
}

/// An error that makes sense for a batch of `len` events, or one that says that it does not.
fn usable(error: SinkError, len: usize) -> SinkError {
    let beyond = match &error.events {
        Delivered::Nothing => None,
        Delivered::Prefix(count) => (*count as usize > len).then_some(*count),
        Delivered::AllExcept(positions) => {
            positions.iter().find(|position| **position as usize >= len).copied()
        }
    };
    match beyond {
        None => error,
        Some(beyond) => SinkError::retryable(format!(
            "the sink's error speaks of event {beyond} of a batch of {len}: {}",
            error.reason
        )),
    }
}
