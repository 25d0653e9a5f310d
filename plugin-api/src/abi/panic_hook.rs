//! Where a plugin's panics are shown: in the log of the host that called it.
//!
//! A plugin has a standard library of its own, so the host's panic hook never sees its panics. This hook is set inside
//! the plugin, once. A panic on a thread of the plugin's own is shown under the sink that was opened last; where none is
//! open, it goes to the hook that was there before.

use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use serde_json::Value;

use crate::{Acknowledgement, Host, HostServices, Level, RawExtension};

thread_local! {
    /// The host of the call that runs on this thread.
    static CURRENT: Cell<*const Host> = const { Cell::new(ptr::null()) };
}

/// The hosts of open instances, in the order of opening.
static OPEN: Mutex<Vec<Weak<dyn HostServices>>> = Mutex::new(Vec::new());

/// Sets the hook, the first time.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let host = CURRENT.with(Cell::get);
            if !host.is_null() {
                // SAFETY: `within` keeps the host borrowed for as long as it is the current one of this thread.
                unsafe { &*host }.log(Level::Error, "panic", &describe(info));
            } else if let Some(host) = opened_last() {
                host.log(Level::Error, "panic", &format!("a thread of the plugin {}", describe(info)));
            } else {
                previous(info);
            }
        }));
    });
}

/// Has panics of the plugin's own threads shown by this host, for as long as somebody keeps it.
pub fn opened(host: &Host) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|other| other.strong_count() > 0);
    open.push(host.downgrade());
}

fn opened_last() -> Option<Arc<dyn HostServices>> {
    OPEN.try_lock().ok()?.iter().rev().find_map(Weak::upgrade)
}

/// Runs `call` where there is no host yet; returns the description of its last panic as well.
pub fn told<R>(call: impl FnOnce() -> R) -> (R, Option<String>) {
    struct Told(Mutex<Option<String>>);
    impl HostServices for Told {
        fn log(&self, _: Level, _: &str, text: &str) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
        }
        fn acknowledge(&self, _: Acknowledgement) {}
        fn report(&self, _: &Value) {}
        fn extension(&self, _: &str, _: u32) -> Option<RawExtension> {
            None
        }
    }
    let told = Arc::new(Told(Mutex::new(None)));
    let result = within(&Host::new(told.clone()), call);
    let panic = told.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    (result, panic)
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
