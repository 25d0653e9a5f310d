//! Where a plugin's panics are shown: in the log of the host that called it.
//!
//! A plugin has a standard library of its own, so the host's panic hook never sees its panics. This hook is set inside
//! the plugin, once. A panic on a thread that the host did not call goes to the hook that was there before.

use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::ptr;
use std::sync::Once;

use crate::{Host, Level};

thread_local! {
    /// The host of the call that runs on this thread.
    static CURRENT: Cell<*const Host> = const { Cell::new(ptr::null()) };
}

/// Sets the hook, the first time.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let host = CURRENT.with(Cell::get);
            if host.is_null() {
                previous(info);
            } else {
                // SAFETY: `within` keeps the host borrowed for as long as it is the current one of this thread.
                unsafe { &*host }.log(Level::Error, "panic", &describe(info));
            }
        }));
    });
}

/// Runs `call` with this host as the one that is told of panics.
pub fn within<R>(host: &Host, call: impl FnOnce() -> R) -> R {
    struct Restore(*const Host);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }
    let _restore = Restore(CURRENT.with(|current| current.replace(host)));
    call()
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    match info.location() {
        Some(location) => format!("panicked at {location}: {message}"),
        None => format!("panicked: {message}"),
    }
}
