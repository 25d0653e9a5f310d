//! The door through which the interface grows.

use std::ffi::c_void;

/// Takes the bytes of a reply.
pub type ReplyFn = unsafe extern "C" fn(reply_context: *mut c_void, bytes: *const u8, len: usize);

/// One function of an extension: bytes in, bytes out through the reply callback (called at most once, before the
/// function returns). Returns 0, or a code of the extension's own. Must be callable from any thread, and must not panic.
pub type ExtensionFn = unsafe extern "C" fn(
    context: *const c_void,
    bytes: *const u8,
    len: usize,
    reply: ReplyFn,
    reply_context: *mut c_void,
) -> i32;

/// An extension: a context pointer and one function. Valid as long as what handed it out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawExtension {
    /// Passed to the function, otherwise opaque.
    pub context: *const c_void,
    /// The function.
    pub call: ExtensionFn,
}

// SAFETY: the contract of `ExtensionFn` demands that function and context can be used from any thread.
unsafe impl Send for RawExtension {}
// SAFETY: as above.
unsafe impl Sync for RawExtension {}
