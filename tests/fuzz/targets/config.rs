//! `audit.toml`: settings within their bounds, or mistakes that each name a place in the text and hide what is secret.

use std::collections::BTreeSet;
use std::path::Path;

use audit_host::config::{Config, ConfigError, Rendering};

use super::assert_is_sentence;

/// A text of a configuration.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Which files of this machine can be read is no property of the text.
    if text.contains("${file:/") || text.contains("${file:..") {
        return;
    }
    let is_toml = toml::from_str::<toml::Table>(text.strip_prefix('\u{feff}').unwrap_or(text)).is_ok();
    match read(text) {
        Ok(config) => {
            assert!(is_toml, "it is no TOML");
            check_settings(&config);
            let shown = format!("{config:?}");
            let with_comment = read(&format!("{text}\n# a comment")).expect("a comment changes nothing");
            assert_eq!(format!("{with_comment:?}"), shown);
        }
        Err(error) => check_mistakes(text, &error),
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_str(text, Path::new("/nowhere/at/all"))
}

fn check_settings(config: &Config) {
    let names: BTreeSet<_> = config.sinks.iter().map(|sink| &sink.name).collect();
    assert_eq!(names.len(), config.sinks.len(), "names are unique");
    for sink in &config.sinks {
        assert!(sink.class.split('.').count() >= 2, "{:?} is no class path", sink.class);
        assert!(sink.batch_size != Some(0) && sink.max_in_flight != Some(0));
        assert!(sink.options.is_object());
    }
    let (buffer, delivery) = (&config.buffer, &config.delivery);
    assert!((1..=buffer.capacity_bytes / 4).contains(&buffer.max_event_bytes), "{buffer:?}");
    assert!(delivery.retry_initial <= delivery.retry_max, "{delivery:?}");
    assert!(!delivery.open_timeout.is_zero() && !delivery.write_timeout.is_zero());
    assert_ne!(delivery.dead_letter_path, delivery.rejected_path);
    let spool = buffer.spool.iter().map(|spool| &spool.dir);
    let paths = config.plugins.dirs.iter().chain([&delivery.dead_letter_path, &delivery.rejected_path]);
    paths
        .chain(spool)
        .for_each(|path| assert!(path.is_absolute(), "{path:?} depends on the working directory"));
}

fn check_mistakes(text: &str, error: &ConfigError) {
    assert!(!error.mistakes().is_empty(), "an error without a mistake");
    let shown = error.to_string();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "control characters in {shown:?}");
    assert!(!error.render(Rendering::Styled).is_empty());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut before = (0, 0);
    for mistake in error.mistakes() {
        assert_is_sentence(mistake.message());
        mistake.notes().iter().for_each(|note| assert_is_sentence(note));
        let position = mistake.position().expect("a place in the text");
        let (line, column) = (position.line, position.column);
        assert!(before <= (line, column), "in the order of the text");
        before = (line, column);
        let there = text.split('\n').nth(line - 1).expect("a line of the text");
        assert!((1..=there.chars().count() + 1).contains(&column), "no column {column} in {there:?}");
        let start = format!("<string>:{line}:{column}: {}", mistake.message());
        assert!(shown.contains(&start), "no {start:?} in {shown:?}");
    }
    // The one variable that is set wherever this runs.
    let secret = std::env::var("PATH").unwrap_or_default();
    if secret.len() > 8 && !text.contains(&secret) {
        assert!(!shown.contains(&secret), "a value from the environment is shown: {shown}");
    }
}
