//! What was asked for.

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Action {
    /// Make a new one.
    Create = 1,
    /// Read it.
    Read = 2,
    /// Change it.
    Update = 3,
    /// Remove it.
    Delete = 4,
    /// A mutation that is none of these.
    Mutation = 5,
}

impl Action {
    /// All of them, in the order of their codes.
    pub const ALL: [Action; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Mutation];

    /// Its word in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Mutation => "mutation",
        }
    }

    /// The action of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::parse_bytes(word.as_bytes())
    }

    /// The action of this word.
    #[inline]
    pub fn parse_bytes(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"create" => Self::Create,
            b"read" => Self::Read,
            b"update" => Self::Update,
            b"delete" => Self::Delete,
            b"mutation" => Self::Mutation,
            _ => return None,
        })
    }

    /// Its number at the plugin boundary.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The action of this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.code() == code)
    }
}
