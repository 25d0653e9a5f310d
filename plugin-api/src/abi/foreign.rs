//! The host as a plugin sees it, and the bytes that it keeps.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

use serde_json::Value;

use super::wire::{RawAcknowledgement, RawHeld};
use super::{RawBytes, RawHost};
use crate::{Acknowledgement, HeldRuns, Hold, HostServices, Level, RawExtension};

/// The host's way to keep the bytes of a batch.
pub(super) struct ForeignHolder {
    pub(super) holder: *const c_void,
    pub(super) hold: unsafe extern "C" fn(*const c_void, *mut c_void),
}

// SAFETY: the holder is a `&dyn Hold` of the host, and `Hold` is `Sync`.
unsafe impl Sync for ForeignHolder {}

impl Hold for ForeignHolder {
    fn hold(&self) -> Arc<dyn HeldRuns> {
        let mut held = MaybeUninit::<RawHeld>::uninit();
        // SAFETY: the holder is lent for the time of `write_batch`, which borrows `self`; the host writes all of the place.
        let held = unsafe {
            (self.hold)(self.holder, held.as_mut_ptr().cast());
            held.assume_init()
        };
        Arc::new(ForeignHeld(held))
    }
}

/// Bytes of a batch that the host keeps until this is dropped.
struct ForeignHeld(RawHeld);

// SAFETY: the host's handle is an `Arc<dyn HeldRuns>`, which is `Send` and `Sync`.
unsafe impl Send for ForeignHeld {}
// SAFETY: as above.
unsafe impl Sync for ForeignHeld {}

impl HeldRuns for ForeignHeld {
    fn run(&self, index: usize) -> &[u8] {
        // SAFETY: the bytes stay as they are until the release in `drop`, and `self` is borrowed.
        unsafe { (self.0.run)(self.0.context, index).bytes() }
    }
}

impl Drop for ForeignHeld {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own, and released once.
        unsafe { (self.0.release)(self.0.context) }
    }
}

/// The host behind the boundary; released with the last clone.
pub(super) struct ForeignHost(pub(super) RawHost);

// SAFETY: the contract of `RawHost` allows all its functions from any thread.
unsafe impl Send for ForeignHost {}
// SAFETY: as above.
unsafe impl Sync for ForeignHost {}

impl HostServices for ForeignHost {
    fn log(&self, level: Level, target: &str, text: &str) {
        let (target, text) = (RawBytes::lend(target.as_bytes()), RawBytes::lend(text.as_bytes()));
        // SAFETY: the context is valid until the release in `drop`; the host copies the text.
        unsafe { (self.0.log)(self.0.context, level as u32, target, text) }
    }

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        RawAcknowledgement::lend(&acknowledgement, |raw| {
            // SAFETY: the context is valid until the release in `drop`; the host copies the acknowledgement.
            unsafe { (self.0.acknowledge)(self.0.context, std::ptr::from_ref(raw).cast()) }
        });
    }

    fn report(&self, report: &Value) {
        let json = report.to_string();
        // SAFETY: the context is valid until the release in `drop`; the host copies the bytes.
        unsafe { (self.0.report)(self.0.context, RawBytes::lend(json.as_bytes())) }
    }

    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        let mut extension = MaybeUninit::<RawExtension>::uninit();
        // SAFETY: the context is valid until the release in `drop`; when the host answers 1 it has written the place.
        unsafe {
            let id = RawBytes::lend(id.as_bytes());
            ((self.0.extension)(self.0.context, id, version, extension.as_mut_ptr().cast()) == 1)
                .then(|| extension.assume_init())
        }
    }
}

impl Drop for ForeignHost {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own, and released once.
        unsafe { (self.0.release)(self.0.context) }
    }
}
