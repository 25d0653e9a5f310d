//! Exit statuses: the one place that decides them.

use std::process::ExitCode;

use audit_host::pipeline::CloseReport;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all that was asked for.
    Complete,
    /// 1: events were taken, and not all that was given is delivered.
    Incomplete,
    /// 2: what was given cannot be used.
    Unusable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Complete => 0,
            Exit::Incomplete => 1,
            Exit::Unusable => 2,
        })
    }
}

/// What went wrong with the inputs and sinks of a run, beyond what was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Something, when events had been taken.
    Later,
    /// An input could not be read, before any event was taken.
    BeforeAnyEvent,
}

impl Exit {
    /// How a run ended.
    pub fn of_run(report: &CloseReport, trouble: Trouble) -> Self {
        match trouble {
            Trouble::BeforeAnyEvent => Self::Unusable,
            Trouble::Later => Self::Incomplete,
            Trouble::None if !report.is_clean() || report.totals.rejected > 0 || report.totals.lost > 0 => {
                Self::Incomplete
            }
            Trouble::None => Self::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_host::pipeline::{Counts, SinkReport};

    use super::*;

    fn exit(totals: Counts, trouble: Trouble) -> Exit {
        Exit::of_run(&CloseReport { totals, sinks: Vec::new() }, trouble)
    }

    #[test]
    fn only_all_delivered_and_nothing_rejected_is_complete() {
        let clean = Counts { accepted: 5, delivered: 5, retried: 3, ..Counts::default() };
        assert_eq!(exit(clean, Trouble::None), Exit::Complete);
        assert_eq!(exit(Counts::default(), Trouble::None), Exit::Complete);
        assert_eq!(exit(Counts { rejected: 1, ..clean }, Trouble::None), Exit::Incomplete);
        assert_eq!(exit(Counts { delivered: 4, dead_lettered: 1, ..clean }, Trouble::None), Exit::Incomplete);
        assert_eq!(exit(Counts { delivered: 4, dropped: 1, ..clean }, Trouble::None), Exit::Incomplete);
        assert_eq!(exit(Counts { delivered: 4, queued: 1, ..clean }, Trouble::None), Exit::Incomplete);
        assert_eq!(exit(Counts { lost: 1, ..clean }, Trouble::None), Exit::Incomplete);
        assert_eq!(exit(clean, Trouble::Later), Exit::Incomplete);
        assert_eq!(exit(Counts::default(), Trouble::BeforeAnyEvent), Exit::Unusable);
    }

    #[test]
    fn a_sink_that_could_not_flush_or_close_is_incomplete() {
        let sink = SinkReport { failures: vec!["flush: disk full".into()], ..SinkReport::default() };
        let report = CloseReport { totals: Counts::default(), sinks: vec![sink] };
        assert_eq!(Exit::of_run(&report, Trouble::None), Exit::Incomplete);
    }
}
