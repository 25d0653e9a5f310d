//! A plugin file that passed every check that can be made without running it.

use std::path::{Path, PathBuf};

use audit_plugin_api::manifest::Manifest;

use super::candidate::check_surroundings;
use super::file::PluginFile;
use super::image::Image;
use super::{LoadedPlugin, Reason, Refusal, Sha256, manifest};

/// A plugin file that passed every check that can be made without running it, with the very bytes that were checked.
#[derive(Debug)]
pub struct CheckedPlugin {
    path: PathBuf,
    manifest: Manifest,
    pin: Option<Sha256>,
    image: Image,
}

/// Checks a plugin file without running it; with a pin its bytes decide, and owner and mode are not looked at.
pub fn check_file(path: &Path, pin: Option<&Sha256>) -> Result<CheckedPlugin, Refusal> {
    check(path, pin).map_err(|reason| Refusal { path: path.into(), reason })
}

fn check(path: &Path, pin: Option<&Sha256>) -> Result<CheckedPlugin, Reason> {
    let file = PluginFile::open(path)?;
    check_surroundings(&file, pin)?;
    // The first look keeps a stray gigabyte out of memory; the second is the one that counts.
    manifest::read(file.file())?;
    let image = Image::copy(&file)?;
    let manifest = manifest::read(image.file())?;
    check_pin(image.sha256(), pin)?;
    Ok(CheckedPlugin { path: path.into(), manifest, pin: pin.copied(), image })
}

/// Refuses other bytes than the pinned ones.
pub(super) fn check_pin(file: Sha256, pin: Option<&Sha256>) -> Result<(), Reason> {
    match pin {
        Some(&pin) if pin != file => Err(Reason::Pin { file, pin }),
        _ => Ok(()),
    }
}

impl CheckedPlugin {
    /// Loads it into this process, for good; bytes that are loaded already are not loaded again.
    ///
    /// Its constructors run, and may end the process: [`probe`](super::probe) it before, where that matters.
    pub fn load(self) -> Result<LoadedPlugin, Refusal> {
        let path = self.path.clone();
        LoadedPlugin::load(self.path, self.manifest, self.image).map_err(|reason| Refusal { path, reason })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.image.sha256()
    }

    /// Whether its bytes are pinned.
    pub fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::sample::{plugin, shared_object, write};
    use super::*;

    fn refusal(path: &Path, pin: Option<&Sha256>) -> String {
        check_file(path, pin).unwrap_err().to_string()
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_sound_file_passes_with_its_manifest_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        let checked = check_file(&path, None).unwrap();
        assert_eq!(checked.manifest().classes[0].class, "a.Sink");
        assert_eq!(checked.sha256(), Sha256::of(&plugin(&["a.Sink"])[..]).unwrap());
        assert!(!checked.is_pinned());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_never_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo.so");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(refusal(&fifo, None).contains("is a FIFO, but a plugin is a regular file"));
        assert!(refusal(folder.path(), None).contains("is a directory"));
        assert!(refusal(Path::new("/dev/null"), None).contains("is a device"));
        assert!(refusal(&folder.path().join("absent.so"), None).contains("cannot be opened"));
        let link = folder.path().join("link.so");
        symlink(&fifo, &link).unwrap();
        assert!(refusal(&link, None).contains("is a FIFO"));
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_the_chmod() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        set_mode(&path, 0o666);
        let message = refusal(&path, None);
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
        assert!(message.contains("chmod"), "{message}");
    }

    #[test]
    fn a_file_in_a_folder_that_others_may_write_is_refused_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        set_mode(folder.path(), 0o777);
        let message = refusal(&path, None);
        let advice = format!("chmod o-w {}", folder.path().display());
        assert!(message.contains("a.so is in a folder") && message.contains(&advice), "{message}");
    }

    #[test]
    fn a_link_into_a_folder_that_others_may_write_is_refused() {
        let (folder, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = write(open.path(), "a.so", &plugin(&["a.Sink"]));
        set_mode(open.path(), 0o777);
        let link = folder.path().join("a.so");
        symlink(path, &link).unwrap();
        let message = refusal(&link, None);
        assert!(message.contains(open.path().to_str().unwrap()), "{message}");
    }

    #[test]
    fn with_a_pin_the_bytes_decide_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        set_mode(&path, 0o666);
        set_mode(folder.path(), 0o777);
        let pin = hash_of(&path);
        assert!(check_file(&path, Some(&pin)).unwrap().is_pinned());

        let other = Sha256::of(&b"other"[..]).unwrap();
        let message = refusal(&path, Some(&other));
        assert!(message.contains(&pin.to_string()) && message.contains(&other.to_string()), "{message}");
    }

    fn hash_of(path: &Path) -> Sha256 {
        Sha256::of(&std::fs::read(path).unwrap()[..]).unwrap()
    }

    #[test]
    fn a_shared_object_without_a_manifest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &shared_object(b""));
        assert!(refusal(&path, None).contains("manifest that makes no sense"));
    }

    #[test]
    fn a_file_of_more_than_a_gibibyte_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.so", &plugin(&["a.Sink"]));
        std::fs::File::options().write(true).open(&path).unwrap().set_len((1 << 30) + 1).unwrap();
        assert!(refusal(&path, None).contains("holds 1073741825 bytes"));
    }
}
