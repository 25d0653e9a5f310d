//! `bootstrap_servers`: a list, or text with commas.

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{OptionType, OptionsError};

/// The brokers that a client asks first; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Vec<String>);

impl Servers {
    /// As librdkafka's `bootstrap.servers` wants them.
    pub fn joined(&self) -> String {
        self.0.join(",")
    }
}

impl OptionType for Servers {
    const TYPES: &'static [&'static str] = &["string", "array"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        let list: Vec<String> = match &value {
            Value::String(text) => text.split(',').map(str::to_owned).collect(),
            Value::Array(_) => Vec::from_value(value)?,
            other => {
                let reason = format!(
                    "expected a list of \"host:port\", or one text with commas between, found {other}"
                );
                return Err(OptionsError::new(reason));
            }
        };
        let servers: Vec<String> =
            list.iter().map(|server| server.trim().to_owned()).filter(|server| !server.is_empty()).collect();
        match servers.is_empty() {
            true => Err(OptionsError::new("expected at least one \"host:port\", found none")),
            false => Ok(Self(servers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn a_list_and_text_with_commas_mean_the_same() {
        for value in [json!(["a:9092", "b:9092"]), json!("a:9092, b:9092"), json!("a:9092,b:9092,")] {
            assert_eq!(Servers::from_value(value).unwrap().joined(), "a:9092,b:9092");
        }
    }

    #[test]
    fn no_server_and_other_types_are_refused() {
        for value in [json!(""), json!(" , "), json!([]), json!(7), json!([7])] {
            assert!(Servers::from_value(value).is_err());
        }
    }
}
