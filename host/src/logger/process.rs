//! Forks and exits of this process: the only unsafe code of the library outside of the loader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use crate::spool;

/// Counts the forks between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Something to be closed when the process exits.
pub trait CloseAtExit: Send + Sync {
    /// Closes it; called once, from a thread that may be any.
    fn close_at_exit(&self);
}

static TO_CLOSE: Mutex<Vec<Weak<dyn CloseAtExit>>> = Mutex::new(Vec::new());

/// A number that is another one in a forked child. Costs a load.
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Sees to it that forks are noticed from now on.
pub fn watch_forks() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the handler is a function of this library, which is never unloaded, and it only adds to an atomic and closes descriptors: that
        // is allowed in the child of a process with threads.
        let result = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        if result != 0 {
            tracing::error!(
                "forks cannot be noticed (pthread_atfork: {result}): do not record in a forked child"
            );
        }
    });
}

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    spool::close_locks_in_child();
}

/// Closes this when the process exits, unless it is gone by then.
pub fn close_at_exit(closing: &Arc<dyn CloseAtExit>) {
    let mut to_close = TO_CLOSE.lock().unwrap_or_else(PoisonError::into_inner);
    to_close.retain(|other| other.strong_count() > 0);
    to_close.push(Arc::downgrade(closing));
    drop(to_close);
    register_exit_handler();
}

/// Has the loggers closed before anything that registered earlier for the exit of the process. To be called after each
/// opening of a sink: libraries that a plugin brings (OpenSSL, say) clean up at exit too, and handlers run last one first.
pub fn register_exit_handler() {
    /// glibc keeps every registration; beyond this many nothing new comes before the plugins' own handlers.
    const MOST: u32 = 256;
    static REGISTERED: AtomicU32 = AtomicU32::new(0);
    if REGISTERED.fetch_add(1, Ordering::Relaxed) >= MOST {
        return;
    }
    // SAFETY: the handler is a function of this library, which is never unloaded, and does not unwind.
    if unsafe { libc::atexit(close_all) } != 0 {
        tracing::error!("the exit of the process cannot be noticed (atexit): close the logger before");
    }
}

extern "C" fn close_all() {
    // Whoever exits while it holds the lock is in `close_at_exit`: the next handler, or nobody, closes.
    let Ok(mut to_close) = TO_CLOSE.try_lock() else { return };
    let closing = std::mem::take(&mut *to_close);
    drop(to_close);
    for closing in closing.iter().filter_map(Weak::upgrade) {
        // An application's own logger may panic: the panic is told by then, and the next one is closed all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| closing.close_at_exit()));
        // What is dropped here may be the last of it.
        std::mem::forget(closing);
    }
}
