//! Permissions, as they are written for `chmod`.

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{OptionType, OptionsError};

/// Permissions, written in octal: `"0640"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl OptionType for Mode {
    const TYPES: &'static [&'static str] = &["string"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        let text = String::from_value(value)?;
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(Self(mode)),
            _ => Err(OptionsError::new(format!(
                "expected permissions in octal, such as \"0640\", found {text:?}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal() {
        for text in ["0640", "640", "0o640"] {
            assert_eq!(Mode::from_value(text.into()), Ok(Mode(0o640)));
        }
        for bad in ["", "0689", "rw", "1777", "+600", "-600"] {
            let error = Mode::from_value(bad.into()).unwrap_err();
            assert!(error.reason.ends_with(&format!("found {bad:?}")), "{error}");
        }
    }
}
