//! Why a class path leads to no plugin.

use std::fmt;
use std::path::PathBuf;

use super::Refusal;

/// Why a class path leads to no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No file names it.
    #[error(transparent)]
    Unknown(Box<UnknownClass>),
    /// Two files of one folder name it.
    #[error("class {class:?} is in two files of one folder, {} and {}: remove one of them", files[0].display(), files[1].display())]
    Twice {
        /// The class path.
        class: String,
        /// The files.
        files: [PathBuf; 2],
    },
    /// The file that names it is refused.
    #[error("class {class:?} cannot be used: {refusal}")]
    Refused {
        /// The class path.
        class: String,
        /// Why.
        refusal: Refusal,
    },
}

/// A class that no file names, and all that is known instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClass {
    /// The class path.
    pub class: String,
    /// The known one that it was perhaps meant to be.
    pub nearest: Option<String>,
    /// The classes that can be used, sorted.
    pub known: Vec<String>,
    /// The folders searched, in order.
    pub folders: Vec<PathBuf>,
    /// What is wrong with those that could not be read.
    pub unreadable: Vec<String>,
    /// The files that were refused.
    pub refused: Vec<Refusal>,
}

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown class {:?}", self.class)?;
        if let Some(nearest) = &self.nearest {
            write!(f, ", did you mean {nearest:?}?")?;
        }
        let folders = self.folders.iter().map(|folder| folder.display().to_string());
        write!(f, "; known classes: {}; searched: {}", list(self.known.iter().cloned()), list(folders))?;
        self.unreadable.iter().try_for_each(|problem| write!(f, "; {problem}"))?;
        self.refused.iter().try_for_each(|refusal| write!(f, "; refused: {refusal}"))
    }
}

impl std::error::Error for UnknownClass {}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}
