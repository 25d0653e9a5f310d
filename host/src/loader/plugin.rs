//! A plugin that is loaded into this process, and stays until the process ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use audit_plugin_api::Module;
use audit_plugin_api::manifest::{ClassSpec, Manifest};

use super::file::descriptor_path;
use super::image::{Image, Inode, Protection};
use super::{Reason, Sha256, native};

/// A plugin that is loaded into this process, and stays until the process ends.
#[derive(Clone)]
pub struct LoadedPlugin {
    module: Module,
    manifest: Manifest,
    path: PathBuf,
    sha256: Sha256,
}

impl LoadedPlugin {
    /// Loads these bytes, unless they are loaded already.
    pub(super) fn load(path: PathBuf, manifest: Manifest, image: Image) -> Result<Self, Reason> {
        let sha256 = image.sha256();
        let module = LOADED.lock().unwrap_or_else(PoisonError::into_inner).load(image, &manifest, &path)?;
        Ok(Self { module, manifest, path, sha256 })
    }

    /// Its classes, to be opened.
    pub fn module(&self) -> Module {
        self.module
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it says about this class.
    pub fn class_spec(&self, class: &str) -> Option<&ClassSpec> {
        self.manifest.classes.iter().find(|spec| spec.class == class)
    }

    /// The file that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of the bytes that were loaded.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }
}

impl std::fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedPlugin")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// Loads the bytes of this descriptor, shakes hands and compares the classes: all that a plugin goes through before it counts as
/// loaded, in this process and on trial. It stays open for good: `dlopen` compares names first, so a second plugin under the same
/// descriptor number would silently be the first one.
pub(super) fn load_descriptor(file: File, manifest: &Manifest, path: &Path) -> Result<Module, Reason> {
    let descriptor = descriptor_path(&file);
    native::load(&descriptor).map_err(|text| Reason::Dlopen(without_name(&text, &descriptor, path)))?;
    std::mem::forget(file);
    let module = Module::load(&descriptor, manifest).map_err(|error| Reason::Handshake {
        summary: without_name(&error.summary, &descriptor, path),
        report: error.report,
    })?;
    check_classes(manifest, module)?;
    Ok(module)
}

/// The manifest must say what is there: configuration was checked against it.
fn check_classes(manifest: &Manifest, module: Module) -> Result<(), Reason> {
    let mut told: Vec<String> = manifest.classes.iter().map(|spec| spec.class.clone()).collect();
    let mut held: Vec<String> = module.classes();
    told.sort_unstable();
    held.sort_unstable();
    if told == held { Ok(()) } else { Err(Reason::Classes { manifest: told, module: held }) }
}

/// The message as it reads behind the name of the plugin: the descriptor's name tells nobody anything.
fn without_name(text: &str, descriptor: &Path, path: &Path) -> String {
    let descriptor = descriptor.to_string_lossy();
    let text = text.strip_prefix(&*descriptor).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
    text.replace(&*descriptor, &path.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether this process has loaded these bytes.
pub(super) fn is_loaded(sha256: Sha256) -> bool {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).modules.contains_key(&sha256)
}

static LOADED: Mutex<Loaded> = Mutex::new(Loaded { modules: BTreeMap::new(), unsealed: BTreeMap::new() });

/// What this process has loaded.
struct Loaded {
    modules: BTreeMap<Sha256, Module>,
    /// Files that were loaded without a copy, and what they held then.
    unsealed: BTreeMap<Inode, Sha256>,
}

impl Loaded {
    fn load(&mut self, image: Image, manifest: &Manifest, path: &Path) -> Result<Module, Reason> {
        let sha256 = image.sha256();
        if let Some(&module) = self.modules.get(&sha256) {
            return Ok(module);
        }
        let Protection::Unsealed(inode) = image.protection() else {
            return self.keep(sha256, load_descriptor(image.into_file(), manifest, path));
        };
        // `dlopen` would answer with what it loaded from this inode before.
        if self.unsealed.get(&inode).is_some_and(|loaded| *loaded != sha256) {
            return Err(Reason::Overwritten);
        }
        let loaded = load_descriptor(image.into_file(), manifest, path);
        if !matches!(loaded, Err(Reason::Dlopen(_))) {
            self.unsealed.insert(inode, sha256);
        }
        self.keep(sha256, loaded)
    }

    fn keep(&mut self, sha256: Sha256, loaded: Result<Module, Reason>) -> Result<Module, Reason> {
        let module = loaded?;
        self.modules.insert(sha256, module);
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::PluginFile;
    use super::super::manifest::tests::example;
    use super::super::sample::{plugin, write};
    use super::*;

    fn load_unsealed(loaded: &mut Loaded, path: &Path) -> Result<Module, Reason> {
        loaded.load(Image::of_file(&PluginFile::open(path).unwrap()).unwrap(), &example(), path)
    }

    #[test]
    fn a_file_that_was_overwritten_in_place_is_not_taken_for_what_was_loaded_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        let image = Image::of_file(&PluginFile::open(&path).unwrap()).unwrap();
        let Protection::Unsealed(inode) = image.protection() else { panic!("sealed") };
        let mut loaded =
            Loaded { modules: BTreeMap::new(), unsealed: BTreeMap::from([(inode, image.sha256())]) };
        std::fs::write(&path, plugin(&["a.Other"])).unwrap();
        assert_eq!(load_unsealed(&mut loaded, &path).map(drop), Err(Reason::Overwritten));
    }

    #[test]
    fn a_file_that_could_not_be_loaded_may_be_repaired_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        let mut loaded = Loaded { modules: BTreeMap::new(), unsealed: BTreeMap::new() };
        assert!(matches!(load_unsealed(&mut loaded, &path), Err(Reason::Dlopen(_))));
        std::fs::write(&path, plugin(&["a.Other"])).unwrap();
        assert!(matches!(load_unsealed(&mut loaded, &path), Err(Reason::Dlopen(_))));
    }
}
