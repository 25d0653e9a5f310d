//! What the options mean, once they are checked.

use std::path::PathBuf;

use audit_plugin_api::{Context, SinkError};

use crate::{FileOptions, Fsync, Mode};

/// What the options mean, once they are checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// Permissions of a new file.
    pub mode: Mode,
    /// When the disk is waited for.
    pub fsync: Fsync,
    /// Size in bytes at which the file is rotated.
    pub max_bytes: Option<u64>,
    /// How many rotated files are kept.
    pub max_files: Option<u32>,
}

impl Settings {
    /// Checks the options; an error names the one at fault.
    pub fn new(options: &FileOptions, context: &Context) -> Result<Self, SinkError> {
        let path = context.resolve(&options.path);
        if options.path.as_os_str().is_empty()
            || options.path.as_os_str().as_encoded_bytes().ends_with(b"/")
            || path.file_name().is_none()
        {
            let reason = format!("{:?} names no file; name the file to append to", options.path);
            return Err(SinkError::permanent(reason).option("path"));
        }
        if options.fsync == Fsync::Never && context.durability.as_deref() == Some("disk") {
            let reason = "with \"never\" nothing is made durable, which `durability = \"disk\"` promises; give seconds or \
                          \"batch\", or have `durability = \"process\"`";
            return Err(SinkError::permanent(reason).option("fsync"));
        }
        Ok(Self {
            path,
            mode: options.mode,
            fsync: options.fsync,
            max_bytes: Some(options.max_bytes).filter(|&bytes| bytes > 0),
            max_files: Some(options.max_files).filter(|&files| files > 0),
        })
    }

    /// The file's name with this behind it: `path` → `path.torn`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::SinkOptions;
    use audit_plugin_api::serde_json::json;
    use audit_plugin_api::testing::context;

    use super::*;

    fn settings(path: &str) -> Result<Settings, SinkError> {
        let options = FileOptions::from_json(json!({"path": path})).unwrap();
        Settings::new(&options, &Context { config_dir: "/etc/audit".into(), ..context() })
    }

    #[test]
    fn a_relative_path_is_relative_to_the_folder_of_the_configuration() {
        assert_eq!(settings("log/a.ndjson").unwrap().path, PathBuf::from("/etc/audit/log/a.ndjson"));
        assert_eq!(settings("/var/log/a.ndjson").unwrap().path, PathBuf::from("/var/log/a.ndjson"));
    }

    #[test]
    fn never_syncing_is_refused_where_events_have_to_outlive_loss_of_power_only() {
        let settings = |fsync, durability: Option<&str>| {
            let options = FileOptions::from_json(json!({"path": "a.ndjson", "fsync": fsync})).unwrap();
            Settings::new(&options, &Context { durability: durability.map(str::to_owned), ..context() })
        };
        assert_eq!(settings("never", Some("disk")).unwrap_err().option.as_deref(), Some("fsync"));
        for durability in [None, Some("process"), Some("a word of a later host")] {
            assert!(settings("never", durability).is_ok(), "{durability:?}");
        }
        assert!(settings("batch", Some("disk")).is_ok());
    }

    #[test]
    fn a_path_that_names_no_file_is_refused() {
        for path in ["", "log/", "/", ".."] {
            assert_eq!(settings(path).unwrap_err().option.as_deref(), Some("path"), "{path:?}");
        }
    }
}
