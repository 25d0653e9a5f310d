//! What `#[derive(SinkOptions)]` reads a table with.

use serde_json::{Map, Value};

use super::option_type::none_of;
use crate::{OptionType, OptionsError};

/// The options that are not read yet.
pub struct OptionTable(Map<String, Value>);

impl OptionTable {
    /// The table, unless it is none, or holds an option that is not known.
    pub fn new(options: Value, known: &[&str]) -> Result<Self, OptionsError> {
        let options = Map::from_value(options)?;
        if let Some(unknown) = options.keys().find(|name| !known.contains(&name.as_str())) {
            let known = if known.is_empty() {
                "there are none".into()
            } else {
                format!("known: {}", known.join(", "))
            };
            return Err(OptionsError::new(format!("unknown option `{unknown}`; {known}")).within(unknown));
        }
        Ok(Self(options))
    }

    /// The option, which may be absent if its type says so; `values` are the only ones allowed, unless empty.
    pub fn take<T: OptionType>(&mut self, name: &str, values: &[&str]) -> Result<T, OptionsError> {
        match self.given(name, values)? {
            Some(value) => Ok(value),
            None => T::absent().ok_or_else(|| OptionsError::new(format!("the option `{name}` is missing"))),
        }
    }

    /// The option, or what `default` makes.
    pub fn take_or<T: OptionType>(
        &mut self,
        name: &str,
        values: &[&str],
        default: impl FnOnce() -> T,
    ) -> Result<T, OptionsError> {
        self.given(name, values).map(|value| value.unwrap_or_else(default))
    }

    /// The option, or this JSON, as if the operator had written it.
    pub fn take_or_json<T: OptionType>(
        &mut self,
        name: &str,
        values: &[&str],
        default: &str,
    ) -> Result<T, OptionsError> {
        if !self.0.contains_key(name) {
            let default: Value = serde_json::from_str(default).map_err(|error| {
                OptionsError::new(format!("the default is no JSON: {error}")).within(name)
            })?;
            self.0.insert(name.to_owned(), default);
        }
        self.take(name, values)
    }

    fn given<T: OptionType>(&mut self, name: &str, values: &[&str]) -> Result<Option<T>, OptionsError> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        if let Value::String(found) = &value
            && !values.is_empty()
            && !values.contains(&found.as_str())
        {
            return Err(none_of(values, found).within(name));
        }
        T::from_value(value).map(Some).map_err(|error| error.within(name))
    }
}
