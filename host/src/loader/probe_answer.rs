//! What the child of a probe says to its parent.
//!
//! It is framed by a token that the plugin does not know, so that nothing a plugin prints, and no `exit(0)` in a constructor,
//! passes for an answer:
//!
//! ```text
//! TOKEN ok TOKEN        TOKEN dlopen TEXT TOKEN        TOKEN handshake TEXT TOKEN        TOKEN classes LISTS TOKEN
//! ```
//!
//! The lists are the classes of the manifest and, behind an empty line, those of the module, one a line.

use super::Reason;

/// What came of loading a plugin on trial.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProbeAnswer(Result<(), Reason>);

impl ProbeAnswer {
    /// No answer is longer.
    pub const MAX_BYTES: usize = 64 << 10;
    const MAX_TEXT_BYTES: usize = 16 << 10;

    /// The answer to this outcome.
    pub fn new(outcome: Result<(), Reason>) -> Self {
        Self(outcome)
    }

    /// The outcome.
    pub fn into_result(self) -> Result<(), Reason> {
        self.0
    }

    /// The bytes that the child writes.
    pub fn to_bytes(&self, token: &str) -> Vec<u8> {
        let (kind, text) = match &self.0 {
            Ok(()) => ("ok", String::new()),
            Err(Reason::Dlopen(text)) => ("dlopen", text.clone()),
            Err(Reason::Handshake { summary, .. }) => ("handshake", summary.clone()),
            Err(Reason::Classes { manifest, module }) => {
                ("classes", format!("{}\n\n{}", manifest.join("\n"), module.join("\n")))
            }
            Err(other) => ("other", other.to_string()),
        };
        let text = &text[..text.floor_char_boundary(Self::MAX_TEXT_BYTES)];
        format!("{token} {kind} {text}{token}").into_bytes()
    }

    /// The answer in what the child wrote so far, once it is complete.
    pub fn find(heard: &[u8], token: &str) -> Option<Self> {
        let heard = String::from_utf8_lossy(heard);
        let (answer, _) = heard.split_once(token)?.1.split_once(token)?;
        let (kind, text) = answer.trim_start().split_once(' ')?;
        Some(Self(match kind {
            "ok" => Ok(()),
            "dlopen" => Err(Reason::Dlopen(text.into())),
            "handshake" => Err(handshake(text)),
            "classes" => Err(classes(text)),
            _ => Err(Reason::ProbeStart(text.into())),
        }))
    }
}

/// The report stays behind: it has over a thousand lines.
fn handshake(summary: &str) -> Reason {
    Reason::Handshake { summary: summary.into(), report: String::new() }
}

fn classes(lists: &str) -> Reason {
    let names = |list: &str| list.lines().map(str::to_owned).collect();
    let (manifest, module) = lists.split_once("\n\n").unwrap_or((lists, ""));
    Reason::Classes { manifest: names(manifest), module: names(module) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_arrives_whole_or_not_at_all() {
        let other_classes = |module: &[&str]| Reason::Classes {
            manifest: vec!["a.A".into(), "a.B".into()],
            module: module.iter().map(|name| String::from(*name)).collect(),
        };
        for outcome in [
            Ok(()),
            Err(Reason::Dlopen("a\nb".into())),
            Err(handshake("ä")),
            Err(other_classes(&["a.A", "a.Ç"])),
            Err(other_classes(&[])),
        ] {
            let answer = ProbeAnswer::new(outcome);
            let bytes = [b"noise of a constructor", &answer.to_bytes("0190")[..]].concat();
            for len in 0..bytes.len() {
                assert_eq!(ProbeAnswer::find(&bytes[..len], "0190"), None, "{len}");
            }
            assert_eq!(ProbeAnswer::find(&bytes, "0190"), Some(answer));
        }
    }

    #[test]
    fn what_has_another_token_is_no_answer() {
        assert_eq!(ProbeAnswer::find(&ProbeAnswer::new(Ok(())).to_bytes("0190"), "0191"), None);
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_parent_reads() {
        let answer = ProbeAnswer::new(Err(handshake(&"ä".repeat(100_000))));
        let bytes = answer.to_bytes("0190");
        assert!(bytes.len() < ProbeAnswer::MAX_BYTES);
        assert!(ProbeAnswer::find(&bytes, "0190").is_some());
    }
}
