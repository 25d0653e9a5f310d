//! The fuzzer: calls the target that `AUDIT_FUZZ_TARGET` names. See README.md.
#![no_main]

mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use audit_host::spool::fuzz::{damaged_segment, segment};
use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("AUDIT_FUZZ_TARGET").unwrap_or_default();
    let segments: [Target; 2] = [("segment", segment), ("damaged_segment", damaged_segment)];
    let known: Vec<Target> = TARGETS.into_iter().chain(segments).collect();
    let Some(target) = known.iter().find(|target| target.0 == name) else {
        let names: Vec<_> = known.iter().map(|target| target.0).collect();
        eprintln!("no target {name:?}: AUDIT_FUZZ_TARGET names one of {}", names.join(", "));
        std::process::exit(2);
    };
    *target
});

fuzz_target!(|bytes: &[u8]| (TARGET.1)(bytes));
