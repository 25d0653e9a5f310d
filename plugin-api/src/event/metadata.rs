//! A JSON object, kept as canonical text.

use std::fmt;

use serde_json::{Map, Value};

use super::InvalidEvent;
use super::json::Reader;

/// A JSON object, kept as canonical text: key order, duplicate keys and number tokens as given.
///
/// It is checked and made canonical once, here: at most 100 levels of arrays and objects (the object itself is the
/// first), no `NaN` or `Infinity`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// The metadata that this JSON object writes.
    pub fn from_json(json: &str) -> Result<Self, InvalidEvent> {
        let mut reader = Reader::new(json.as_bytes())?;
        let mut canonical = Vec::new();
        reader.object("metadata", &mut canonical)?;
        reader.end()?;
        Self::from_canonical(canonical)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of bytes that a [`Reader`] wrote.
    pub(super) fn from_canonical(canonical: Vec<u8>) -> Result<Self, InvalidEvent> {
        let canonical = String::from_utf8(canonical)
            .map_err(|error| InvalidEvent::NotUtf8 { position: error.utf8_error().valid_up_to() })?;
        Ok(Self(canonical.into()))
    }
}

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = InvalidEvent;

    fn try_from(object: Map<String, Value>) -> Result<Self, InvalidEvent> {
        Self::try_from(Value::Object(object))
    }
}

impl TryFrom<Value> for Metadata {
    type Error = InvalidEvent;

    /// The metadata of a [`Value::Object`]; every other value is an error.
    fn try_from(object: Value) -> Result<Self, InvalidEvent> {
        Self::from_json(&object.to_string())
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_object_is_metadata() {
        assert_eq!(Metadata::from_json(" { \"a\" : [ 1 ] } ").unwrap().as_str(), r#"{"a":[1]}"#);
        for (json, found) in [("[]", "a list"), ("\"a\"", "text"), ("1e9", "a number"), ("null", "null")] {
            let error = Metadata::from_json(json).unwrap_err().to_string();
            assert_eq!(error, format!("'metadata' must be an object, not {found}"));
        }
        assert!(Metadata::from_json("{} {}").is_err());
        assert!(Metadata::from_json("").is_err());
    }

    #[test]
    fn a_value_becomes_metadata_in_its_own_order() {
        let metadata = Metadata::try_from(json!({"b": "ü\n", "a": {"c": null}})).unwrap();
        assert_eq!(metadata.to_string(), "{\"b\":\"ü\\n\",\"a\":{\"c\":null}}");
    }
}
