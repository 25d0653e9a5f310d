//! The names of rotated files: `path` → `path.1` → `path.2` → …
//!
//! Files are only renamed, from the oldest to the youngest, so that none is overwritten and a crash in between leaves
//! at worst a number that is missing.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Moves the file away from its path. Where `max_files` are kept, those beyond are deleted first; returns them.
pub fn rotate(path: &Path, max_files: Option<u32>) -> io::Result<Vec<PathBuf>> {
    let mut count =
        (1..).find(|&number| fs::symlink_metadata(rotated(path, number)).is_err()).unwrap_or(1) - 1;
    let mut deleted = Vec::new();
    if let Some(max_files) = max_files {
        while count >= max_files {
            let oldest = rotated(path, count);
            fs::remove_file(&oldest)?;
            deleted.push(oldest);
            count -= 1;
        }
    }
    for number in (1..=count).rev() {
        fs::rename(rotated(path, number), rotated(path, number + 1))?;
    }
    fs::rename(path, rotated(path, 1))?;
    Ok(deleted)
}

fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in files {
                fs::write(folder.path().join(name), content).unwrap();
            }
            Self(folder)
        }

        fn rotate(&self, max_files: Option<u32>) -> Vec<String> {
            let deleted = rotate(&self.0.path().join("a"), max_files).unwrap();
            deleted.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        }

        fn content(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(self.0.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| {
                    (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            files.sort();
            files
        }
    }

    fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|&(name, content)| (name.into(), content.into())).collect()
    }

    #[test]
    fn each_file_moves_on_by_one() {
        let folder = Folder::with(&[("a", "new"), ("a.1", "old"), ("a.2", "older")]);
        assert!(folder.rotate(None).is_empty());
        assert_eq!(folder.content(), files(&[("a.1", "new"), ("a.2", "old"), ("a.3", "older")]));
    }

    #[test]
    fn those_beyond_the_limit_are_deleted_and_named() {
        let folder = Folder::with(&[("a", "0"), ("a.1", "1"), ("a.2", "2"), ("a.3", "3")]);
        assert_eq!(folder.rotate(Some(2)), ["a.3", "a.2"]);
        assert_eq!(folder.content(), files(&[("a.1", "0"), ("a.2", "1")]));
    }

    #[test]
    fn with_a_limit_of_one_only_the_last_is_kept() {
        let folder = Folder::with(&[("a", "0"), ("a.1", "1")]);
        assert_eq!(folder.rotate(Some(1)), ["a.1"]);
        assert_eq!(folder.content(), files(&[("a.1", "0")]));
    }

    #[test]
    fn a_gap_in_the_numbers_is_filled_and_nothing_is_overwritten() {
        let folder = Folder::with(&[("a", "0"), ("a.1", "1"), ("a.3", "3")]);
        folder.rotate(None);
        assert_eq!(folder.content(), files(&[("a.1", "0"), ("a.2", "1"), ("a.3", "3")]));
    }

    #[test]
    fn files_of_other_names_stay() {
        let folder = Folder::with(&[("a", "0"), ("a.torn", "t"), ("ab.1", "b")]);
        folder.rotate(Some(1));
        assert_eq!(folder.content(), files(&[("a.1", "0"), ("a.torn", "t"), ("ab.1", "b")]));
    }
}
