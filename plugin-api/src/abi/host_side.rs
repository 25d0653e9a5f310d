//! The host's end of the boundary: a loaded plugin, and the instances of its classes.
//!
//! Nothing that a plugin answers makes these panic: an answer that cannot be used becomes a retryable [`SinkError`].

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use serde_json::Value;

use super::plugin_side::RUNS_ON_STACK;
use super::wire::{self, RawAcknowledgement, RawBatch, RawError, RawHeld, nanoseconds, status};
use super::{ModuleError, RawBytes, RawClass, RawHost, RawModuleRef, RawReply, shake_hands};
use crate::manifest::Manifest;
use crate::{
    Batch, Context, Deadline, Delivered, HeldRuns, Hold, HostServices, Level, RawEvent, RawExtension,
    SinkError, Written,
};

/// A plugin that was loaded, and shook hands. It stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Module(pub(super) RawModuleRef);

impl Module {
    /// Loads the plugin and shakes hands with it; `manifest` is what its file says about itself.
    ///
    /// The file runs code of its own as soon as it is loaded: check it before.
    pub fn load(path: &Path, manifest: &Manifest) -> Result<Self, ModuleError> {
        shake_hands(path, &manifest.entry_symbol()).map(Self)
    }

    /// The class paths in it.
    pub fn classes(&self) -> Vec<String> {
        self.0.classes().iter().map(|class| class.name.to_string()).collect()
    }

    /// Checks the options of a class (a JSON object, without the worker's), without any side effect.
    pub fn validate(&self, class: &str, options: &Value, context: &Context) -> Result<(), SinkError> {
        let class = self.class(class)?;
        let (options, context) = (options.to_string(), write_context(context)?);
        let mut reply = Reply::default();
        // SAFETY: all arguments live until the call has returned.
        let status = unsafe {
            (class.validate)(
                RawBytes::lend(options.as_bytes()),
                RawBytes::lend(context.as_bytes()),
                &reply.lend(),
            )
        };
        reply.into_nothing(status)
    }

    /// Opens an instance of a class. What it calls goes to `services`.
    pub fn open(
        &self,
        class: &str,
        options: &Value,
        context: &Context,
        services: Arc<dyn HostServices>,
    ) -> Result<Instance, SinkError> {
        let class = self.class(class)?;
        let (options, context) = (options.to_string(), write_context(context)?);
        let mut reply = Reply::default();
        let mut instance = ptr::null_mut();
        // SAFETY: all arguments live until the call has returned; the plugin owns the host, and releases it.
        let status = unsafe {
            (class.open)(
                RawBytes::lend(options.as_bytes()),
                RawBytes::lend(context.as_bytes()),
                hand_out(services),
                &mut instance,
                &reply.lend(),
            )
        };
        reply.into_nothing(status)?;
        match NonNull::new(instance) {
            Some(instance) => Ok(Instance { class, instance }),
            None => Err(SinkError::retryable(format!("`{}` opened without an instance", class.name))),
        }
    }

    /// Asks the module for an extension.
    pub fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        let ask = self.0.extension();
        // SAFETY: the id and the place live until the call has returned.
        ask_for_extension(|out| unsafe { ask(RawBytes::lend(id.as_bytes()), version, out) })
    }

    fn class(&self, name: &str) -> Result<&'static RawClass, SinkError> {
        let classes = self.0.classes().as_slice();
        classes.iter().find(|class| class.name.as_str() == name).ok_or_else(|| {
            SinkError::permanent(format!(
                "the plugin has no class `{name}`, although its manifest says so; it has {}",
                self.classes().join(", ")
            ))
        })
    }
}

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

fn write_context(context: &Context) -> Result<String, SinkError> {
    serde_json::to_string(context)
        .map_err(|error| SinkError::permanent(format!("the context cannot be written as JSON: {error}")))
}

fn ask_for_extension(ask: impl FnOnce(*mut c_void) -> u32) -> Option<RawExtension> {
    let mut extension = MaybeUninit::<RawExtension>::uninit();
    // SAFETY: who answers 1 has written the place.
    (ask(extension.as_mut_ptr().cast()) == 1).then(|| unsafe { extension.assume_init() })
}

/// What a callback has answered so far.
#[derive(Default)]
pub(super) struct Reply {
    value: Option<Vec<u8>>,
    pub(super) error: Option<SinkError>,
}

impl Reply {
    pub(super) fn lend(&mut self) -> RawReply {
        RawReply { context: ptr::from_mut(self).cast(), value: take_value, error: take_error }
    }

    fn into_nothing(self, status: u32) -> Result<(), SinkError> {
        if status == status::OK { Ok(()) } else { Err(self.into_error(status)) }
    }

    fn into_value(self, status: u32) -> Result<Value, SinkError> {
        if status != status::OK {
            return Err(self.into_error(status));
        }
        serde_json::from_slice(self.value.as_deref().unwrap_or_default())
            .map_err(|error| SinkError::retryable(format!("the sink's answer is no JSON: {error}")))
    }

    fn into_error(self, status: u32) -> SinkError {
        match (status, self.error) {
            (status::FAILED, Some(error)) => error,
            (status::FAILED, None) => SinkError::retryable("the sink failed without saying why"),
            _ => SinkError::retryable(format!(
                "the sink answered with status {status}, which this host does not know"
            )),
        }
    }
}

unsafe extern "C" fn take_value(reply: *mut c_void, bytes: RawBytes) {
    // SAFETY: the context is the `Reply` of the call that runs, and the plugin lends the bytes.
    unsafe { (*reply.cast::<Reply>()).value = Some(bytes.bytes().to_vec()) }
}

unsafe extern "C" fn take_error(reply: *mut c_void, error: *const c_void) {
    // SAFETY: the plugin lends a `RawError`, which starts with its size.
    let error = unsafe { wire::sized::<RawError>(error).map(|error| error.read()) };
    let error = error.unwrap_or_else(|| SinkError::retryable("the sink's error lacks fields of 1.0.0"));
    // SAFETY: the context is the `Reply` of the call that runs.
    unsafe { (*reply.cast::<Reply>()).error = Some(error) }
}

unsafe extern "C" fn hold(holder: *const c_void, out: *mut c_void) {
    // SAFETY: the holder is the `&dyn Hold` of the call that runs.
    let holder = unsafe { *holder.cast::<&dyn Hold>() };
    let held: Box<Arc<dyn HeldRuns>> = Box::new(holder.hold());
    let raw = RawHeld { context: Box::into_raw(held).cast(), run: held_run, release: held_release };
    // SAFETY: the plugin lends a place for a `RawHeld`.
    unsafe { out.cast::<RawHeld>().write(raw) }
}

unsafe extern "C" fn held_run(context: *const c_void, index: usize) -> RawBytes {
    // SAFETY: the context is the `Arc` of `hold`, which the plugin has not released.
    RawBytes::lend(unsafe { &*context.cast::<Arc<dyn HeldRuns>>() }.run(index))
}

unsafe extern "C" fn held_release(context: *const c_void) {
    // SAFETY: the context is the `Arc` of `hold`, released once.
    drop(unsafe { Box::from_raw(context.cast_mut().cast::<Arc<dyn HeldRuns>>()) });
}

/// Gives the services to a plugin, which releases them.
fn hand_out(services: Arc<dyn HostServices>) -> RawHost {
    RawHost {
        context: Box::into_raw(Box::new(services)).cast(),
        log: host_log,
        acknowledge: host_acknowledge,
        report: host_report,
        extension: host_extension,
        release: host_release,
    }
}

/// Calls the services; a panic of theirs ends here, since it may not cross into the plugin.
///
/// # Safety
/// The context is that of `hand_out`, not yet released.
unsafe fn serve<R: Default>(context: *const c_void, call: impl FnOnce(&dyn HostServices) -> R) -> R {
    // SAFETY: as demanded of the caller.
    let services = unsafe { &*context.cast::<Arc<dyn HostServices>>() };
    catch_unwind(AssertUnwindSafe(|| call(&**services))).unwrap_or_default()
}

unsafe extern "C" fn host_log(context: *const c_void, level: u32, target: RawBytes, text: RawBytes) {
    // SAFETY: the plugin lends the text, and has not released the context.
    unsafe { serve(context, |services| services.log(wire::level(level), &target.text(), &text.text())) }
}

unsafe extern "C" fn host_acknowledge(context: *const c_void, acknowledgement: *const c_void) {
    // SAFETY: the plugin lends a `RawAcknowledgement`, and has not released the context.
    unsafe {
        serve(context, |services| match wire::sized::<RawAcknowledgement>(acknowledgement) {
            Some(acknowledgement) => services.acknowledge(acknowledgement.read()),
            None => services.log(Level::Error, "plugin", "an acknowledgement lacks fields of 1.0.0: ignored"),
        })
    }
}

unsafe extern "C" fn host_report(context: *const c_void, report: RawBytes) {
    // SAFETY: the plugin lends the bytes, and has not released the context.
    unsafe {
        serve(context, |services| match serde_json::from_slice(report.bytes()) {
            Ok(report) => services.report(&report),
            Err(error) => services.log(Level::Error, "plugin", &format!("a report is no JSON: {error}")),
        })
    }
}

unsafe extern "C" fn host_extension(
    context: *const c_void,
    id: RawBytes,
    version: u32,
    out: *mut c_void,
) -> u32 {
    // SAFETY: the plugin lends the id and the place, and has not released the context.
    unsafe {
        let Some(extension) = serve(context, |services| services.extension(&id.text(), version)) else {
            return 0;
        };
        out.cast::<RawExtension>().write(extension);
        1
    }
}

unsafe extern "C" fn host_release(context: *const c_void) {
    // SAFETY: the context is that of `hand_out`, released once.
    let services = unsafe { Box::from_raw(context.cast_mut().cast::<Arc<dyn HostServices>>()) };
    // What is behind them may be dropped here: its panic may not cross either.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(services))) {
        std::mem::forget(payload);
    }
}
