//! The corpus of a fuzz target, replayed; a part of the tests of two crates.

use std::path::Path;

/// Calls `target` with each input that is kept for the target of this name.
pub fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name);
    let mut inputs = 0;
    for input in std::fs::read_dir(&folder).expect("the corpus") {
        let path = input.expect("an input").path();
        let bytes = std::fs::read(&path).expect("its bytes");
        // Captured, and shown if it fails.
        println!("{}", path.display());
        target(&bytes);
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}
