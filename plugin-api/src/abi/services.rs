//! What a plugin may call: the host's services, and holds on the bytes of a batch.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::wire::{self, RawAcknowledgement, RawHeld};
use super::{RawBytes, RawHost};
use crate::{HeldRuns, Hold, HostServices, Level, RawExtension};

/// Gives the services to a plugin, which releases them.
pub(super) fn hand_out(services: Arc<dyn HostServices>) -> RawHost {
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

/// Writes a [`RawHeld`] to the place; the holder is the `&dyn Hold` of the call that runs.
pub(super) unsafe extern "C" fn hold(holder: *const c_void, out: *mut c_void) {
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
