//! A configuration: read from a file or a text, checked, ready to be used.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Document;
use super::error::Draft;
use super::interpolate::{Interpolator, Variables};
use super::parse::parse;
use super::tree::Tree;
use super::{BufferSettings, ConfigError, DeliverySettings, PluginSettings, Secrets, SinkConfig};
use crate::trust::check_owner_and_mode;

const MAX_FILE_BYTES: u64 = 16 << 20;

/// What `audit.toml` says, defaults filled in and paths made absolute.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The sinks, in the order of the file; none where the file has no `audit_logger`.
    pub sinks: Vec<SinkConfig>,
    /// `[plugins]`.
    pub plugins: PluginSettings,
    /// `[buffer]`.
    pub buffer: BufferSettings,
    /// `[delivery]`.
    pub delivery: DeliverySettings,
    /// The folder of the file, which relative paths start from (absolute).
    pub base_dir: PathBuf,
    /// What no message may show.
    pub secrets: Secrets,
}

impl Config {
    /// Reads a file. It must be a regular file or a link to one, and pass the rule for owner and mode (see
    /// [`crate::trust`]).
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let bytes = read_trusted(path)?;
        let file = absolute(&name, path)?;
        let base_dir = file.parent().unwrap_or(Path::new("/"));
        match String::from_utf8(bytes) {
            Ok(text) => read(name, text, base_dir, Some(&|name| std::env::var_os(name))),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let byte = error.as_bytes().get(at).copied().unwrap_or_default();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let message = format!("not valid UTF-8 (byte 0x{byte:02x}): save the file as UTF-8");
                let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
                let document = Document { name, text, secrets: Secrets::default() };
                Err(ConfigError::in_document(&Arc::new(document), vec![Draft::new(span, message)]))
            }
        }
    }

    /// Reads a text, called `<string>` in errors; its relative paths start from `base_dir`.
    pub fn from_str(toml: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        let base_dir = absolute("<string>", base_dir)?;
        read("<string>".to_owned(), toml.to_owned(), &base_dir, Some(&|name| std::env::var_os(name)))
    }

    /// One sink with these options, the worker's and its own, as an object; everything else is as in an empty file in
    /// `base_dir`. Texts are taken as they are: `${NAME}` has no meaning here. The text is called `<options>` in errors.
    pub fn from_class(
        class: &str,
        options: &serde_json::Value,
        base_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let source = serde_json::json!({ "audit_logger": { "class": class, "options": options } });
        let toml = toml::to_string(&source).map_err(|error| {
            ConfigError::without_place(format!(
                "<options>: cannot be written as TOML ({error}): leave out options that are null"
            ))
        })?;
        let base_dir = absolute("<options>", base_dir)?;
        read("<options>".to_owned(), toml, &base_dir, None)
    }
}

fn absolute(name: &str, base_dir: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(base_dir).map_err(|error| {
        ConfigError::without_place(format!("{name}: has no folder {}: {error}", base_dir.display()))
    })
}

/// Reads a text. Without a way to look up variables, `${…}` has no meaning in it.
pub(super) fn read(
    name: String,
    text: String,
    base_dir: &Path,
    variable: Option<Variables<'_>>,
) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let mut drafts = Vec::new();
    let tree = Tree::read(&text, variable.map(|variable| Interpolator::new(base_dir, variable)), &mut drafts);
    let document = Document { name, text, secrets: tree.secrets.into_iter().collect() };
    parse(&Arc::new(document), tree.root, base_dir, drafts)
}

fn read_trusted(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let shown = path.display();
    let fail = |problem: String| ConfigError::without_place(format!("{shown}: {problem}"));
    // Non-blocking: opening a FIFO must not wait for its writer.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| fail(format!("cannot be opened: {error}")))?;
    let metadata = file.metadata().map_err(|error| fail(format!("cannot be examined: {error}")))?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a folder" } else { "no regular file" };
        return Err(fail(format!("is {kind}, but a configuration is a regular file or a link to one")));
    }
    check_owner_and_mode(&metadata, path).map_err(|error| ConfigError::without_place(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fail("is over 16 MiB, which no configuration is".to_owned()));
    }
    Ok(bytes)
}
