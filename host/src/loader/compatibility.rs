//! Whether this host can use a plugin that says of itself what its manifest says.

use audit_plugin_api::API_VERSION;
use audit_plugin_api::manifest::Manifest;

use super::Reason;

/// Refuses a version of the interface that this host does not have: majors must be equal, and the plugin's minor at
/// most the host's.
pub(super) fn check_api(plugin: &str) -> Result<(), Reason> {
    let (major, minor) = parse_version(plugin).ok_or_else(|| {
        Reason::BadManifest(format!("its api version is {plugin:?}, not like {API_VERSION:?}"))
    })?;
    let (host_major, host_minor) = host_version();
    if major != host_major || minor > host_minor {
        return Err(Reason::Api { plugin: plugin.into() });
    }
    Ok(())
}

/// Refuses another target, another panic strategy, and classes that no `audit.toml` could name.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), Reason> {
    let arch = std::env::consts::ARCH;
    if !(manifest.target.starts_with(&format!("{arch}-")) && manifest.target.ends_with("-linux-gnu")) {
        let host = format!("{arch}-unknown-linux-gnu");
        return Err(Reason::Target { plugin: manifest.target.clone(), host });
    }
    if manifest.panic != "unwind" {
        return Err(Reason::Panic(manifest.panic.clone()));
    }
    if manifest.classes.is_empty() {
        return Err(Reason::BadManifest("it names no class".into()));
    }
    for (index, spec) in manifest.classes.iter().enumerate() {
        if !is_class_path(&spec.class) {
            return Err(Reason::BadManifest(format!("{:?} is no class path", spec.class)));
        }
        if manifest.classes[..index].iter().any(|other| other.class == spec.class) {
            return Err(Reason::BadManifest(format!("it names {:?} twice", spec.class)));
        }
    }
    Ok(())
}

/// Whether a plugin of this version is ahead of this host.
pub(super) fn is_newer(plugin: &str) -> bool {
    parse_version(plugin).is_some_and(|version| version > host_version())
}

fn host_version() -> (u64, u64) {
    parse_version(API_VERSION).unwrap_or_default()
}

fn parse_version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(major)), Some(Some(minor)), Some(Some(_patch)), None) => Some((major, minor)),
        _ => None,
    }
}

fn is_class_path(text: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty() && !segment.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    text.split('.').count() >= 2 && text.split('.').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(change: impl FnOnce(&mut Manifest)) -> Manifest {
        let mut manifest = super::super::manifest::tests::example();
        change(&mut manifest);
        manifest
    }

    #[test]
    fn a_plugin_of_this_interface_or_an_older_minor_is_taken() {
        assert_eq!(check_api(API_VERSION), Ok(()));
        let (major, _) = host_version();
        assert_eq!(check_api(&format!("{major}.0.9")), Ok(()));
    }

    #[test]
    fn a_newer_minor_or_another_major_is_refused_with_both_versions_and_who_moves() {
        let (major, minor) = host_version();
        for (plugin, advice) in [
            (format!("{major}.{}.0", minor + 1), "update audit-host"),
            (format!("{}.0.0", major + 1), "update audit-host"),
            (format!("{}.9.0", major - 1), "its author must rebuild it"),
        ] {
            let message = check_api(&plugin).unwrap_err().to_string();
            for part in [plugin.as_str(), API_VERSION, advice] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1", "1.0", "1.0.0.0", "1.0.x", "-1.0.0", "99999999999999999999.0.0"] {
            assert!(matches!(check_api(text), Err(Reason::BadManifest(_))), "{text:?}");
        }
    }

    #[test]
    fn another_target_is_refused_with_both() {
        for target in
            ["riscv64gc-unknown-linux-gnu", "x86_64-unknown-linux-musl", "x86_64-pc-windows-gnu", ""]
        {
            let message = check_manifest(&manifest(|m| m.target = target.into())).unwrap_err().to_string();
            assert!(message.contains(target) && message.contains("-unknown-linux-gnu"), "{message}");
        }
    }

    #[test]
    fn panic_abort_is_refused() {
        let refused = check_manifest(&manifest(|m| m.panic = "abort".into()));
        assert_eq!(refused, Err(Reason::Panic("abort".into())));
    }

    #[test]
    fn classes_that_no_configuration_could_name_are_refused() {
        for class in ["", "print", "print.", ".Print", "a..b", "a b.c", "a.b\n"] {
            let refused = check_manifest(&manifest(|m| m.classes[0].class = class.into()));
            assert!(matches!(refused, Err(Reason::BadManifest(_))), "{class:?}");
        }
        assert!(check_manifest(&manifest(|m| m.classes.clear())).is_err());
        assert!(check_manifest(&manifest(|m| m.classes.push(m.classes[0].clone()))).is_err());
        assert_eq!(check_manifest(&manifest(|m| m.classes[0].class = "my.own.Sink_2".into())), Ok(()));
    }
}
