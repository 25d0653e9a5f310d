//! Both sides of the extension door.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use super::RawBytes;
use crate::RawExtension;

/// One function of bytes to bytes, called from any thread.
pub trait Extension: Send + Sync {
    /// Answers a request; an error is a code of the extension's own, at least 1.
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32>;
}

/// What [`RawExtension::call`] returns when the extension panicked.
const PANICKED: i32 = -1;

// SAFETY: who makes one vouches that function and context can be used from any thread.
unsafe impl Send for RawExtension {}
// SAFETY: as above.
unsafe impl Sync for RawExtension {}

impl RawExtension {
    /// Makes an extension of a value that lives until the process ends.
    pub fn of<E: Extension>(extension: &'static E) -> Self {
        Self { context: std::ptr::from_ref(extension).cast(), call: answer::<E> }
    }

    /// Calls it. An error is a code of the extension's own, or -1 when it panicked.
    pub fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32> {
        let mut reply: Vec<u8> = Vec::new();
        // SAFETY: an extension is valid until the process ends, and `reply` until the call has returned.
        let code = unsafe {
            (self.call)(
                self.context,
                request.as_ptr(),
                request.len(),
                take_reply,
                std::ptr::from_mut(&mut reply).cast(),
            )
        };
        if code == 0 { Ok(reply) } else { Err(code) }
    }
}

unsafe extern "C" fn answer<E: Extension>(
    context: *const c_void,
    bytes: *const u8,
    len: usize,
    reply: crate::extension::ReplyFn,
    reply_context: *mut c_void,
) -> i32 {
    // SAFETY: the context is the `&'static E` of `RawExtension::of`.
    let extension = unsafe { &*context.cast::<E>() };
    // SAFETY: the caller lends the bytes for the time of the call.
    let request = unsafe { RawBytes { ptr: bytes, len }.bytes() };
    match catch_unwind(AssertUnwindSafe(|| extension.call(request))) {
        Ok(Ok(answer)) => {
            // SAFETY: the caller's reply takes the bytes before it returns.
            unsafe { reply(reply_context, answer.as_ptr(), answer.len()) };
            0
        }
        Ok(Err(code)) => code,
        Err(payload) => {
            // Dropping it could panic again.
            std::mem::forget(payload);
            PANICKED
        }
    }
}

unsafe extern "C" fn take_reply(reply: *mut c_void, bytes: *const u8, len: usize) {
    if bytes.is_null() {
        return;
    }
    // SAFETY: the context is the `Vec` of `RawExtension::call`, which waits for this call.
    let reply = unsafe { &mut *reply.cast::<Vec<u8>>() };
    // SAFETY: the extension lends the bytes for the time of this call.
    reply.extend_from_slice(unsafe { slice::from_raw_parts(bytes, len) });
}
