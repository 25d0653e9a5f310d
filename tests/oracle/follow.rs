//! What comes to a file from one look to the next.

use std::path::PathBuf;

/// What comes to a file that lines are appended to, from one look to the next.
pub struct Follow {
    path: PathBuf,
    at: usize,
}

impl Follow {
    /// From the beginning of this file, which may not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, at: 0 }
    }

    /// What is there since the last look. A last line that is not whole is looked at again the next time: a sink cuts it
    /// off when it goes on. Where that ends within a character, it is without the beginning of that one.
    ///
    /// # Panics
    /// If whole lines are gone, or they are no text.
    pub fn more(&mut self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let more = bytes.get(self.at..).unwrap_or_else(|| panic!("{}: lines are gone", self.path.display()));
        let (whole, torn) =
            more.split_at(more.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        self.at += whole.len();
        let torn = torn.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        String::from_utf8(whole.to_vec()).expect("text") + torn
    }
}
