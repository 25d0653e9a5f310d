//! Reads the manifest of a plugin out of its file, without running it.
//!
//! Guarantees: whatever the bytes are, it neither panics nor allocates more than a few MiB, and a manifest of an
//! interface that this host does not have is refused for that, even if its other keys have changed.

use std::fs::File;

use audit_plugin_api::manifest::{MAGIC, Manifest, SECTION};
use serde::Deserialize;
use serde_json::Value;

use super::Reason;
use super::compatibility::{check_api, check_manifest};
use super::elf::Elf;

/// A manifest of a hundred options has 0.02 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// Checks that the file is a whole plugin of this machine and this interface, and returns its manifest.
pub(super) fn read(file: &File) -> Result<Manifest, Reason> {
    let manifest = peek(file)?;
    check_manifest(&manifest)?;
    Ok(manifest)
}

/// As [`read`], but whatever it says of target, panic strategy and classes.
pub(super) fn peek(file: &File) -> Result<Manifest, Reason> {
    let elf = Elf::check(file)?;
    let section = elf.section(SECTION, MAX_BYTES)?.ok_or(Reason::NoManifest)?;
    parse(section)
}

fn parse(section: &[u8]) -> Result<Manifest, Reason> {
    let bad = |what: &str| Reason::BadManifest(what.into());
    let rest = section.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin with its magic bytes"))?;
    let (len, rest) = rest.split_first_chunk().ok_or_else(|| bad("it is cut off"))?;
    let json = rest.get(..u32::from_le_bytes(*len) as usize).ok_or_else(|| bad("it is cut off"))?;
    let value: Value =
        serde_json::from_slice(json).map_err(|error| Reason::BadManifest(error.to_string()))?;
    let api = value.get("api").and_then(Value::as_str).ok_or_else(|| bad("it names no api version"))?;
    check_api(api)?;
    Manifest::deserialize(value).map_err(|error| Reason::BadManifest(error.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use audit_plugin_api::API_VERSION;
    use audit_plugin_api::manifest::ClassSpec;

    use super::*;

    pub(in super::super) fn example() -> Manifest {
        Manifest {
            api: API_VERSION.into(),
            crate_name: "audit-sink-print".into(),
            version: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            target: format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
            panic: "unwind".into(),
            classes: vec![ClassSpec {
                class: "print.PrintAuditLogger".into(),
                durable: false,
                batch_size: None,
                flush_interval: None,
                max_in_flight: None,
                options: Vec::new(),
            }],
        }
    }

    pub(in super::super) fn section(json: &[u8]) -> Vec<u8> {
        [MAGIC, &(json.len() as u32).to_le_bytes()[..], json].concat()
    }

    pub(in super::super) fn example_section() -> Vec<u8> {
        section(&serde_json::to_vec(&example()).unwrap())
    }

    fn refusal(section: &[u8]) -> String {
        parse(section).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_is_read_whatever_stands_behind_it() {
        let mut bytes = example_section();
        bytes.extend([0; 7]);
        assert_eq!(parse(&bytes), Ok(example()));
    }

    #[test]
    fn every_truncation_is_refused_as_such() {
        let bytes = example_section();
        for len in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..len]), Err(Reason::BadManifest(_))), "{len}");
        }
    }

    #[test]
    fn a_length_beyond_the_section_is_refused() {
        let mut bytes = example_section();
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(refusal(&bytes).contains("cut off"));
    }

    #[test]
    fn a_newer_interface_is_named_even_if_the_other_keys_changed() {
        let message = refusal(&section(br#"{"api": "9.0.0", "sinks": {}}"#));
        assert!(message.contains("9.0.0") && message.contains(API_VERSION), "{message}");
    }

    #[test]
    fn keys_of_a_later_version_are_ignored() {
        let mut json = serde_json::to_value(example()).unwrap();
        json["licence"] = "MIT".into();
        assert_eq!(parse(&section(json.to_string().as_bytes())), Ok(example()));
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        assert!(refusal(b"\0\0\0\0\0\0\0\0\0\0\0\0").contains("magic"));
        assert!(refusal(&section(b"[]")).contains("names no api version"));
        assert!(refusal(&section(b"{")).contains("EOF"));
        assert!(refusal(&section(br#"{"api": "1.0.0"}"#)).contains("crate"));
        assert!(refusal(&section("[".repeat(100_000).as_bytes())).contains("recursion"));
    }
}
