//! `[plugins]`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::error::Draft;
use crate::config::fields::{self, Fields, Rejected, array, string, table, word};
use crate::config::tree::Node;
use crate::config::{PluginSettings, Probe};

pub(super) fn read_plugins(mut fields: Fields<'_>, base_dir: &Path) -> PluginSettings {
    let mut settings = PluginSettings { dirs: vec![base_dir.join("plugins")], ..PluginSettings::default() };
    if let Some(nodes) = fields.read("dirs", array) {
        settings.dirs = nodes
            .into_iter()
            .enumerate()
            .filter_map(|(index, node)| read_dir(&format!("dirs[{index}]"), node, base_dir, fields.drafts))
            .collect();
    }
    for entry in fields.read("sha256", table).unwrap_or_default() {
        match read_pin(&entry.key, &entry.key_span, entry.node) {
            Ok(pin) => {
                settings.sha256.insert(entry.key, pin);
            }
            Err(rejected) => rejected.report(fields.drafts),
        }
    }
    let words = [("auto", Probe::Auto), ("always", Probe::Always), ("never", Probe::Never)];
    fields.set(&mut settings.probe, "probe", word(&words));
    fields.finish();
    settings
}

fn read_dir(name: &str, node: Node, base_dir: &Path, drafts: &mut Vec<Draft>) -> Option<PathBuf> {
    let (path, span) = match fields::path(base_dir)(name, node) {
        Ok(read) => read,
        Err(rejected) => {
            rejected.report(drafts);
            return None;
        }
    };
    let shown = path.display();
    let problem = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Some(path),
        Ok(_) => format!("the plugin folder {shown} is not a folder: name the folder that holds the plugins"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("the plugin folder {shown} does not exist: make it, or take it out of `dirs`")
        }
        Err(error) => format!("the plugin folder {shown} cannot be read: {error}"),
    };
    drafts.push(Draft::new(span, problem));
    None
}

fn read_pin(file: &str, key_span: &Range<usize>, node: Node) -> Result<[u8; 32], Rejected> {
    if file.contains('/') || !file.ends_with(".so") {
        let message =
            format!("`{file}` is no plugin's file name: pins are by name, such as `libaudit_sink_print.so`");
        return Err(Draft::new(key_span.clone(), message).into());
    }
    let (text, span) = string(&format!("sha256.{file}"), node)?;
    decode_hex(&text).ok_or_else(|| {
        let found = if text.len() == 64 {
            "characters that are not".to_owned()
        } else {
            format!("{} characters", text.chars().count())
        };
        Draft::new(span, format!("the SHA-256 of `{file}` must be 64 hexadecimal digits, but has {found}"))
            .note("`sha256sum FILE` prints it")
            .into()
    })
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(out)
}
