//! Plugin files for the tests: a sound one, and damaged and hostile ones made of it.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use audit_host::loader::Sha256;
use audit_plugin_api::manifest::MAGIC;
use object::{Object, ObjectSection};
use serde_json::Value;

/// The bytes of a sound plugin: the test sinks, stripped so that hundreds of copies of them are quickly made.
pub fn sound_plugin() -> Vec<u8> {
    static STRIPPED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let plugin = built_plugin();
        let stripped = tempfile::NamedTempFile::new().unwrap();
        let status = Command::new("strip").arg("-o").arg(stripped.path()).arg(&plugin).status().unwrap();
        assert!(status.success(), "strip {}: {status}", plugin.display());
        std::fs::read(stripped.path()).unwrap()
    });
    STRIPPED.clone()
}

fn built_plugin() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libaudit_test_sinks.so")
}

/// Its hash.
pub fn pin_of(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes).unwrap()
}

/// A plugin folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file there that only its owner may write.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        set_mode(&path, 0o644);
        path
    }

    /// Puts a shared object there that passes every check, and misbehaves in this way when it is loaded.
    pub fn put_hostile(&self, behaviour: &str) -> PathBuf {
        self.compile(behaviour, &[])
    }

    /// As [`put_hostile`](Self::put_hostile), but it holds the sinks that it promises, so that the handshake succeeds.
    pub fn put_hostile_with_sinks(&self, behaviour: &str) -> PathBuf {
        self.compile(behaviour, &[OsStr::new("-Wl,--no-as-needed"), built_plugin().as_os_str()])
    }

    fn compile(&self, behaviour: &str, link: &[&OsStr]) -> PathBuf {
        let (start, len) = manifest_range(&sound_plugin());
        let section = &sound_plugin()[start - MAGIC.len() - 4..start + len];
        let list: Vec<String> = section.iter().map(u8::to_string).collect();
        std::fs::write(self.path().join("manifest.h"), list.join(",")).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/loader/hostile.c");
        let path = self.path().join(format!("{}.so", behaviour.to_lowercase()));
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&path)
            .arg(format!("-DBEHAVIOUR={behaviour}"))
            // The preprocessor does not know the names of the enumeration.
            .arg(format!("-DWITH_{behaviour}"))
            .arg("-I")
            .arg(self.path())
            .arg(source)
            .args(link)
            .status()
            .unwrap();
        assert!(status.success(), "cc {source}: {status}");
        set_mode(&path, 0o755);
        path
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Where the JSON of the manifest stands, and its length.
fn manifest_range(plugin: &[u8]) -> (usize, usize) {
    // The magic may stand elsewhere too, where code compares with it.
    let found = plugin
        .windows(MAGIC.len() + 5)
        .enumerate()
        .find(|(_, window)| window.starts_with(MAGIC) && window.ends_with(b"{"));
    let at = found.expect("a manifest").0 + MAGIC.len();
    let len = u32::from_le_bytes(plugin[at..at + 4].try_into().unwrap());
    (at + 4, len as usize)
}

/// The plugin with this key of its manifest changed; the manifest must not get longer.
pub fn with_manifest(plugin: &[u8], key: &str, value: impl Into<Value>) -> Vec<u8> {
    let (start, len) = manifest_range(plugin);
    let mut manifest: Value = serde_json::from_slice(&plugin[start..start + len]).unwrap();
    *manifest.pointer_mut(key).unwrap() = value.into();
    let mut json = serde_json::to_vec(&manifest).unwrap();
    assert!(json.len() <= len, "the new manifest does not fit");
    json.resize(len, b' ');
    patched(plugin, start, &json)
}

/// The plugin with these bytes in this place.
pub fn patched(plugin: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut plugin = plugin.to_vec();
    plugin[at..at + bytes.len()].copy_from_slice(bytes);
    plugin
}

/// The plugin with each pointer to this text leading nowhere.
pub fn with_dangling(plugin: &[u8], text: &str) -> Vec<u8> {
    const ADDEND_AT: usize = 16;
    const NOWHERE: u64 = 1 << 62;
    let file = object::File::parse(plugin).unwrap();
    let is_text = |address: u64| {
        let mut sections = file.sections();
        sections.any(|section| section.data_range(address, text.len() as u64) == Ok(Some(text.as_bytes())))
    };
    let mut damaged = plugin.to_vec();
    for relocation in range_of(plugin, ".rela.dyn").step_by(24) {
        let addend = relocation + ADDEND_AT..relocation + ADDEND_AT + 8;
        if is_text(u64::from_le_bytes(plugin[addend.clone()].try_into().unwrap())) {
            damaged[addend].copy_from_slice(&NOWHERE.to_le_bytes());
        }
    }
    damaged
}

/// Where this section stands in the file.
pub fn range_of(plugin: &[u8], section: &str) -> Range<usize> {
    let file = object::File::parse(plugin).unwrap();
    let (at, len) = file.section_by_name(section).unwrap().file_range().unwrap();
    at as usize..(at + len) as usize
}

/// The plugin cut off at this many evenly spaced places.
pub fn truncations(plugin: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    (0..count).map(move |step| &plugin[..plugin.len() * step / count])
}

/// Places and values of flipped bits, the same in every run: two of three within the first 8 KiB, where the headers are.
pub fn flips(len: usize, count: usize) -> Vec<(usize, u8)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    (0..count)
        .map(|number| {
            let range = if number % 3 == 2 { len } else { 8192.min(len) };
            (next() % range, 1 << (next() % 8))
        })
        .collect()
}
