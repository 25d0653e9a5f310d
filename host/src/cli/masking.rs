//! Secret values in JSON: masked within texts and keys, so that it stays JSON whatever the secret is.

use audit_host::config::Secrets;
use serde_json::Value;

/// Masks every occurrence of a secret in the texts and keys of a value.
pub fn mask_json(value: &mut Value, secrets: &Secrets) {
    if secrets.is_empty() {
        return;
    }
    match value {
        Value::String(text) => *text = secrets.mask(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_json(item, secrets)),
        Value::Object(members) => {
            let masked = std::mem::take(members).into_iter().map(|(key, mut value)| {
                mask_json(&mut value, secrets);
                (secrets.mask(&key).into_owned(), value)
            });
            *members = masked.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_keys_are_masked_and_numbers_stay_numbers() {
        let secrets: Secrets = ["42".to_owned()].into_iter().collect();
        let mut value = json!({ "port 42": [42, "at 42", { "deep": "42" }], "n": null });
        mask_json(&mut value, &secrets);
        assert_eq!(value, json!({ "port ***": [42, "at ***", { "deep": "***" }], "n": null }));
    }
}
