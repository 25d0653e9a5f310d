//! Where the host takes what a callback answers.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use serde_json::Value;

use super::wire::{self, RawError, status};
use super::{RawBytes, RawReply};
use crate::{RawExtension, SinkError};

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

    pub(super) fn into_nothing(self, status: u32) -> Result<(), SinkError> {
        if status == status::OK { Ok(()) } else { Err(self.into_error(status)) }
    }

    pub(super) fn into_value(self, status: u32) -> Result<Value, SinkError> {
        if status != status::OK {
            return Err(self.into_error(status));
        }
        serde_json::from_slice(self.value.as_deref().unwrap_or_default())
            .map_err(|error| SinkError::retryable(format!("the sink's answer is no JSON: {error}")))
    }

    pub(super) fn into_error(self, status: u32) -> SinkError {
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

/// Asks with a place for the extension, which who answers 1 has filled.
pub(super) fn ask_for_extension(ask: impl FnOnce(*mut c_void) -> u32) -> Option<RawExtension> {
    let mut extension = MaybeUninit::<RawExtension>::uninit();
    // SAFETY: who answers 1 has written the place.
    (ask(extension.as_mut_ptr().cast()) == 1).then(|| unsafe { extension.assume_init() })
}
