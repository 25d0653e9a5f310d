//! A file that may be a plugin, and what is known of it without running it.

use std::path::{Path, PathBuf};

use audit_plugin_api::manifest::Manifest;

use super::checked::check_pin;
use super::compatibility::check_manifest;
use super::file::PluginFile;
use super::{CheckedPlugin, Reason, Refusal, Sha256, check_file, manifest};

/// A file that may be a plugin, and what is known of it without running it.
#[derive(Clone, Debug)]
pub struct Candidate {
    path: PathBuf,
    pin: Option<Sha256>,
    manifest: Option<Manifest>,
    refusal: Option<Refusal>,
}

impl Candidate {
    /// Examines a file. Reads its headers and manifest only, and all of it only to compare it with a pin.
    pub fn examine(path: &Path, pin: Option<&Sha256>) -> Self {
        let mut candidate = Self { path: path.into(), pin: pin.copied(), manifest: None, refusal: None };
        if let Err(reason) = candidate.look() {
            candidate.refusal = Some(Refusal { path: path.into(), reason });
        }
        candidate
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash that its bytes must have.
    pub fn pin(&self) -> Option<Sha256> {
        self.pin
    }

    /// What it says about itself; also of a refused file, where it can be read.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Why it is not loaded; `None` for a file that may be.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Whether it is a whole shared object that does not even say that it is a plugin: somebody else's, such as the
    /// library of a macro in a build's folder.
    pub fn is_no_plugin(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.reason == Reason::NoManifest)
    }

    /// Whether it says that it holds this class.
    pub fn names(&self, class: &str) -> bool {
        self.manifest().is_some_and(|manifest| manifest.classes.iter().any(|spec| spec.class == class))
    }

    /// The hash that its bytes have now.
    pub fn sha256(&self) -> Result<Sha256, Refusal> {
        PluginFile::open(&self.path)
            .and_then(|file| file.sha256())
            .map_err(|reason| Refusal { path: self.path.clone(), reason })
    }

    /// Checks the file as it is now, so that it can be loaded.
    pub fn check(&self) -> Result<CheckedPlugin, Refusal> {
        check_file(&self.path, self.pin.as_ref())
    }

    /// The first thing that is wrong with it. The manifest is read in any case, since a refusal is worth more when it
    /// can be said which classes are missing for it.
    fn look(&mut self) -> Result<(), Reason> {
        let file = PluginFile::open(&self.path)?;
        let surroundings = check_surroundings(&file, self.pin.as_ref());
        let manifest = manifest::peek(file.file());
        self.manifest = manifest.clone().ok();
        if manifest == Err(Reason::NoManifest) {
            // Whoever may write it: it is never loaded.
            return Err(Reason::NoManifest);
        }
        surroundings?;
        check_manifest(&manifest?)?;
        if self.pin.is_some() {
            check_pin(file.sha256()?, self.pin.as_ref())?;
        }
        Ok(())
    }
}

/// What is asked of an open file before its bytes count.
pub(super) fn check_surroundings(file: &PluginFile, pin: Option<&Sha256>) -> Result<(), Reason> {
    if pin.is_none() {
        file.check_trust()?;
    }
    file.check_mount()?;
    file.check_size()
}
