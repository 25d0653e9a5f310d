//! Which events are to be on the disk before `record` returns, while the others need not.

use audit_plugin_api::{Action, flags};

/// A set of decisions and actions; an event is in it if any of them is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFor {
    /// An action at the bit of its code, decisions above.
    bits: u32,
}

const ACTIONS: u32 = 0xff;
const DENIED: u32 = 1 << 8;
const GRANTED: u32 = 1 << 9;
const BYPASSED: u32 = 1 << 10;

impl DiskFor {
    /// Whether no event is in it.
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Whether an event with this action (by its code at the plugin boundary) and these [`flags`] is in it.
    pub fn covers(&self, action_code: u32, flags: u32) -> bool {
        let action = 1_u32.checked_shl(action_code).unwrap_or(0) & ACTIONS;
        let decision = if flags & flags::GRANTED == 0 { DENIED } else { GRANTED };
        let bypassed = if flags & flags::BYPASSED == 0 { 0 } else { BYPASSED };
        self.bits & (action | decision | bypassed) != 0
    }

    /// Its words in `audit.toml`, each as a set of its own.
    pub(crate) fn words() -> impl Iterator<Item = (&'static str, Self)> {
        let decisions = [("denied", DENIED), ("granted", GRANTED), ("bypassed", BYPASSED)];
        let actions = Action::ALL.map(|action| (action.as_str(), 1 << action.code()));
        decisions.into_iter().chain(actions).map(|(word, bits)| (word, Self { bits }))
    }
}

impl FromIterator<Self> for DiskFor {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        Self { bits: sets.into_iter().fold(0, |bits, set| bits | set.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> DiskFor {
        DiskFor::words().filter(|(word, _)| words.contains(word)).map(|(_, set)| set).collect()
    }

    #[test]
    fn nothing_is_in_the_empty_set() {
        let empty = DiskFor::default();
        assert!(empty.is_empty());
        for action in Action::ALL {
            for flags in 0..4 {
                assert!(!empty.covers(action.code(), flags));
            }
        }
    }

    #[test]
    fn each_word_covers_what_it_says_and_nothing_else() {
        for action in Action::ALL {
            for granted in [false, true] {
                for bypassed in [false, true] {
                    let flags = flags::decision(granted, bypassed);
                    let covered: Vec<_> = DiskFor::words()
                        .filter(|(_, set)| set.covers(action.code(), flags))
                        .map(|(word, _)| word)
                        .collect();
                    let mut expected = vec![if granted { "granted" } else { "denied" }];
                    expected.extend(bypassed.then_some("bypassed"));
                    expected.push(action.as_str());
                    assert_eq!(covered, expected);
                }
            }
        }
    }

    #[test]
    fn any_of_several_words_is_enough() {
        let set = of(&["denied", "mutation"]);
        assert!(set.covers(Action::Read.code(), 0));
        assert!(set.covers(Action::Mutation.code(), flags::GRANTED));
        assert!(!set.covers(Action::Read.code(), flags::GRANTED | flags::BYPASSED));
    }

    #[test]
    fn an_action_that_only_a_later_version_knows_is_judged_by_its_decision() {
        for code in [0, 6, 8, 9, 10, 31, 32, u32::MAX] {
            assert!(!of(&["create", "read", "update", "delete", "mutation", "bypassed"]).covers(code, 0));
            assert!(of(&["denied"]).covers(code, 0));
            assert!(!of(&["denied"]).covers(code, flags::GRANTED));
        }
    }
}
