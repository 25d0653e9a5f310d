//! What is wrong with a configuration, as it is shown to whoever wrote it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::document::{Document, Position};
use super::{Secrets, printable};

/// Everything that is wrong with a configuration: one mistake or more, in the order of the file.
///
/// Displayed, each begins with `FILE:LINE:COL: ` and is followed by an excerpt and notes, in plain text. Secret values
/// are masked and control characters escaped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mistake {
    place: Option<Place>,
    message: String,
    notes: Vec<String>,
}

/// How an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// Plain text.
    Plain,
    /// With the colours of a terminal.
    Styled,
}

#[derive(Clone, Debug)]
struct Place {
    document: Arc<Document>,
    span: Range<usize>,
}

impl ConfigError {
    /// An error about the configuration as a whole, such as a file that cannot be read. `message` names the file.
    pub(super) fn without_place(message: impl Into<String>) -> Self {
        let message = printable(&message.into()).into_owned();
        Self { mistakes: vec![Mistake { place: None, message, notes: Vec::new() }] }
    }

    pub(super) fn in_document(document: &Arc<Document>, mut drafts: Vec<Draft>) -> Self {
        drafts.sort_by_key(|draft| draft.span.start);
        Self { mistakes: drafts.into_iter().map(|draft| draft.finish(document)).collect() }
    }

    /// What is wrong, one by one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The whole text, without a newline at its end.
    pub fn render(&self, rendering: Rendering) -> String {
        let all: Vec<String> = self.mistakes.iter().map(|mistake| mistake.render(rendering)).collect();
        all.join("\n\n")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Rendering::Plain))
    }
}

impl std::error::Error for ConfigError {}

impl Mistake {
    /// The file, as messages call it; `None` where the mistake is in no file.
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.document.name.as_str())
    }

    /// Where it begins.
    pub fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|place| place.document.position(place.span.start))
    }

    /// What is wrong, in one sentence, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What else helps.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn render(&self, rendering: Rendering) -> String {
        let Some(Place { document, span }) = &self.place else {
            return self.notes.iter().fold(self.message.clone(), |text, note| text + "\n  = note: " + note);
        };
        let Position { line, column } = document.position(span.start);
        let excerpt = document.excerpt(span);
        let snippet = Snippet::source(excerpt.line)
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(excerpt.marked));
        let group = Group::with_level(Level::ERROR)
            .element(snippet)
            .elements(self.notes.iter().map(|note| Level::NOTE.message(note.as_str())));
        let renderer = match rendering {
            Rendering::Plain => Renderer::plain(),
            Rendering::Styled => Renderer::styled(),
        };
        let name = printable(&document.name);
        format!("{name}:{line}:{column}: {}\n{}", self.message, renderer.render(&[group]))
    }
}

/// A mistake while its document is still being read.
#[derive(Debug)]
pub(super) struct Draft {
    span: Range<usize>,
    message: String,
    notes: Vec<String>,
}

impl Draft {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), notes: Vec::new() }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn finish(self, document: &Arc<Document>) -> Mistake {
        let clean = |text: String, secrets: &Secrets| printable(&secrets.mask(&text)).into_owned();
        Mistake {
            message: clean(self.message, &document.secrets),
            notes: self.notes.into_iter().map(|note| clean(note, &document.secrets)).collect(),
            place: Some(Place { document: Arc::clone(document), span: self.span }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, drafts: Vec<Draft>) -> ConfigError {
        let secrets = ["hunter2".to_owned()].into_iter().collect();
        ConfigError::in_document(
            &Arc::new(Document { name: "audit.toml".into(), text: text.into(), secrets }),
            drafts,
        )
    }

    #[test]
    fn mistakes_stand_in_the_order_of_the_file_each_with_its_excerpt() {
        let error =
            error("a = 1\nb = 2\n", vec![Draft::new(6..7, "second").note("more"), Draft::new(0..1, "first")]);
        insta::assert_snapshot!(error, @r"
    audit.toml:1:1: first
      |
    1 | a = 1
      | ^

    audit.toml:2:1: second
      |
    2 | b = 2
      | ^
      |
      = note: more
    ");
    }

    #[test]
    fn messages_are_masked_and_escaped() {
        let error =
            error("a = \"hunter2\"\n", vec![Draft::new(4..13, "no hunter2\u{1b}[m").note("\"hunter2\"\n")]);
        insta::assert_snapshot!(error, @r#"
    audit.toml:1:5: no ***\u{1b}[m
      |
    1 | a = "***"
      |     ^^^^^
      |
      = note: "***"\n
    "#);
    }

    #[test]
    fn colours_are_only_in_the_styled_form() {
        let error = error("a = 1\n", vec![Draft::new(0..1, "x")]);
        assert!(!error.render(Rendering::Plain).contains('\u{1b}'));
        assert!(error.render(Rendering::Styled).contains('\u{1b}'));
    }
}
