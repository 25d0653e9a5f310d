//! Files that may be plugins: what is taken holds its manifest and is whole, what is not is refused in one sentence.

use std::cell::OnceCell;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use audit_host::loader::{Candidate, check_file};
use audit_plugin_api::manifest::{MAGIC, Manifest};
use object::LittleEndian as Little;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};
use tempfile::TempDir;

use super::assert_is_sentence;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// The bytes of a file in a plugin folder.
pub fn check(bytes: &[u8]) {
    let path = write(bytes);
    let candidate = Candidate::examine(&path, None);
    let checked = check_file(&path, None);
    if let Some(refusal) = candidate.refusal() {
        let sentence = refusal.to_string();
        assert_is_sentence(&sentence);
        assert!(sentence.contains("a.so"), "{sentence}");
        assert_eq!(checked.err().as_ref(), Some(refusal), "both ways refuse it for the same reason");
        return;
    }
    let manifest = candidate.manifest().expect("the manifest of what is taken");
    assert_eq!(checked.expect("both ways take it").manifest(), manifest);
    assert!(is_in(bytes, manifest), "the manifest is not in the file");
    // Cut off within what would be mapped, it must be refused: loading that is certain death.
    let end = end_of_segments(bytes);
    assert!(end <= bytes.len() as u64, "a segment ends at {end}, behind the file");
    if end > 0 {
        let cut = write(&bytes[..end as usize - 1]);
        assert!(Candidate::examine(&cut, None).refusal().is_some(), "taken although it is cut off");
    }
}

fn write(bytes: &[u8]) -> PathBuf {
    FOLDER.with(|folder| {
        let path = folder.get_or_init(|| tempfile::tempdir().expect("a folder")).path().join("a.so");
        if !path.exists() {
            std::fs::write(&path, "").expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("a mode");
        }
        std::fs::write(&path, bytes).expect("written");
        path
    })
}

fn is_in(bytes: &[u8], manifest: &Manifest) -> bool {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| window == MAGIC);
    starts.map(|(at, magic)| &bytes[at + magic.len()..]).any(|rest| {
        let json =
            rest.split_first_chunk().and_then(|(len, json)| json.get(..u32::from_le_bytes(*len) as usize));
        json.is_some_and(|json| {
            serde_json::from_slice::<Manifest>(json).is_ok_and(|there| there == *manifest)
        })
    })
}

/// Where the last segment that has bytes in the file ends.
fn end_of_segments(bytes: &[u8]) -> u64 {
    let header = FileHeader64::<Little>::parse(bytes).expect("a header");
    let segments = header.program_headers(Little, bytes).expect("program headers");
    let end = |segment: &object::elf::ProgramHeader64<Little>| {
        let (offset, len) = segment.file_range(Little);
        if len == 0 { 0 } else { offset.checked_add(len).expect("an end") }
    };
    segments.iter().map(end).max().unwrap_or(0)
}
