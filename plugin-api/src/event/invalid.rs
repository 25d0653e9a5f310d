//! Why something is no event.

/// Why something is no event. Positions are bytes from the start of the line, the first one being 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// Its bytes are no text.
    #[error("not UTF-8 at byte {position}")]
    NotUtf8 {
        /// Of the first byte that is wrong.
        position: usize,
    },
    /// It breaks the grammar of JSON.
    #[error("not JSON at byte {position}: {problem}")]
    NotJson {
        /// Where reading stopped.
        position: usize,
        /// What was expected or found there.
        problem: String,
    },
    /// A number that JSON has no word for: `NaN`, `Infinity`, `-Infinity`.
    #[error("{token} at byte {position} is no JSON number: write null or leave it out")]
    NotANumber {
        /// The word.
        token: &'static str,
        /// Where it stands.
        position: usize,
    },
    /// Arrays and objects within each other, too many.
    #[error("more than 100 levels of arrays and objects at byte {position}")]
    TooDeep {
        /// Of the bracket that is one too many.
        position: usize,
    },
    /// A key that no event has.
    #[error("unknown key '{key}'{}", suggestion(*.nearest))]
    UnknownKey {
        /// The key, escaped and shortened.
        key: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key that stands there twice.
    #[error("key '{key}' is given twice")]
    TwiceGivenKey {
        /// The key.
        key: &'static str,
    },
    /// A key that every event has.
    #[error("key '{key}' is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A value of a type that the key does not take.
    #[error("'{key}' must be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The types it takes.
        expected: &'static str,
        /// The type it was given.
        found: &'static str,
    },
    /// An item of a list that is no text.
    #[error("'{key}' must hold text only, not {found}")]
    WrongItem {
        /// The key.
        key: &'static str,
        /// The item's type.
        found: &'static str,
    },
    /// A JSON value of another type.
    #[error("an event is a JSON object, not {found}")]
    NoObject {
        /// The type.
        found: &'static str,
    },
    /// A word that is no action.
    #[error("unknown action '{action}' (create, read, update, delete, mutation)")]
    UnknownAction {
        /// The word, shortened.
        action: String,
    },
    /// A time that is not RFC 3339.
    #[error(
        "timestamp '{timestamp}' is no RFC 3339 time of the years 0000 to 9999, as 2026-11-24T02:54:18.387810+00:00"
    )]
    Timestamp {
        /// The text, shortened.
        timestamp: String,
    },
    /// A time without offset.
    #[error("timestamp '{timestamp}' has no UTC offset: add one (+00:00), or use --assume-utc")]
    MissingOffset {
        /// The text, shortened.
        timestamp: String,
    },
    /// An id that is no UUID.
    #[error("event_id '{event_id}' is no UUID, as 019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b")]
    EventId {
        /// The text, shortened.
        event_id: String,
    },
}

impl InvalidEvent {
    /// This key is unknown.
    pub fn unknown_key(key: &[u8], nearest: Option<&'static str>) -> Self {
        Self::UnknownKey { key: excerpt(key), nearest }
    }

    /// This word is no action.
    pub fn unknown_action(action: &[u8]) -> Self {
        Self::UnknownAction { action: excerpt(action) }
    }

    /// This text is no RFC 3339 time.
    pub fn timestamp(timestamp: &[u8]) -> Self {
        Self::Timestamp { timestamp: excerpt(timestamp) }
    }

    /// This text is a time without offset.
    pub fn missing_offset(timestamp: &[u8]) -> Self {
        Self::MissingOffset { timestamp: excerpt(timestamp) }
    }

    /// This text is no UUID.
    pub fn event_id(event_id: &[u8]) -> Self {
        Self::EventId { event_id: excerpt(event_id) }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(", did you mean '{key}'?")).unwrap_or_default()
}

/// At most 60 characters, with control characters escaped.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut excerpt = String::new();
    for character in text.chars().take(60) {
        if character.is_control() {
            excerpt.extend(character.escape_unicode());
        } else {
            excerpt.push(character);
        }
    }
    if text.chars().nth(60).is_some() {
        excerpt.push('…');
    }
    excerpt
}
