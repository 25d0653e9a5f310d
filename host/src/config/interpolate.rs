//! `${NAME}`, `${NAME:-default}`, `${file:PATH}` in string values.
//!
//! Runs after parsing, so that no value can change the structure of the file. A value that is brought in is not looked at
//! again. Anything else with a dollar sign is literal, and `$${` is a literal `${`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A secret file is read up to this size; more is certainly not what was meant.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where `${NAME}` gets its value from.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Fills in values, and remembers those that are secret.
pub(super) struct Interpolator<'a> {
    base_dir: &'a Path,
    variable: Variables<'a>,
    secrets: BTreeSet<String>,
}

/// An expression without a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// As it stands in the text, as far as it could be read.
    pub(super) expression: String,
    pub(super) message: String,
}

impl<'a> Interpolator<'a> {
    pub(super) fn new(base_dir: &'a Path, variable: Variables<'a>) -> Self {
        Self { base_dir, variable, secrets: BTreeSet::new() }
    }

    /// The values that came from the environment or from files.
    pub(super) fn into_secrets(self) -> BTreeSet<String> {
        self.secrets
    }

    pub(super) fn expand(&mut self, text: &str) -> Result<String, Unresolved> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                out.push_str("${");
                rest = after;
            } else if let Some(body) = rest.strip_prefix("${") {
                let Some(end) = body.find('}') else {
                    return Err(Unresolved {
                        expression: rest.to_owned(),
                        message: "`${` without its `}`: close it, or write `$${` for a literal `${`"
                            .to_owned(),
                    });
                };
                let value = self
                    .resolve(&body[..end])
                    .map_err(|message| Unresolved { expression: rest[..end + 3].to_owned(), message })?;
                out.push_str(&value);
                rest = &body[end + 1..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn resolve(&mut self, body: &str) -> Result<String, String> {
        if let Some(path) = body.strip_prefix("file:") {
            let value = self.read_file(path)?;
            self.secrets.insert(value.clone());
            return Ok(value);
        }
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        if !is_name(name) {
            return Err(format!(
                "`${{{body}}}` is none of `${{NAME}}`, `${{NAME:-default}}` and `${{file:PATH}}`: write `$${{` for a \
                 literal `${{`"
            ));
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err(format!(
                "the default of `${{{name}}}` cannot hold another `${{`: give it a plain text"
            ));
        }
        let value = match ((self.variable)(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => return Ok(default.to_owned()),
            (None, None) => {
                return Err(format!(
                    "the environment variable `{name}` is not set: set it, or give a default with `${{{name}:-default}}`"
                ));
            }
        };
        let value = value
            .into_string()
            .map_err(|_| format!("the environment variable `{name}` is not valid UTF-8: set it to text"))?;
        self.secrets.insert(value.clone());
        Ok(value)
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        if path.is_empty() {
            return Err("`${file:}` names no file: write `${file:PATH}`".to_owned());
        }
        let path = self.base_dir.join(path);
        let shown = path.display();
        let cannot_read = |error: std::io::Error| format!("the secret file {shown} cannot be read: {error}");
        // Non-blocking: opening a FIFO must not wait for its writer.
        let file =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(cannot_read)?;
        if !file.metadata().map_err(cannot_read)?.is_file() {
            return Err(format!(
                "the secret file {shown} is not a regular file: name one that holds the value"
            ));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("the secret file {shown} is over 1 MiB: name one that holds only the value"));
        }
        let mut text = String::from_utf8(bytes)
            .map_err(|_| format!("the secret file {shown} is not valid UTF-8: name one that holds text"))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<OsString> {
        use std::os::unix::ffi::OsStringExt;
        match name {
            "USER" => Some("ann".into()),
            "NESTED" => Some("${USER}".into()),
            "EMPTY" => Some("".into()),
            "BROKEN" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        }
    }

    fn expand_in(folder: &Path, text: &str) -> (Result<String, String>, Vec<String>) {
        let mut interpolator = Interpolator::new(folder, &variable);
        let result =
            interpolator.expand(text).map_err(|error| format!("{}: {}", error.expression, error.message));
        (result, interpolator.into_secrets().into_iter().collect())
    }

    fn expand(text: &str) -> String {
        expand_in(Path::new("/nowhere"), text).0.unwrap()
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(expand("<${USER}/${USER}>"), "<ann/ann>");
        assert_eq!(expand("${UNSET:-x y}${UNSET:-}"), "x y");
        assert_eq!(expand("${USER:-x}"), "ann");
        assert_eq!(expand("${EMPTY}|${EMPTY:-default}"), "|default");
        assert_eq!(expand("${UNSET:-a:-b}"), "a:-b");
    }

    #[test]
    fn other_dollars_are_literal() {
        assert_eq!(expand("$${USER} $USER $ $$ 5$"), "${USER} $USER $ $$ 5$");
        assert_eq!(expand("$$${USER}"), "$${USER}");
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(expand("${NESTED}"), "${USER}");
    }

    #[test]
    fn only_what_was_brought_in_is_secret() {
        let (_, secrets) = expand_in(Path::new("/"), "a ${USER} ${UNSET:-default} $${x}");
        assert_eq!(secrets, ["ann"]);
    }

    #[test]
    fn files_lose_one_newline_and_are_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("secret", folder.path().join("link")).unwrap();
        for (content, value) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), ("", "")]
        {
            std::fs::write(folder.path().join("secret"), content).unwrap();
            let absolute = format!("${{file:{}/secret}}", folder.path().display());
            for text in ["${file:secret}", "${file:link}", absolute.as_str()] {
                let (result, secrets) = expand_in(folder.path(), text);
                assert_eq!(result.as_deref(), Ok(value));
                assert_eq!(secrets, [value]);
            }
        }
    }

    #[test]
    fn files_that_hold_no_value_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("binary"), [0xff]).unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 1 + (1 << 20)]).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("fifo"), 0o600.into()).unwrap();
        for (text, reason) in [
            ("${file:absent}", "No such file"),
            ("${file:binary}", "not valid UTF-8"),
            ("${file:large}", "over 1 MiB"),
            ("${file:fifo}", "not a regular file"),
            ("${file:.}", "not a regular file"),
            ("${file:}", "names no file"),
        ] {
            let error = expand_in(folder.path(), text).0.unwrap_err();
            assert!(error.starts_with(text) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn expressions_without_a_value_are_refused() {
        for (text, expression, reason) in [
            ("a ${UNSET} b", "${UNSET}", "`UNSET` is not set"),
            ("${USER", "${USER", "without its `}`"),
            ("${}", "${}", "is none of"),
            ("${a b}", "${a b}", "is none of"),
            ("${1A}", "${1A}", "is none of"),
            ("${env:USER}", "${env:USER}", "is none of"),
            ("${A:-${B}}", "${A:-${B}", "cannot hold another"),
            ("${BROKEN}", "${BROKEN}", "not valid UTF-8"),
        ] {
            let mut interpolator = Interpolator::new(Path::new("/"), &variable);
            let error = interpolator.expand(text).unwrap_err();
            assert_eq!(error.expression, expression);
            assert!(error.message.contains(reason), "{}", error.message);
        }
    }
}
