//! Which file is meant.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError};

const VARIABLE: &str = "AUDIT_CONFIG";
const DEFAULT: &str = "audit.toml";

impl Config {
    /// The file to load: `explicit` (`--config`), else `$AUDIT_CONFIG`, else `./audit.toml`, which must then exist.
    pub fn find(explicit: Option<&Path>) -> Result<PathBuf, ConfigError> {
        find_in(explicit, std::env::var_os(VARIABLE), Path::new(""))
    }
}

fn find_in(
    explicit: Option<&Path>,
    variable: Option<OsString>,
    folder: &Path,
) -> Result<PathBuf, ConfigError> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable.filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let path = folder.join(DEFAULT);
    if path.symlink_metadata().is_err() {
        return Err(ConfigError::without_place(format!(
            "there is no {DEFAULT} in the working directory: make one, or name a file with --config or ${VARIABLE}"
        )));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_variable_before_the_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let find = |explicit: Option<&str>, variable: Option<&str>| {
            find_in(explicit.map(Path::new), variable.map(Into::into), folder.path())
        };
        assert!(find(None, None).unwrap_err().to_string().starts_with("there is no audit.toml"));
        std::fs::write(folder.path().join("audit.toml"), "").unwrap();
        assert_eq!(find(None, None).unwrap(), folder.path().join("audit.toml"));
        assert_eq!(find(None, Some("")).unwrap(), folder.path().join("audit.toml"));
        assert_eq!(find(None, Some("b.toml")).unwrap(), Path::new("b.toml"));
        assert_eq!(find(Some("a.toml"), Some("b.toml")).unwrap(), Path::new("a.toml"));
    }
}
