//! The list of seeded bugs.
//!
//! A bug is a text in a file of the product, and another text that takes its place in a copy. The product itself knows
//! nothing of it.

use std::path::Path;

use serde::Deserialize;

/// A bug that some suite has to catch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeededBug {
    /// Its name on the command line and in the table.
    pub name: String,
    /// What the program does wrong with it.
    pub breaks: String,
    /// The file, relative to the repository.
    pub file: String,
    /// A text that is there exactly once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
    /// The suite that has to fail: what follows `cargo test`.
    pub suite: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    bug: Vec<SeededBug>,
}

impl SeededBug {
    /// All of `tests/seeded/bugs.toml`.
    ///
    /// # Panics
    /// If the list cannot be read: it is a part of this program.
    pub fn all() -> Vec<Self> {
        let list: List = toml::from_str(include_str!("bugs.toml")).unwrap_or_else(|error| panic!("{error}"));
        list.bug
    }

    /// The text of its file with the bug in it.
    ///
    /// # Errors
    /// Says what is wrong when the file is not there, or does not hold what is to be replaced exactly once.
    pub fn seeded(&self, repository: &Path) -> Result<String, String> {
        let Self { name, file, find, replace, .. } = self;
        let path = repository.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{name}: {} cannot be read: {error}", path.display()))?;
        match text.matches(find.as_str()).count() {
            1 => Ok(text.replacen(find, replace, 1)),
            count => Err(format!("{name}: what it replaces is {count} times in {file}: {find:?}")),
        }
    }

    /// The arguments of `cargo test`.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.suite.split_whitespace()
    }
}
