//! A line of the file of dead letters, as it is written and read.
//!
//! ```text
//! {"schema":1,"id":…,"event":{…canonical…},"sink":…,"class":…,"reason":…,"attempts":n,"first_failed":…,"dead_lettered":…}
//! {"replayed":id,"at":…}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An event that was given up on, as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letter {
    /// 1.
    pub schema: u32,
    /// A UUIDv7.
    pub id: String,
    /// The canonical event, as the sink would have got it.
    pub event: Box<RawValue>,
    /// The sink's name.
    pub sink: String,
    /// Its class path.
    pub class: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it failed first; a time as in an event.
    pub first_failed: String,
    /// When it was given up.
    pub dead_lettered: String,
}

/// That a letter was delivered after all.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The id of the letter.
    pub replayed: String,
    /// When.
    #[serde(default)]
    pub at: String,
}

/// A line of the file.
#[derive(Debug)]
pub enum Entry {
    /// An event that was given up on.
    Letter(Letter),
    /// That one was delivered after all.
    Mark(Mark),
}

impl Entry {
    /// Reads a line; the error says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line)
            .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
        if let Ok(mark) = serde_json::from_str::<Mark>(text) {
            return Ok(Self::Mark(mark));
        }
        let letter: Letter =
            serde_json::from_str(text).map_err(|error| format!("no dead letter: {error}"))?;
        if letter.schema != 1 {
            return Err(format!("has schema {}, but this program knows schema 1", letter.schema));
        }
        Ok(Self::Letter(letter))
    }
}

impl Letter {
    /// Appends its line, with the newline; on an error `out` is as before. The event must be one line.
    pub fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let start = out.len();
        serde_json::to_writer(&mut *out, self).inspect_err(|_| out.truncate(start))?;
        out.push(b'\n');
        Ok(())
    }

    /// The id of the event, where it can be read.
    pub fn event_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Id {
            event_id: String,
        }
        serde_json::from_str(self.event.get()).ok().map(|Id { event_id }| event_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_marks_are_told_apart_and_anything_else_is_damaged() {
        let letter = r#"{"schema":1,"id":"i","event":{"event_id":"e"},"sink":"s","class":"c","reason":"r","attempts":3,"first_failed":"t","dead_lettered":"u","later":1}"#;
        let Ok(Entry::Letter(parsed)) = Entry::parse(letter.as_bytes()) else { panic!("a letter") };
        assert_eq!((parsed.id.as_str(), parsed.event_id().as_deref()), ("i", Some("e")));
        let mark = Entry::parse(br#"{"replayed":"i","at":"t","by":"x"}"#);
        assert!(matches!(mark, Ok(Entry::Mark(Mark { replayed, at })) if replayed == "i" && at == "t"));
        let newer = letter.replace("\"schema\":1", "\"schema\":2");
        for damaged in [&letter.as_bytes()[..40], b"{}", b"\xff", newer.as_bytes()] {
            assert!(Entry::parse(damaged).is_err(), "{}", String::from_utf8_lossy(damaged));
        }
    }
}
