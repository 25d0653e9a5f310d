//! Exit statuses: the one place that decides them.

use std::process::ExitCode;

use audit_host::pipeline::{CloseReport, Counts};

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

/// What ended the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// There was nothing more to read.
    Input,
    /// A signal: what the spool keeps is for the next run.
    Signal,
}

impl From<Option<&'static str>> for EndedBy {
    fn from(signal: Option<&'static str>) -> Self {
        if signal.is_some() { Self::Signal } else { Self::Input }
    }
}

impl Exit {
    /// How a run ended.
    pub fn of_run(report: &CloseReport, trouble: Trouble, ended_by: EndedBy) -> Self {
        let Counts { accepted, delivered, spooled, rejected, lost, .. } = report.totals;
        let is_complete = match ended_by {
            EndedBy::Input => report.is_clean(),
            // A sink that is behind may not even end in time: what it has not settled is kept.
            EndedBy::Signal => {
                delivered + spooled == accepted
                    && report.spool_failure.is_none()
                    && report.sinks.iter().all(|sink| sink.failures.is_empty() || sink.counts.spooled > 0)
            }
        };
        match trouble {
            Trouble::BeforeAnyEvent => Self::Unusable,
            Trouble::None if is_complete && rejected == 0 && lost == 0 => Self::Complete,
            Trouble::None | Trouble::Later => Self::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_host::pipeline::SinkReport;

    use super::*;

    fn exit(totals: Counts, trouble: Trouble) -> Exit {
        Exit::of_run(&CloseReport { totals, ..CloseReport::default() }, trouble, EndedBy::Input)
    }

    fn exit_on_signal(totals: Counts, sinks: Vec<SinkReport>) -> Exit {
        Exit::of_run(&CloseReport { totals, sinks, spool_failure: None }, Trouble::None, EndedBy::Signal)
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
        let report = CloseReport { sinks: vec![sink], ..CloseReport::default() };
        for ended_by in [EndedBy::Input, EndedBy::Signal] {
            assert_eq!(Exit::of_run(&report, Trouble::None, ended_by), Exit::Incomplete);
        }
    }

    #[test]
    fn what_the_spool_keeps_is_complete_after_a_signal_only() {
        let kept = Counts { accepted: 5, delivered: 3, spooled: 2, ..Counts::default() };
        assert_eq!(exit(kept, Trouble::None), Exit::Incomplete);
        assert_eq!(exit_on_signal(kept, Vec::new()), Exit::Complete);
        for worse in [
            Counts { rejected: 1, ..kept },
            Counts { spooled: 1, dead_lettered: 1, ..kept },
            Counts { spooled: 1, dropped: 1, ..kept },
            Counts { spooled: 1, queued: 1, ..kept },
            Counts { spooled: 1, lost: 1, ..kept },
            Counts { lost: 1, ..kept },
        ] {
            assert_eq!(exit_on_signal(worse, Vec::new()), Exit::Incomplete, "{worse:?}");
        }
    }

    #[test]
    fn what_the_spool_keeps_and_may_not_have_on_the_disk_is_incomplete() {
        let totals = Counts { accepted: 5, spooled: 5, ..Counts::default() };
        let spool_failure = Some("the disk has failed".to_owned());
        let report = CloseReport { totals, spool_failure, ..CloseReport::default() };
        assert_eq!(Exit::of_run(&report, Trouble::None, EndedBy::Signal), Exit::Incomplete);
    }

    #[test]
    fn a_sink_that_is_behind_need_not_end_in_time_after_a_signal() {
        let kept = Counts { accepted: 5, spooled: 5, ..Counts::default() };
        let failures = vec!["close: it did not return".to_owned()];
        let sink = SinkReport { counts: kept, failures, ..SinkReport::default() };
        assert_eq!(exit_on_signal(kept, vec![sink]), Exit::Complete);
    }
}
