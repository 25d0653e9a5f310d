//! A copy of the repository that may be broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the files that git knows, in `target/seeded/tree`.
pub struct Copy {
    repository: PathBuf,
    folder: PathBuf,
}

impl Copy {
    /// Brings the copy up to date. Files that are the same are left alone, so that cargo need not compile them again.
    pub fn of(repository: &Path) -> Result<Self, String> {
        let repository = repository.canonicalize().map_err(|error| failed(repository, &error))?;
        let folder = repository.join("target/seeded/tree");
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        let copy = Self { repository, folder };
        let tracked = tracked_files(&copy.repository)?;
        for file in &tracked {
            copy.restore(file)?;
        }
        copy.remove_others(&copy.folder, &tracked)?;
        Ok(copy)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Where cargo keeps what it has compiled.
    pub fn target(&self) -> PathBuf {
        self.repository.join("target/seeded/build")
    }

    /// Puts this text into one of its files.
    pub fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.folder.join(file);
        fs::write(&path, text).map_err(|error| failed(&path, &error))
    }

    /// Makes a file what it is in the repository.
    pub fn restore(&self, file: &str) -> Result<(), String> {
        let (from, to) = (self.repository.join(file), self.folder.join(file));
        let bytes = fs::read(&from).map_err(|error| failed(&from, &error))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let folder = to.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::copy(&from, &to))
            .map_err(|error| failed(&to, &error))?;
        // A copy has the time of now only if it is written: cargo goes by that.
        fs::write(&to, bytes).map_err(|error| failed(&to, &error))
    }

    fn remove_others(&self, folder: &Path, tracked: &BTreeSet<String>) -> Result<(), String> {
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
            let path = entry.map_err(|error| failed(folder, &error))?.path();
            if path.is_dir() {
                self.remove_others(&path, tracked)?;
            } else if let Ok(name) = path.strip_prefix(&self.folder)
                && !name.to_str().is_some_and(|name| tracked.contains(name))
            {
                fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
            }
        }
        Ok(())
    }
}

/// What git has in its index and is there.
fn tracked_files(repository: &Path) -> Result<BTreeSet<String>, String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository).output();
    let listed = listed.map_err(|error| format!("git cannot be run: {error}"))?;
    if !listed.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr)));
    }
    let names = String::from_utf8(listed.stdout).map_err(|error| format!("git ls-files: {error}"))?;
    let names = names.split_terminator('\0').filter(|name| repository.join(name).is_file());
    Ok(names.map(str::to_owned).collect())
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
