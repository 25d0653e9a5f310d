//! The functions of a class table: they run inside the plugin, and turn its panics into errors.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::foreign::{ForeignHolder, ForeignHost};
use super::wire::{self, RUNS_ON_STACK, RawBatch, RawError, status};
use super::{Plugin, RawBytes, RawHost, RawReply, panic_hook};
use crate::{
    Batch, Context, Deadline, ErrorKind, Host, RawEvent, RawExtension, Sink, SinkError, SinkOptions, Written,
};

/// An instance, as the host's opaque pointer points at it.
struct Opened<S> {
    sink: S,
    host: Host,
    /// Room for the entries of a newer host, whose size differs.
    entries: Vec<RawEvent>,
}

pub(super) unsafe extern "C" fn validate<S: Sink>(
    options: RawBytes,
    context: RawBytes,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host lends the reply and the bytes for the time of the call.
    let (reply, options, context) = unsafe { (&*reply, options.bytes(), context.bytes()) };
    let (validated, panic) = panic_hook::told(|| {
        contain(|| {
            let context = read_context(context)?;
            S::validate(&read_options::<S>(options)?, &context)
        })
    });
    match validated {
        Ok(()) => status::OK,
        Err(SinkError { kind: ErrorKind::Panicked, reason, .. }) => {
            fail(reply, &SinkError::panicked(panic.unwrap_or(reason)))
        }
        Err(error) => fail(reply, &error),
    }
}

pub(super) unsafe extern "C" fn open<S: Sink>(
    options: RawBytes,
    context: RawBytes,
    host: RawHost,
    instance: *mut *mut c_void,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host lends the reply and the bytes for the time of the call.
    let (reply, options, context) = unsafe { (&*reply, options.bytes(), context.bytes()) };
    let host = Host::new(Arc::new(ForeignHost(host)));
    panic_hook::within(&host, || {
        answer(reply, || {
            let context = read_context(context)?;
            let sink = S::open(read_options::<S>(options)?, context, host.clone())?;
            panic_hook::opened(&host);
            let opened = Box::new(Opened { sink, host: host.clone(), entries: Vec::new() });
            // SAFETY: the host lends the place for the time of the call.
            unsafe { instance.write(Box::into_raw(opened).cast()) };
            Ok(None)
        })
    })
}

pub(super) unsafe extern "C" fn write_batch<S: Sink>(
    instance: *mut c_void,
    batch: *const c_void,
    taken: *mut u32,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host passes an instance that `open` made, and calls it from one thread at a time.
    let Opened { sink, host, entries } = unsafe { &mut *instance.cast::<Opened<S>>() };
    // SAFETY: the host lends the batch for the time of the call.
    let batch = unsafe { wire::sized::<RawBatch>(batch) };
    let written = panic_hook::within(host, || {
        contain(|| {
            let batch =
                batch.ok_or_else(|| SinkError::retryable("the host's batch lacks fields of 1.0.0"))?;
            // SAFETY: as above.
            unsafe { with_batch(batch, entries, |batch| sink.write_batch(batch)) }
        })
    });
    match written {
        Ok(Written::Delivered) => status::OK,
        Ok(Written::Pending { taken: count }) => {
            // SAFETY: the host lends the place for the time of the call.
            unsafe { taken.write(count) };
            status::PENDING
        }
        // SAFETY: the host lends the reply for the time of the call.
        Err(error) => fail(unsafe { &*reply }, &error),
    }
}

pub(super) unsafe extern "C" fn flush<S: Sink>(
    instance: *mut c_void,
    remaining: u64,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host passes on what `open` made, from one thread at a time, and lends the reply.
    unsafe {
        call::<S>(instance, reply, |sink| {
            sink.flush(deadline(remaining))?;
            Ok(None)
        })
    }
}

pub(super) unsafe extern "C" fn close<S: Sink>(
    instance: *mut c_void,
    remaining: u64,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host passes on what `open` made, from one thread at a time, and lends the reply.
    unsafe {
        call::<S>(instance, reply, |sink| {
            sink.close(deadline(remaining))?;
            Ok(None)
        })
    }
}

pub(super) unsafe extern "C" fn control<S: Sink>(
    instance: *mut c_void,
    request: RawBytes,
    remaining: u64,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host lends the bytes for the time of the call.
    let request = unsafe { request.bytes() };
    // SAFETY: the host passes on what `open` made, from one thread at a time, and lends the reply.
    unsafe {
        call::<S>(instance, reply, |sink| {
            let request: Value = serde_json::from_slice(request)
                .map_err(|error| SinkError::permanent(format!("the request is no JSON: {error}")))?;
            sink.control(&request, deadline(remaining)).map(Some)
        })
    }
}

pub(super) unsafe extern "C" fn inspect<S: Sink>(
    instance: *mut c_void,
    request: RawBytes,
    reply: *const RawReply,
) -> u32 {
    // SAFETY: the host lends the bytes for the time of the call.
    let request = unsafe { request.text() };
    // SAFETY: the host passes on what `open` made, from one thread at a time, and lends the reply.
    unsafe { call::<S>(instance, reply, |sink| sink.inspect(&request).map(Some)) }
}

pub(super) unsafe extern "C" fn drop_instance<S: Sink>(instance: *mut c_void, reply: *const RawReply) -> u32 {
    // SAFETY: the host passes what `open` made, and never uses it again.
    let opened = unsafe { Box::from_raw(instance.cast::<Opened<S>>()) };
    // SAFETY: the host lends the reply for the time of the call.
    let reply = unsafe { &*reply };
    let host = opened.host.clone();
    panic_hook::within(&host, || {
        answer(reply, || {
            drop(opened);
            Ok(None)
        })
    })
}

pub(super) unsafe extern "C" fn extension<S: Sink>(
    instance: *const c_void,
    id: RawBytes,
    version: u32,
    out: *mut c_void,
) -> u32 {
    // SAFETY: the host passes what `open` made, and calls it from one thread at a time.
    let Opened { sink, host, .. } = unsafe { &*instance.cast::<Opened<S>>() };
    // SAFETY: the host lends the bytes and the place for the time of the call.
    panic_hook::within(host, || unsafe { offer(id, out, |id| sink.extension(id, version)) })
}

pub(super) unsafe extern "C" fn module_extension<P: Plugin>(
    id: RawBytes,
    version: u32,
    out: *mut c_void,
) -> u32 {
    // SAFETY: the host lends the bytes and the place for the time of the call.
    unsafe { offer(id, out, |id| P::extension(id, version)) }
}

/// # Safety
/// The id and the place are lent for the time of the call.
unsafe fn offer(id: RawBytes, out: *mut c_void, find: impl FnOnce(&str) -> Option<RawExtension>) -> u32 {
    // SAFETY: as demanded of the caller.
    let id = unsafe { id.text() };
    match contain(|| Ok(find(&id))) {
        Ok(Some(extension)) => {
            // SAFETY: as demanded of the caller.
            unsafe { out.cast::<RawExtension>().write(extension) };
            1
        }
        _ => 0,
    }
}

/// # Safety
/// The instance is one that `open` made, called from one thread at a time; the reply is lent for the call.
unsafe fn call<S: Sink>(
    instance: *mut c_void,
    reply: *const RawReply,
    request: impl FnOnce(&mut S) -> Result<Option<Value>, SinkError>,
) -> u32 {
    // SAFETY: as demanded of the caller.
    let (Opened { sink, host, .. }, reply) = unsafe { (&mut *instance.cast::<Opened<S>>(), &*reply) };
    panic_hook::within(host, || answer(reply, || request(sink)))
}

fn answer(reply: &RawReply, callback: impl FnOnce() -> Result<Option<Value>, SinkError>) -> u32 {
    let bytes = contain(|| Ok(callback()?.map(|value| value.to_string())));
    match bytes {
        Ok(None) => status::OK,
        Ok(Some(json)) => {
            // SAFETY: the reply is the host's, which takes the bytes before it returns.
            unsafe { (reply.value)(reply.context, RawBytes::lend(json.as_bytes())) };
            status::OK
        }
        Err(error) => fail(reply, &error),
    }
}

fn fail(reply: &RawReply, error: &SinkError) -> u32 {
    RawError::lend(error, |error| {
        // SAFETY: the reply is the host's, which takes the error before it returns.
        unsafe { (reply.error)(reply.context, std::ptr::from_ref(error).cast()) }
    });
    status::FAILED
}

/// Turns a panic into an error.
fn contain<T>(callback: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
    catch_unwind(AssertUnwindSafe(callback))
        .unwrap_or_else(|payload| Err(SinkError::panicked(panic_message(payload))))
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        return (*message).to_owned();
    }
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            // Dropping a value of the sink's own could panic again.
            std::mem::forget(payload);
            "panicked with a value that is no text".to_owned()
        }
    }
}

fn deadline(remaining: u64) -> Deadline {
    Deadline::after(Duration::from_nanos(remaining))
}

fn read_context(json: &[u8]) -> Result<Context, SinkError> {
    serde_json::from_slice(json)
        .map_err(|error| SinkError::permanent(format!("the host's context cannot be read: {error}")))
}

fn read_options<S: Sink>(json: &[u8]) -> Result<S::Options, SinkError> {
    let options: Value = serde_json::from_slice(json)
        .map_err(|error| SinkError::permanent(format!("the options are no JSON: {error}")))?;
    Ok(S::Options::from_json(options)?)
}

/// # Safety
/// The batch and all that it points at are lent for the time of the call.
unsafe fn with_batch<R>(
    raw: &RawBatch,
    entries: &mut Vec<RawEvent>,
    write: impl FnOnce(&Batch<'_>) -> Result<R, SinkError>,
) -> Result<R, SinkError> {
    let entry_size = raw.entry_size as usize;
    let events: &[RawEvent] = if raw.event_count == 0 {
        &[]
    } else if entry_size == size_of::<RawEvent>() && raw.events.cast::<RawEvent>().is_aligned() {
        // SAFETY: the host lends `event_count` entries of exactly this size.
        unsafe { slice::from_raw_parts(raw.events.cast::<RawEvent>(), raw.event_count) }
    } else if entry_size > size_of::<RawEvent>() {
        entries.clear();
        entries.extend((0..raw.event_count).map(|position| {
            // SAFETY: the host lends `event_count` entries of `entry_size` bytes, each of which starts with a `RawEvent`.
            unsafe { raw.events.add(position * entry_size).cast::<RawEvent>().read_unaligned() }
        }));
        entries
    } else {
        return Err(SinkError::retryable(format!(
            "the host's events are {entry_size} bytes each, and 1.0.0 has {}",
            size_of::<RawEvent>()
        )));
    };

    let mut on_stack: [&[u8]; RUNS_ON_STACK] = [&[]; RUNS_ON_STACK];
    let on_heap: Vec<&[u8]>;
    let runs = if raw.run_count <= RUNS_ON_STACK {
        for (index, run) in on_stack.iter_mut().enumerate().take(raw.run_count) {
            // SAFETY: the host lends `run_count` runs and their bytes.
            *run = unsafe { (*raw.runs.add(index)).bytes() };
        }
        &on_stack[..raw.run_count]
    } else {
        // SAFETY: as above.
        on_heap = (0..raw.run_count).map(|index| unsafe { (*raw.runs.add(index)).bytes() }).collect();
        &on_heap
    };

    let holder = ForeignHolder { holder: raw.holder, hold: raw.hold };
    write(&Batch::new(raw.id, raw.attempt, deadline(raw.remaining), runs, events, &holder))
}
