//! Why a class path leads to no plugin.

use std::path::PathBuf;

use super::Refusal;

/// Why a class path leads to no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No file names it.
    #[error("unknown class {class:?}{}", explain(nearest.as_deref(), known, folders, unreadable, refused))]
    Unknown {
        /// The class path.
        class: String,
        /// The known one that it was perhaps meant to be.
        nearest: Option<String>,
        /// The classes that can be used, sorted.
        known: Vec<String>,
        /// The folders searched, in order.
        folders: Vec<PathBuf>,
        /// What is wrong with those that could not be read.
        unreadable: Vec<String>,
        /// The files that were refused.
        refused: Vec<Refusal>,
    },
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

impl FindError {
    pub(super) fn unknown(
        class: &str,
        known: Vec<String>,
        folders: Vec<PathBuf>,
        unreadable: Vec<String>,
        refused: Vec<Refusal>,
    ) -> Self {
        let nearest = nearest(class, &known);
        Self::Unknown { class: class.into(), nearest, known, folders, unreadable, refused }
    }
}

/// The known class that is most like this one, if any is like it at all.
fn nearest(class: &str, known: &[String]) -> Option<String> {
    let class = class.to_lowercase();
    let likeness = |known: &String| strsim::jaro_winkler(&class, &known.to_lowercase());
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then(|| best.clone())
}

fn explain(
    nearest: Option<&str>,
    known: &[String],
    folders: &[PathBuf],
    unreadable: &[String],
    refused: &[Refusal],
) -> String {
    let mut text = String::new();
    if let Some(nearest) = nearest {
        text += &format!(", did you mean {nearest:?}?");
    }
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let folders = if folders.is_empty() { "no folder".into() } else { folders.join(", ") };
    text += &format!("; known classes: {known}; searched: {folders}");
    if !unreadable.is_empty() {
        text += &format!("; {}", unreadable.join("; "));
    }
    if !refused.is_empty() {
        let refused: Vec<String> = refused.iter().map(Refusal::to_string).collect();
        text += &format!("; refused: {}", refused.join("; "));
    }
    text
}
