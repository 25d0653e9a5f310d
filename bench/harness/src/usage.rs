//! What a process has used so far.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all its threads, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that it had, in KiB (`VmHWM`, mapped files included).
    pub peak_kib: u64,
    /// The memory that it has, in KiB.
    pub resident_kib: u64,
}

impl Usage {
    /// Now.
    pub fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
            peak_kib: status_kib(&status, "VmHWM:"),
            resident_kib: status_kib(&status, "VmRSS:"),
        }
    }
}

/// A number of `/proc/PID/status`, in KiB; 0 where it is not there.
pub fn status_kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
