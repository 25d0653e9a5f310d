//! Which processes are kin: forked one from the other, or all from a third.
//!
//! A forked process has its parent's address space, and where that lies is drawn by lot with each `exec`. The auxiliary
//! vector tells: it is the same in all processes between which there was no `exec`, and in no other, unless somebody has
//! switched the lots off.

use std::fs;

/// Whether the process of this pid is kin of this one.
pub fn is_kin(pid: i32) -> bool {
    let vector =
        |process: &str| fs::read(format!("/proc/{process}/auxv")).ok().filter(|bytes| !bytes.is_empty());
    pid > 0 && vector("self").is_some_and(|ours| vector(&pid.to_string()) == Some(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_its_own_kin_and_no_other_is() {
        assert!(is_kin(std::process::id() as i32));
        assert!(!is_kin(std::os::unix::process::parent_id() as i32));
        for nobody in [0, -1, i32::MAX] {
            assert!(!is_kin(nobody));
        }
    }
}
