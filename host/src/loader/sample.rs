//! ELF bytes for the tests: nothing in them runs, but they pass for a plugin.

use std::path::{Path, PathBuf};

use audit_plugin_api::manifest::{Manifest, SECTION};

use super::manifest::tests::{example, section};

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// Where `e_machine` stands.
pub(super) const MACHINE_AT: usize = 18;
/// Where `e_phoff` stands.
pub(super) const PHOFF_AT: usize = 32;
/// Where `e_shoff` stands.
pub(super) const SHOFF_AT: usize = 40;
/// Where `e_phnum` stands.
pub(super) const PHNUM_AT: usize = 56;
/// Where `e_shnum` stands.
pub(super) const SHNUM_AT: usize = 60;
/// Where the file size of the only segment stands.
pub(super) const SEGMENT_SIZE_AT: usize = 64 + 32;
const CONTENT_AT: usize = 64 + 56;

/// A shared object whose manifest section holds these bytes.
pub(super) fn shared_object(manifest: &[u8]) -> Vec<u8> {
    let names = format!("\0{SECTION}\0.shstrtab\0");
    let names_at = CONTENT_AT + manifest.len();
    let sections_at = (names_at + names.len()).next_multiple_of(8);

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    push16(&mut bytes, &[3, MACHINE]);
    push32(&mut bytes, &[1]);
    push64(&mut bytes, &[0, 64, sections_at as u64]);
    push32(&mut bytes, &[0]);
    push16(&mut bytes, &[64, 56, 1, 64, 3, 2]);

    push32(&mut bytes, &[1, 4]);
    push64(&mut bytes, &[0, 0, 0, names_at as u64, names_at as u64, 8]);

    bytes.extend(manifest);
    bytes.extend(names.as_bytes());
    bytes.resize(sections_at, 0);
    push_section(&mut bytes, 0, 0, 0, 0);
    push_section(&mut bytes, 1, 1, CONTENT_AT, manifest.len());
    push_section(&mut bytes, 2 + SECTION.len() as u32, 3, names_at, names.len());
    bytes
}

/// What passes for a plugin with these classes.
pub(super) fn plugin(classes: &[&str]) -> Vec<u8> {
    let mut manifest: Manifest = example();
    let spec = manifest.classes[0].clone();
    manifest.classes = classes
        .iter()
        .map(|class| {
            let mut spec = spec.clone();
            spec.class = (*class).into();
            spec
        })
        .collect();
    shared_object(&section(&serde_json::to_vec(&manifest).unwrap()))
}

/// Writes a file that only its owner may write.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn push_section(bytes: &mut Vec<u8>, name: u32, kind: u32, offset: usize, len: usize) {
    push32(bytes, &[name, kind]);
    push64(bytes, &[0, 0, offset as u64, len as u64]);
    push32(bytes, &[0, 0]);
    push64(bytes, &[1, 0]);
}

fn push16(bytes: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}

fn push32(bytes: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}

fn push64(bytes: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}
