//! The list of seeded bugs keeps up with the product: `audit-seeded-bugs` can put each of them in.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;

use audit_tests::seeded::SeededBug;

#[test]
fn what_each_seeded_bug_replaces_is_in_its_file_exactly_once() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rotten: Vec<_> = SeededBug::all().iter().filter_map(|bug| bug.seeded(&repository).err()).collect();
    assert_eq!(rotten, [""; 0]);
}

#[test]
fn each_seeded_bug_has_a_name_of_its_own_and_changes_something() {
    let bugs = SeededBug::all();
    let names: BTreeSet<_> = bugs.iter().map(|bug| &bug.name).collect();
    assert_eq!(names.len(), bugs.len());
    assert!(bugs.len() >= 15, "{} bugs", bugs.len());
    for bug in &bugs {
        assert_ne!(bug.find, bug.replace, "{}", bug.name);
        assert!(!bug.suite.is_empty() && !bug.breaks.is_empty(), "{}", bug.name);
    }
}
