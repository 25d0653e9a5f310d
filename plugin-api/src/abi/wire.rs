//! What crosses the boundary behind an untyped pointer: structs that may grow at their end.
//!
//! Each starts with its own size in bytes. Who reads one knows the fields of its own version and ignores what follows;
//! one that is smaller than this, 1.0.0's, is not usable. Numbers stand for enums: an unknown one means *retryable*.

use std::ffi::c_void;
use std::time::Duration;

use super::RawBytes;
use crate::{AckStatus, Acknowledgement, Delivered, ErrorKind, Level, SinkError};

/// What a callback returns.
pub mod status {
    /// It did what it was asked (for a batch: delivered).
    pub const OK: u32 = 0;
    /// A batch is pending.
    pub const PENDING: u32 = 1;
    /// It failed, and has told its error to the reply.
    pub const FAILED: u32 = 2;
}

/// How many runs of a batch are passed on without an allocation.
pub const RUNS_ON_STACK: usize = 8;

/// No value where a duration in nanoseconds may stand.
const NO_DURATION: u64 = u64::MAX;

/// A batch, as it crosses.
#[repr(C)]
pub struct RawBatch {
    pub size: u32,
    /// Bytes from one event to the next.
    pub entry_size: u32,
    pub id: u64,
    pub attempt: u32,
    /// Always 0.
    pub reserved: u32,
    /// Nanoseconds until the deadline.
    pub remaining: u64,
    pub runs: *const RawBytes,
    pub run_count: usize,
    /// Entries, each of which starts with a [`RawEvent`](crate::RawEvent).
    pub events: *const u8,
    pub event_count: usize,
    pub holder: *const c_void,
    /// Holder, where to write a [`RawHeld`].
    pub hold: unsafe extern "C" fn(*const c_void, *mut c_void),
}

/// A counted handle on the bytes of a batch, owned by the plugin.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawHeld {
    pub context: *const c_void,
    /// Context, index: the bytes of a run, valid until the release.
    pub run: unsafe extern "C" fn(*const c_void, usize) -> RawBytes,
    pub release: unsafe extern "C" fn(*const c_void),
}

/// A [`SinkError`], as it crosses.
#[repr(C)]
pub struct RawError {
    pub size: u32,
    /// 1 retryable, 2 permanent, 3 reopen, 4 unsupported, 5 panicked.
    pub kind: u32,
    /// 0 nothing, 1 the first `prefix`, 2 all except `positions`.
    pub delivered: u32,
    pub prefix: u32,
    pub positions: *const u32,
    pub position_count: usize,
    pub reason: RawBytes,
    /// A null pointer when no option is at fault.
    pub option: RawBytes,
    /// Nanoseconds, or all ones.
    pub retry_after: u64,
}

/// An [`Acknowledgement`], as it crosses.
#[repr(C)]
pub struct RawAcknowledgement {
    pub size: u32,
    /// 0 delivered, 1 retryable, 2 permanent.
    pub status: u32,
    pub batch: u64,
    pub first: u32,
    pub count: u32,
    /// Nanoseconds, or all ones.
    pub retry_after: u64,
    pub reason: RawBytes,
}

impl RawBytes {
    pub const NONE: Self = Self { ptr: std::ptr::null(), len: 0 };

    pub fn lend(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// # Safety
    /// The bytes must stay as they are for `'a`.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the caller lends `len` bytes at `ptr` for `'a`.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }

    /// # Safety
    /// As [`RawBytes::bytes`].
    pub unsafe fn text(self) -> String {
        // SAFETY: as demanded of the caller.
        String::from_utf8_lossy(unsafe { self.bytes() }).into_owned()
    }
}

/// The struct behind an untyped pointer, or `None` where it is null or smaller than this version knows it.
///
/// # Safety
/// A pointer that is not null points at a struct that starts with its own size, and stays as it is for `'a`.
pub unsafe fn sized<'a, T>(pointer: *const c_void) -> Option<&'a T> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the struct starts with its size, a `u32`.
    let size = unsafe { pointer.cast::<u32>().read() };
    if (size as usize) < size_of::<T>() {
        return None;
    }
    // SAFETY: the caller vouches for the pointer, and the size says that all fields of `T` are there.
    Some(unsafe { &*pointer.cast::<T>() })
}

/// Nanoseconds of a duration, cut where they do not fit.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NO_DURATION - 1).min(NO_DURATION - 1)
}

fn optional_nanoseconds(duration: Option<Duration>) -> u64 {
    duration.map_or(NO_DURATION, nanoseconds)
}

fn optional_duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != NO_DURATION).then(|| Duration::from_nanos(nanoseconds))
}

impl RawError {
    /// Lends the error to `take`.
    pub fn lend<R>(error: &SinkError, take: impl FnOnce(&RawError) -> R) -> R {
        let (delivered, prefix, positions) = match &error.events {
            Delivered::Nothing => (0, 0, [].as_slice()),
            Delivered::Prefix(count) => (1, *count, [].as_slice()),
            Delivered::AllExcept(positions) => (2, 0, positions.as_slice()),
        };
        take(&RawError {
            size: size_of::<RawError>() as u32,
            kind: match error.kind {
                ErrorKind::Retryable => 1,
                ErrorKind::Permanent => 2,
                ErrorKind::Reopen => 3,
                ErrorKind::Unsupported => 4,
                ErrorKind::Panicked => 5,
            },
            delivered,
            prefix,
            positions: positions.as_ptr(),
            position_count: positions.len(),
            reason: RawBytes::lend(error.reason.as_bytes()),
            option: error.option.as_ref().map_or(RawBytes::NONE, |option| RawBytes::lend(option.as_bytes())),
            retry_after: optional_nanoseconds(error.retry_after),
        })
    }

    /// # Safety
    /// What the error points at is lent for the time of the call.
    pub unsafe fn read(&self) -> SinkError {
        let kind = match self.kind {
            2 => ErrorKind::Permanent,
            3 => ErrorKind::Reopen,
            4 => ErrorKind::Unsupported,
            5 => ErrorKind::Panicked,
            _ => ErrorKind::Retryable,
        };
        let events = match self.delivered {
            1 => Delivered::Prefix(self.prefix),
            2 if self.position_count == 0 || self.positions.is_null() => Delivered::AllExcept(Vec::new()),
            2 => {
                // SAFETY: the caller lends `position_count` numbers at `positions`.
                let positions = unsafe { std::slice::from_raw_parts(self.positions, self.position_count) };
                Delivered::AllExcept(positions.to_vec())
            }
            _ => Delivered::Nothing,
        };
        SinkError {
            kind,
            events,
            // SAFETY: lent by the caller.
            reason: unsafe { self.reason.text() },
            retry_after: optional_duration(self.retry_after),
            // SAFETY: lent by the caller.
            option: (!self.option.ptr.is_null()).then(|| unsafe { self.option.text() }),
        }
    }
}

impl RawAcknowledgement {
    /// Lends the acknowledgement to `take`.
    pub fn lend(acknowledgement: &Acknowledgement, take: impl FnOnce(&RawAcknowledgement)) {
        take(&RawAcknowledgement {
            size: size_of::<RawAcknowledgement>() as u32,
            status: acknowledgement.status as u32,
            batch: acknowledgement.batch,
            first: acknowledgement.first,
            count: acknowledgement.count,
            retry_after: optional_nanoseconds(acknowledgement.retry_after),
            reason: RawBytes::lend(acknowledgement.reason.as_bytes()),
        });
    }

    /// # Safety
    /// What it points at is lent for the time of the call.
    pub unsafe fn read(&self) -> Acknowledgement {
        Acknowledgement {
            batch: self.batch,
            first: self.first,
            count: self.count,
            status: match self.status {
                0 => AckStatus::Delivered,
                2 => AckStatus::Permanent,
                _ => AckStatus::Retryable,
            },
            retry_after: optional_duration(self.retry_after),
            // SAFETY: lent by the caller.
            reason: unsafe { self.reason.text() },
        }
    }
}

/// The level of a number; one that this version does not know is shown as information.
pub fn level(code: u32) -> Level {
    match code {
        1 => Level::Error,
        2 => Level::Warn,
        4 => Level::Debug,
        5 => Level::Trace,
        _ => Level::Info,
    }
}
