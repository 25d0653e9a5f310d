//! What must hold for any bytes of a segment: targets for a fuzzer, and tests that replay its corpus.
//!
//! Here, since the reader of segments is private; how they are run is said in `tests/fuzz/README.md`.

mod any;
mod written;

/// The bytes of a segment's file.
pub fn segment(bytes: &[u8]) {
    any::check(bytes);
}

/// A script of what was written into a segment, and of what befell it then.
pub fn damaged_segment(script: &[u8]) {
    written::check(script);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Calls `target` with each input that is kept for it.
    fn replay(name: &str, target: fn(&[u8])) {
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

    #[test]
    fn any_bytes_of_a_segment_are_read_within_bounds() {
        replay("segment", super::segment);
    }

    #[test]
    fn what_damage_leaves_of_a_segment_is_found_and_the_rest_counted() {
        replay("damaged_segment", super::damaged_segment);
    }
}
