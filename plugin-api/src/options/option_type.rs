//! What an option may be.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::OptionsError;

/// A type that an option may have.
///
/// It is there for text, booleans, numbers (an integer will do for a float), paths, [`Seconds`](crate::Seconds), lists,
/// maps, `Option`, any JSON, and structs that derive [`SinkOptions`](crate::SinkOptions). `#[derive(OptionType)]`
/// makes an enum of plain variants a choice of words, which are the variants' names in `snake_case`, unless
/// `#[option(name = "…")]` says otherwise. Implement it for what is left:
///
/// ```
/// use audit_plugin_api::{OptionType, OptionsError, serde_json::Value};
///
/// /// Text, or a list of text.
/// struct Servers(Vec<String>);
///
/// impl OptionType for Servers {
///     const TYPES: &'static [&'static str] = &["string", "array"];
///
///     fn from_value(value: Value) -> Result<Self, OptionsError> {
///         match value {
///             Value::String(text) => Ok(Self(text.split(',').map(str::to_owned).collect())),
///             list => Vec::from_value(list).map(Self),
///         }
///     }
/// }
/// # assert_eq!(Servers::from_value("a,b".into()).unwrap().0, ["a", "b"]);
/// # assert_eq!(Servers::from_value(serde_json::json!(["a", 1])).err().unwrap().path, "[1]");
/// ```
pub trait OptionType: Sized {
    /// The TOML types it may have: `string`, `integer`, `float`, `boolean`, `array`, `table`.
    const TYPES: &'static [&'static str];
    /// The only values it may have, where they are few.
    const VALUES: &'static [&'static str] = &[];
    /// Whether it must be given.
    const REQUIRED: bool = true;

    /// Reads the value; the error's path is relative to it.
    fn from_value(value: Value) -> Result<Self, OptionsError>;

    /// What it is when it is not given, unless required.
    fn absent() -> Option<Self> {
        None
    }
}

/// The TOML word for the type of a value.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}

/// The error for a value of another type.
pub(crate) fn mismatch<T: OptionType>(value: &Value) -> OptionsError {
    OptionsError::new(format!("expected {}, found {}", T::TYPES.join(" or "), type_of(value)))
}

/// The error for a word that is none of these.
pub(crate) fn none_of(values: &[&str], found: &str) -> OptionsError {
    let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    OptionsError::new(format!("expected one of {}, found {found:?}", values.join(", ")))
}

/// The variant of this word; what `#[derive(OptionType)]` reads an enum with.
pub fn choose<T: OptionType>(
    value: Value,
    variant: impl FnOnce(&str) -> Option<T>,
) -> Result<T, OptionsError> {
    let word = String::from_value(value)?;
    variant(&word).ok_or_else(|| none_of(T::VALUES, &word))
}

impl OptionsError {
    /// Reads a value by way of `serde`, for types that have that; the path leads to what is wrong.
    pub fn deserialize<T: DeserializeOwned>(value: Value) -> Result<T, Self> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            Self {
                path: if path == "." { String::new() } else { path },
                reason: error.into_inner().to_string(),
            }
        })
    }
}

impl OptionType for String {
    const TYPES: &'static [&'static str] = &["string"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(mismatch::<Self>(&other)),
        }
    }
}

impl OptionType for PathBuf {
    const TYPES: &'static [&'static str] = &["string"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        String::from_value(value).map(Self::from)
    }
}

impl OptionType for bool {
    const TYPES: &'static [&'static str] = &["boolean"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        value.as_bool().ok_or_else(|| mismatch::<Self>(&value))
    }
}

impl OptionType for f64 {
    const TYPES: &'static [&'static str] = &["float", "integer"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        value.as_f64().ok_or_else(|| mismatch::<Self>(&value))
    }
}

impl OptionType for f32 {
    const TYPES: &'static [&'static str] = f64::TYPES;

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        f64::from_value(value).map(|number| number as f32)
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl OptionType for $integer {
            const TYPES: &'static [&'static str] = &["integer"];

            fn from_value(value: Value) -> Result<Self, OptionsError> {
                let Value::Number(number) = &value else { return Err(mismatch::<Self>(&value)) };
                if number.is_f64() {
                    return Err(mismatch::<Self>(&value));
                }
                number.as_i128().and_then(|number| Self::try_from(number).ok()).ok_or_else(|| {
                    OptionsError::new(format!("expected an integer from {} to {}, found {number}", Self::MIN, Self::MAX))
                })
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl<T: OptionType> OptionType for Option<T> {
    const TYPES: &'static [&'static str] = T::TYPES;
    const VALUES: &'static [&'static str] = T::VALUES;
    const REQUIRED: bool = false;

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        T::from_value(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: OptionType> OptionType for Vec<T> {
    const TYPES: &'static [&'static str] = &["array"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        let Value::Array(items) = value else { return Err(mismatch::<Self>(&value)) };
        let items = items.into_iter().enumerate();
        items
            .map(|(index, item)| T::from_value(item).map_err(|error| error.within(&format!("[{index}]"))))
            .collect()
    }
}

impl<K: From<String> + Ord, T: OptionType> OptionType for BTreeMap<K, T> {
    const TYPES: &'static [&'static str] = &["table"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        entries(value).map(|entries| entries.into_iter().collect())
    }
}

impl<K: From<String> + Eq + Hash, T: OptionType, S: BuildHasher + Default> OptionType for HashMap<K, T, S> {
    const TYPES: &'static [&'static str] = &["table"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        entries(value).map(|entries| entries.into_iter().collect())
    }
}

fn entries<K: From<String>, T: OptionType>(value: Value) -> Result<Vec<(K, T)>, OptionsError> {
    Map::from_value(value)?
        .into_iter()
        .map(|(key, value)| match T::from_value(value) {
            Ok(value) => Ok((K::from(key), value)),
            Err(error) => Err(error.within(&key)),
        })
        .collect()
}

/// A table of anything, in the order in which it was written.
impl OptionType for Map<String, Value> {
    const TYPES: &'static [&'static str] = &["table"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        match value {
            Value::Object(map) => Ok(map),
            other => Err(mismatch::<Self>(&other)),
        }
    }
}

/// Anything.
impl OptionType for Value {
    const TYPES: &'static [&'static str] = &["string", "integer", "float", "boolean", "array", "table"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        Ok(value)
    }
}
