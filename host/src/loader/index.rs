//! Which class is in which file, over all plugin folders, without running any plugin.
//!
//! The first folder that names a class wins, and what it hides from later folders can be asked for. A refused file
//! counts where its manifest can be read: that a class is *there, but refused* is an error, never a reason to take
//! another file of the same class from a later folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Candidate, FindError, Sha256, UnknownClass};
use crate::config::nearest;

/// All candidates in the plugin folders.
#[derive(Clone, Debug, Default)]
pub struct PluginIndex {
    folders: Vec<Folder>,
}

/// A plugin folder.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Its `*.so` files, by name.
    pub candidates: Vec<Candidate>,
    /// Why it could not be read.
    pub problem: Option<String>,
}

/// A class that is in a file, but is used from a file in an earlier folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The class.
    pub class: String,
    /// The file that it is used from.
    pub used: PathBuf,
    /// The file that it is not used from.
    pub ignored: PathBuf,
}

impl PluginIndex {
    /// Looks at every `*.so` in these folders. `pins` are SHA-256s by file name.
    pub fn scan(folders: &[PathBuf], pins: &BTreeMap<String, [u8; 32]>) -> Self {
        let mut seen = Vec::new();
        let mut index = Self::default();
        for path in folders {
            // The same folder under two names is one folder.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if !seen.contains(&real) {
                seen.push(real);
                index.folders.push(Folder::scan(path, pins));
            }
        }
        index
    }

    /// The folders, in the order in which they are searched.
    pub fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// All candidates, in the order in which they are searched.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.folders.iter().flat_map(|folder| &folder.candidates)
    }

    /// The file to load this class from.
    pub fn find(&self, class: &str) -> Result<&Candidate, FindError> {
        let named = self.folders.iter().find_map(|folder| {
            let mut named = folder.candidates.iter().filter(|candidate| candidate.names(class));
            named.next().map(|first| (first, named.next()))
        });
        match named {
            None => Err(self.unknown(class)),
            Some((first, Some(second))) => Err(FindError::Twice {
                class: class.into(),
                files: [first.path().into(), second.path().into()],
            }),
            Some((only, None)) => match only.refusal() {
                Some(refusal) => Err(FindError::Refused { class: class.into(), refusal: refusal.clone() }),
                None => Ok(only),
            },
        }
    }

    /// The classes that can be used, sorted.
    pub fn classes(&self) -> Vec<&str> {
        let usable = self.candidates().filter(|candidate| candidate.refusal().is_none());
        let mut classes: Vec<&str> = usable
            .filter_map(Candidate::manifest)
            .flat_map(|manifest| manifest.classes.iter().map(|spec| spec.class.as_str()))
            .collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// The classes that earlier folders hide, in the order in which they were found.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let mut used: BTreeMap<&str, (usize, &Path)> = BTreeMap::new();
        let mut shadowed = Vec::new();
        for (folder, candidate) in
            self.folders.iter().enumerate().flat_map(|(number, folder)| {
                folder.candidates.iter().map(move |candidate| (number, candidate))
            })
        {
            for spec in candidate.manifest().into_iter().flat_map(|manifest| &manifest.classes) {
                let (first, path) = *used.entry(&spec.class).or_insert((folder, candidate.path()));
                if first != folder {
                    let (class, ignored) = (spec.class.clone(), candidate.path().into());
                    shadowed.push(Shadowed { class, used: path.into(), ignored });
                }
            }
        }
        shadowed
    }

    fn unknown(&self, class: &str) -> FindError {
        let known: Vec<String> = self.classes().into_iter().map(String::from).collect();
        FindError::Unknown(Box::new(UnknownClass {
            class: class.into(),
            nearest: nearest(class, self.classes()).map(String::from),
            known,
            folders: self.folders.iter().map(|folder| folder.path.clone()).collect(),
            unreadable: self.folders.iter().filter_map(|folder| folder.problem.clone()).collect(),
            refused: self.candidates().filter_map(Candidate::refusal).cloned().collect(),
        }))
    }
}

impl Folder {
    fn scan(path: &Path, pins: &BTreeMap<String, [u8; 32]>) -> Self {
        let (names, problem) = match plugin_names(path) {
            Ok(names) => (names, None),
            Err(error) => (Vec::new(), Some(format!("{} cannot be read: {error}", path.display()))),
        };
        let examine = |name: OsString| {
            let pin = name.to_str().and_then(|name| pins.get(name)).map(|&bytes| Sha256::from(bytes));
            Candidate::examine(&path.join(&name), pin.as_ref())
        };
        Self { path: path.into(), candidates: names.into_iter().map(examine).collect(), problem }
    }
}

/// What the shell's `*.so` gives, sorted.
fn plugin_names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.as_bytes().ends_with(b".so") && !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sha2::Digest;

    use super::super::sample::{plugin, write};
    use super::*;

    struct Folders([tempfile::TempDir; 2]);

    impl Folders {
        fn new() -> Self {
            Self([tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()])
        }

        fn put(&self, folder: usize, name: &str, classes: &[&str]) -> PathBuf {
            write(self.0[folder].path(), name, &plugin(classes))
        }

        fn scan(&self) -> PluginIndex {
            let folders: Vec<PathBuf> = self.0.iter().map(|folder| folder.path().into()).collect();
            PluginIndex::scan(&folders, &BTreeMap::new())
        }
    }

    #[test]
    fn a_class_is_found_in_its_file() {
        let folders = Folders::new();
        folders.put(0, "a.so", &["a.One", "a.Two"]);
        let b = folders.put(0, "b.so", &["b.One"]);
        let index = folders.scan();
        assert_eq!(index.find("b.One").unwrap().path(), b);
        assert_eq!(index.classes(), ["a.One", "a.Two", "b.One"]);
        assert_eq!(index.shadowed(), []);
    }

    #[test]
    fn only_what_the_shell_calls_star_dot_so_is_looked_at_in_order_of_name() {
        let folders = Folders::new();
        for name in ["b.so", "a.so", ".hidden.so", "c.so.bak", "so", "d.SO"] {
            folders.put(0, name, &["a.One"]);
        }
        let index = folders.scan();
        let names: Vec<_> =
            index.candidates().map(|candidate| candidate.path().file_name().unwrap()).collect();
        assert_eq!(names, ["a.so", "b.so"]);
    }

    #[test]
    fn the_first_folder_wins_and_says_so() {
        let folders = Folders::new();
        let used = folders.put(0, "z.so", &["a.One"]);
        let ignored = folders.put(1, "a.so", &["a.One", "a.Two"]);
        let index = folders.scan();
        assert_eq!(index.find("a.One").unwrap().path(), used);
        assert_eq!(index.find("a.Two").unwrap().path(), ignored);
        assert_eq!(index.shadowed(), [Shadowed { class: "a.One".into(), used, ignored }]);
    }

    #[test]
    fn a_class_twice_in_one_folder_is_an_error_that_names_both_files() {
        let folders = Folders::new();
        let files = [folders.put(0, "a.so", &["a.One"]), folders.put(0, "b.so", &["a.One", "b.One"])];
        let index = folders.scan();
        assert_eq!(index.find("a.One").unwrap_err(), FindError::Twice { class: "a.One".into(), files });
        assert!(index.find("b.One").is_ok(), "a class that is there once is not concerned");
    }

    #[test]
    fn twice_in_a_later_folder_does_not_matter() {
        let folders = Folders::new();
        let used = folders.put(0, "a.so", &["a.One"]);
        folders.put(1, "a.so", &["a.One"]);
        folders.put(1, "b.so", &["a.One"]);
        let index = folders.scan();
        assert_eq!(index.find("a.One").unwrap().path(), used);
        assert_eq!(index.shadowed().len(), 2);
    }

    #[test]
    fn a_refused_file_is_not_passed_over_for_a_later_folder() {
        let folders = Folders::new();
        let path = folders.put(0, "a.so", &["a.One"]);
        folders.put(1, "a.so", &["a.One"]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let message = folders.scan().find("a.One").unwrap_err().to_string();
        assert!(message.contains("\"a.One\" cannot be used") && message.contains("chmod"), "{message}");
    }

    #[test]
    fn an_unknown_class_is_answered_with_all_that_is_known() {
        let folders = Folders::new();
        folders.put(0, "print.so", &["print.PrintAuditLogger"]);
        let text = write(folders.0[1].path(), "text.so", b"hello");
        let mut paths: Vec<PathBuf> = folders.0.iter().map(|folder| folder.path().into()).collect();
        paths.push("/nonexistent/plugins".into());
        let index = PluginIndex::scan(&paths, &BTreeMap::new());
        let message = index.find("print.PrintLogger").unwrap_err().to_string();
        for part in [
            "unknown class \"print.PrintLogger\", did you mean \"print.PrintAuditLogger\"?",
            "known classes: print.PrintAuditLogger",
            paths[0].to_str().unwrap(),
            paths[1].to_str().unwrap(),
            "/nonexistent/plugins cannot be read: No such file",
            &format!("refused: {} is not a shared object", text.display()),
        ] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    }

    #[test]
    fn nothing_is_suggested_that_is_not_like_it() {
        let folders = Folders::new();
        folders.put(0, "print.so", &["print.PrintAuditLogger"]);
        let Err(FindError::Unknown(unknown)) = folders.scan().find("kafka.Sink") else { panic!("found") };
        assert_eq!(unknown.nearest, None);
    }

    #[test]
    fn a_folder_that_is_named_twice_is_one_folder() {
        let folders = Folders::new();
        folders.put(0, "a.so", &["a.One"]);
        let path = folders.0[0].path();
        let index = PluginIndex::scan(&[path.into(), path.join(".")], &BTreeMap::new());
        assert_eq!(index.folders().len(), 1);
        assert_eq!(index.shadowed(), []);
    }

    #[test]
    fn pins_are_by_file_name() {
        let folders = Folders::new();
        folders.put(0, "a.so", &["a.One"]);
        folders.put(0, "b.so", &["b.One"]);
        let hash: [u8; 32] = sha2::Sha256::digest(plugin(&["b.One"])).into();
        let pins = BTreeMap::from([("a.so".to_string(), hash), ("b.so".to_string(), hash)]);
        let index = PluginIndex::scan(&[folders.0[0].path().into()], &pins);
        assert_eq!(index.find("b.One").unwrap().pin(), Some(hash.into()));
        assert!(index.find("a.One").unwrap_err().to_string().contains("is pinned"));
    }
}
