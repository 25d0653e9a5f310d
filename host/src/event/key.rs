//! The keys of an event, in the order of its canonical form.

/// A key of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    EventId,
    Timestamp,
    Action,
    Attributes,
    Granted,
    Bypassed,
    Manager,
    UserId,
    User,
    Permissions,
    Metadata,
}

impl Key {
    pub(super) const ALL: [Self; 11] = [
        Self::EventId,
        Self::Timestamp,
        Self::Action,
        Self::Attributes,
        Self::Granted,
        Self::Bypassed,
        Self::Manager,
        Self::UserId,
        Self::User,
        Self::Permissions,
        Self::Metadata,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::Timestamp => "timestamp",
            Self::Action => "action",
            Self::Attributes => "attributes",
            Self::Granted => "granted",
            Self::Bypassed => "bypassed",
            Self::Manager => "manager",
            Self::UserId => "user_id",
            Self::User => "user",
            Self::Permissions => "permissions",
            Self::Metadata => "metadata",
        }
    }

    /// The key that this text is.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"event_id" => Self::EventId,
            b"timestamp" => Self::Timestamp,
            b"action" => Self::Action,
            b"attributes" => Self::Attributes,
            b"granted" => Self::Granted,
            b"bypassed" => Self::Bypassed,
            b"manager" => Self::Manager,
            b"user_id" => Self::UserId,
            b"user" => Self::User,
            b"permissions" => Self::Permissions,
            b"metadata" => Self::Metadata,
            _ => return None,
        })
    }

    /// The key that this text may have been meant for.
    pub(super) fn nearest(text: &[u8]) -> Option<&'static str> {
        let text = String::from_utf8_lossy(&text[..text.len().min(100)]).to_lowercase();
        Self::ALL
            .map(|key| (strsim::jaro_winkler(&text, key.as_str()), key.as_str()))
            .into_iter()
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_own_text() {
        for key in Key::ALL {
            assert_eq!(Key::parse(key.as_str().as_bytes()), Some(key));
        }
    }

    #[test]
    fn a_near_miss_is_understood_and_a_far_one_is_not() {
        let pairs = [
            ("grant", "granted"),
            ("userId", "user_id"),
            ("permission", "permissions"),
            ("Action", "action"),
        ];
        for (text, key) in pairs {
            assert_eq!(Key::nearest(text.as_bytes()), Some(key));
        }
        assert_eq!(Key::nearest(b"zzz"), None);
        assert_eq!(Key::nearest(b""), None);
    }
}
