//! `bootstrap_servers`: a list, or text with commas.

use serde::Deserialize;

/// The brokers that a client asks first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Servers(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of `host:port`, or one text with commas between them")]
enum Written {
    Text(String),
    List(Vec<String>),
}

impl From<Written> for Servers {
    fn from(written: Written) -> Self {
        let list = match written {
            Written::Text(text) => text.split(',').map(str::to_owned).collect(),
            Written::List(list) => list,
        };
        Self(list.iter().map(|server| server.trim().to_owned()).filter(|server| !server.is_empty()).collect())
    }
}

impl Servers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As librdkafka's `bootstrap.servers` wants them.
    pub fn joined(&self) -> String {
        self.0.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(json: &str) -> String {
        serde_json::from_str::<Servers>(json).unwrap().joined()
    }

    #[test]
    fn a_list_and_text_with_commas_mean_the_same() {
        assert_eq!(servers(r#"["a:9092", "b:9092"]"#), "a:9092,b:9092");
        assert_eq!(servers(r#""a:9092, b:9092""#), "a:9092,b:9092");
        assert_eq!(servers(r#""a:9092""#), "a:9092");
    }

    #[test]
    fn nothing_but_commas_is_no_server() {
        assert!(serde_json::from_str::<Servers>(r#"" , ""#).unwrap().is_empty());
    }

    #[test]
    fn another_type_is_refused_with_what_was_expected() {
        let error = serde_json::from_str::<Servers>("7").unwrap_err().to_string();
        assert!(error.starts_with("expected a list of `host:port`"), "{error}");
    }
}
