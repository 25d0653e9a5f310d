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

/// An extension of the interface: a context pointer and one function, valid until the process ends.
///
/// [`RawExtension::of`] makes one, [`RawExtension::call`] uses one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawExtension {
    pub(crate) context: *const c_void,
    pub(crate) call: ExtensionFn,
}
