//! `spool status`.

use std::time::Duration;

use audit_host::config::printable;
use audit_plugin_api::Timestamp;
use indicatif::{BinaryBytes, HumanDuration};

use super::settings_of;
use super::survey::{Process, SinkBacklog, Survey};
use crate::cli::answer::{print, print_json};
use crate::cli::args::{Format, Global};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::cli::table::table;

/// Says what waits in the spool.
pub fn status(global: &Global, format: Format, console: &Console) -> Result<Exit, Failure> {
    let (config, path) = settings::load_from(global, console)?;
    let survey = Survey::take(&settings_of(&config, &path)?.dir, console)?;
    match format {
        Format::Json => print_json(&survey, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&to_text(&survey, Timestamp::now())))?,
    }
    Ok(survey.exit())
}

fn to_text(survey: &Survey, now: Timestamp) -> String {
    let dir = printable(&survey.dir);
    if survey.processes.is_empty() && survey.damage.is_empty() {
        return format!("nothing is in the spool {dir}\n");
    }
    let mut text = format!("spool {dir}: {} events wait, {}\n\n", survey.events, BinaryBytes(survey.bytes));
    let sinks: Vec<_> = survey.sinks.iter().map(|sink| sink.row(now)).collect();
    text += &table(["SINK", "EVENTS", "OLDEST"], &sinks);
    let processes: Vec<_> = survey.processes.iter().map(|process| process.row(now)).collect();
    text += "\n";
    text += &table(["FOLDER", "PROCESS", "EVENTS", "SIZE", "OLDEST"], &processes);
    for damage in &survey.damage {
        text += &format!("\ndamaged: {}\n", printable(&damage.to_string()));
    }
    text
}

impl SinkBacklog {
    fn row(&self, now: Timestamp) -> [String; 3] {
        [printable(&self.sink).into_owned(), self.events.to_string(), age(self.oldest, now)]
    }
}

impl Process {
    fn row(&self, now: Timestamp) -> [String; 5] {
        let state = match self.alive {
            Some(true) => "alive",
            Some(false) => "gone",
            None => "unknown",
        };
        let owner = self.pid.map_or_else(|| state.to_owned(), |pid| format!("{pid}, {state}"));
        [
            printable(&self.folder).into_owned(),
            owner,
            self.events.to_string(),
            BinaryBytes(self.bytes).to_string(),
            age(self.oldest, now),
        ]
    }
}

/// When it was, and how long ago; a time that is yet to come is no age.
fn age(oldest: Option<Timestamp>, now: Timestamp) -> String {
    let Some(oldest) = oldest else { return "-".to_owned() };
    let micros = u64::try_from(now.as_micros().saturating_sub(oldest.as_micros())).unwrap_or(0);
    format!("{oldest} ({} ago)", HumanDuration(Duration::from_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::spool::survey::Damage;

    const NOW: i64 = 1_800_000_000_000_000;

    #[test]
    fn everything_stands_in_columns() {
        let oldest = Some(Timestamp::from_micros(NOW - 90_000_000));
        let process = |folder: &str, alive, pid| Process {
            folder: folder.to_owned(),
            alive: Some(alive),
            pid,
            events: 4,
            bytes: 1 << 20,
            oldest,
        };
        let survey = Survey {
            dir: "/srv/spool".to_owned(),
            segments: 2,
            bytes: 2 << 20,
            events: 8,
            sinks: vec![
                SinkBacklog { sink: "kafka.KafkaAuditLogger".to_owned(), events: 8, oldest },
                SinkBacklog { sink: "file".to_owned(), events: 0, oldest: None },
            ],
            processes: vec![process("a", true, Some(4711)), process("b", false, None)],
            damage: vec![Damage {
                path: "b/1".to_owned(),
                lost: Some(1),
                reason: "a frame is bad".to_owned(),
            }],
        };
        insta::assert_snapshot!(to_text(&survey, Timestamp::from_micros(NOW)), @r"
        spool /srv/spool: 8 events wait, 2.00 MiB

        SINK                    EVENTS  OLDEST
        kafka.KafkaAuditLogger  8       2027-01-15T07:58:30.000000+00:00 (2 minutes ago)
        file                    0       -

        FOLDER  PROCESS      EVENTS  SIZE      OLDEST
        a       4711, alive  4       1.00 MiB  2027-01-15T07:58:30.000000+00:00 (2 minutes ago)
        b       gone         4       1.00 MiB  2027-01-15T07:58:30.000000+00:00 (2 minutes ago)

        damaged: b/1: a frame is bad; 1 event is lost
        ");
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let (path, reason) = ("/srv/spool/a".to_owned(), "1 has format 2".to_owned());
        let survey = Survey { damage: vec![Damage { path, lost: None, reason }], ..Survey::default() };
        let text = to_text(&survey, Timestamp::from_micros(NOW));
        assert!(
            !text.contains("nothing is in") && text.contains("damaged: /srv/spool/a: 1 has format 2"),
            "{text}"
        );
    }

    #[test]
    fn an_event_of_a_clock_that_is_ahead_has_no_age() {
        let ahead = Some(Timestamp::from_micros(NOW + 5_000_000));
        assert!(age(ahead, Timestamp::from_micros(NOW)).ends_with(" (0 seconds ago)"));
        assert_eq!(age(None, Timestamp::from_micros(NOW)), "-");
    }
}
