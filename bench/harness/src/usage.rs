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
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: cpu_seconds(UsageWho::RUSAGE_SELF),
            peak_kib: status_kib(&status, "VmHWM:"),
            resident_kib: status_kib(&status, "VmRSS:"),
        }
    }
}

/// The CPU time of the children that have ended, in seconds.
pub fn children_cpu_seconds() -> f64 {
    cpu_seconds(UsageWho::RUSAGE_CHILDREN)
}

/// The most memory that another process has had, in KiB; 0 once it is gone.
pub fn peak_kib(process: u32) -> u64 {
    status_kib(&status_of(process), "VmHWM:")
}

/// The memory that another process has, in KiB; 0 once it is gone.
pub fn resident_kib(process: u32) -> u64 {
    status_kib(&status_of(process), "VmRSS:")
}

fn status_of(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
}

fn cpu_seconds(whose: UsageWho) -> f64 {
    let usage = getrusage(whose).expect("a process may ask for its own usage");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// A number of `/proc/PID/status`, in KiB; 0 where it is not there.
fn status_kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
