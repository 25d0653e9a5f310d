//! What must hold for any bytes that come from outside: one function for each reader, which panics where it does not.
//!
//! `tests/fuzz/main.rs` calls them with what the fuzzer makes up, `tests/fuzz.rs` with what is kept in
//! `tests/fuzz/corpus`. The reader of segments is private to its crate, and so are its targets: `audit_host::spool::fuzz`.

mod config;
mod dead_letters;
mod event;
mod options;
mod plugin_file;

/// A target: its name, which its corpus has too, and what must hold.
pub type Target = (&'static str, fn(&[u8]));

/// All targets but those of the segments.
pub const TARGETS: [Target; 5] = [
    ("config", config::check),
    ("dead_letters", dead_letters::check),
    ("event", event::check),
    ("options", options::check),
    ("plugin_file", plugin_file::check),
];

/// A message for whoever runs the program: something, on one line, without control characters.
fn assert_is_sentence(message: &str) {
    assert!(!message.trim().is_empty(), "a message without a word");
    assert!(!message.contains(char::is_control), "control characters in a message: {message:?}");
}
