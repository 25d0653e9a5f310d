//! What must hold for any bytes of a segment: targets for a fuzzer, and tests that replay its corpus.
//!
//! Here, since the reader of segments is private; how they are run is said in `tests/fuzz/README.md`.

mod any;
#[cfg(test)]
#[path = "../../../../tests/fuzz/replay.rs"]
mod replay;
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
    use super::replay::replay;

    #[test]
    fn any_bytes_of_a_segment_are_read_within_bounds() {
        replay("segment", super::segment);
    }

    #[test]
    fn what_damage_leaves_of_a_segment_is_found_and_the_rest_counted() {
        replay("damaged_segment", super::damaged_segment);
    }
}
