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
        check_classes(&manifest, module)?;
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

/// Loads the bytes of this descriptor and shakes hands. It stays open for good: `dlopen` compares names first, so a second
/// plugin under the same descriptor number would silently be the first one.
pub(super) fn load_descriptor(file: File, manifest: &Manifest, path: &Path) -> Result<Module, Reason> {
    let descriptor = descriptor_path(&file);
    native::load(&descriptor).map_err(|text| Reason::Dlopen(without_name(&text, &descriptor, path)))?;
    std::mem::forget(file);
    Module::load(&descriptor, manifest).map_err(|error| Reason::Handshake {
        summary: without_name(&error.summary, &descriptor, path),
        report: error.report,
    })
}

/// The message as it reads behind the name of the plugin: the descriptor's name tells nobody anything.
fn without_name(text: &str, descriptor: &Path, path: &Path) -> String {
    let descriptor = descriptor.to_string_lossy();
    let text = text.strip_prefix(&*descriptor).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
    text.replace(&*descriptor, &path.file_name().unwrap_or_default().to_string_lossy())
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
        if let Protection::Unsealed(inode) = image.protection() {
            // `dlopen` would answer with what it loaded from this inode before.
            if *self.unsealed.entry(inode).or_insert(sha256) != sha256 {
                return Err(Reason::Overwritten);
            }
        }
        let module = load_descriptor(image.into_file(), manifest, path)?;
        self.modules.insert(sha256, module);
        Ok(module)
    }
}

/// The manifest must say what is there: configuration was checked against it.
fn check_classes(manifest: &Manifest, module: Module) -> Result<(), Reason> {
    let mut told: Vec<String> = manifest.classes.iter().map(|spec| spec.class.clone()).collect();
    let mut held: Vec<String> = module.classes();
    told.sort_unstable();
    held.sort_unstable();
    if told == held { Ok(()) } else { Err(Reason::Classes { manifest: told, module: held }) }
}
