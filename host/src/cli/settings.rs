//! Which configuration is meant, and which plugin folders.

use std::path::{Path, PathBuf};

use audit_host::config::Config;
use audit_host::loader::ProbeHow;
use audit_host::logger::Loading;

use super::args::Global;
use super::console::Console;
use super::failure::Failure;

/// Reads the configuration; the folders of the command line come before its own.
pub fn load(global: &Global, console: &Console) -> Result<Config, Failure> {
    Ok(load_from(global, console)?.0)
}

/// Reads the configuration, and says where it is.
pub fn load_from(global: &Global, console: &Console) -> Result<(Config, PathBuf), Failure> {
    let path = Config::find(global.config.as_deref())?;
    Ok((load_path(global, &path, console)?, path))
}

/// Reads this configuration; the folders of the command line come before its own.
pub fn load_path(global: &Global, path: &Path, console: &Console) -> Result<Config, Failure> {
    let mut config = Config::load(path)?;
    console.mask(&config.secrets);
    config.plugins.dirs.splice(..0, plugin_dirs(global)?);
    Ok(config)
}

/// The configuration of a command that can do without one: nothing is configured where no file is named and
/// `./audit.toml` is not there.
pub fn load_if_there(global: &Global, console: &Console) -> Result<Config, Failure> {
    if Config::find(global.config.as_deref()).is_ok() {
        return load(global, console);
    }
    let mut config = Config::from_str("", Path::new("."))?;
    if !global.plugin_dirs.is_empty() {
        config.plugins.dirs = plugin_dirs(global)?;
    }
    Ok(config)
}

/// How the command line loads plugins: this program tries them first, in a child process.
pub fn loading() -> Loading {
    Loading { probe: Some(ProbeHow::OwnBinary) }
}

fn plugin_dirs(global: &Global) -> Result<Vec<PathBuf>, Failure> {
    global
        .plugin_dirs
        .iter()
        .map(|dir| {
            if !dir.is_dir() {
                let text = format!("--plugin-dir {}: there is no such folder", dir.display());
                return Err(Failure::new(text));
            }
            std::path::absolute(dir)
                .map_err(|error| Failure::new(format!("--plugin-dir {}: {error}", dir.display())))
        })
        .collect()
}

/// The refusal of a configuration without a sink.
pub fn no_logger(path: &Path) -> Failure {
    Failure::new(format!(
        "{} configures no audit logger: add [audit_logger] with the `class` of a sink",
        path.display()
    ))
}
