//! What the fuzzer found interesting or wrong, replayed.

#[path = "fuzz/replay.rs"]
mod corpus;
#[path = "fuzz/targets/mod.rs"]
mod targets;

/// Calls the target of this name with each input that is kept for it.
fn replay(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|target| target.0 == name).expect("a target");
    corpus::replay(name, *target);
}

#[test]
fn any_text_of_a_configuration_is_settings_or_mistakes_in_places() {
    replay("config");
}

#[test]
fn any_file_of_dead_letters_is_read_and_written_as_the_same() {
    replay("dead_letters");
}

#[test]
fn any_input_is_split_into_lines_that_are_canonical_events_or_refused() {
    replay("event");
}

#[test]
fn any_table_of_options_is_taken_or_refused_as_the_manifest_says() {
    replay("options");
}

#[test]
fn any_file_is_a_whole_plugin_or_refused_in_one_sentence() {
    replay("plugin_file");
}

#[test]
fn every_target_has_a_test() {
    let names: Vec<_> = targets::TARGETS.iter().map(|target| target.0).collect();
    assert_eq!(names, ["config", "dead_letters", "event", "options", "plugin_file"]);
}
